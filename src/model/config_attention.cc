#include <nlohmann/json.hpp>

#include "model/config_parts.h"
#include "tensor/printable.h"

namespace hadal {
namespace {

constexpr ConfigReader::Range kHeadWidth = {1, 1 << 16};
constexpr int64_t kMaxWidth = 1 << 26;  // of all heads together

void check_width(ConfigReader& in, std::string_view key, int32_t heads, int64_t head_width) {
  if (heads * head_width > kMaxWidth)
    in.invalid(key, fmt::format("gives {} heads a width of {} in all, over {}", heads, heads * head_width,
                                kMaxWidth));
}

/// Window of each layer, 0 where it sees everything (specs 2.10).
std::vector<int32_t> read_windows(ConfigReader& in, const ModelConfig& config) {
  std::vector<int32_t> windows(static_cast<size_t>(config.layers), 0);
  const bool sliding =
      config.architecture == Architecture::kQwen2 && in.boolean_or("use_sliding_window", false);
  const int32_t window = sliding ? in.integer_or("sliding_window", {1, 1 << 30}, 0) : 0;
  const std::vector<std::string> types = in.texts_or_empty("layer_types");
  if (types.empty()) {
    if (!sliding || window == 0) return windows;
    const auto first = static_cast<size_t>(in.integer("max_window_layers", kCount));
    for (size_t layer = first; layer < windows.size(); ++layer) windows[layer] = window;
    return windows;
  }
  if (types.size() != windows.size()) {
    in.invalid("layer_types", fmt::format("has {} entries for {} layers", types.size(), windows.size()));
    return windows;
  }
  for (size_t layer = 0; layer < windows.size(); ++layer) {
    if (types[layer] == "full_attention") continue;
    if (types[layer] != "sliding_attention") {
      in.unsupported("layer_types", printable(types[layer]) + " is not implemented");
      break;
    }
    if (window == 0) {
      in.invalid("layer_types",
                 "has sliding layers, but use_sliding_window and sliding_window give them no window");
      break;
    }
    windows[layer] = window;
  }
  return windows;
}

}  // namespace

MlaConfig read_mla(ConfigReader& in, const ModelConfig& config) {
  MlaConfig mla;
  // null means "no query compression", so a file that says nothing at all is not complete
  if (!in.has("q_lora_rank")) in.invalid("q_lora_rank", "is missing (null if queries are not compressed)");
  mla.q_lora_rank = in.integer_or("q_lora_rank", kDimension, 0);
  mla.kv_lora_rank = in.integer("kv_lora_rank", kDimension);
  mla.nope = in.integer("qk_nope_head_dim", kHeadWidth);
  mla.rope = in.integer("qk_rope_head_dim", kHeadWidth);
  mla.v = in.integer("v_head_dim", kHeadWidth);
  mla.bias = in.boolean_or("attention_bias", false);
  if (mla.rope % 2 != 0) in.invalid("qk_rope_head_dim", "is odd; rotary embedding turns pairs");
  if (in.integer_or("qk_head_dim", kDimension, mla.nope + mla.rope) != mla.nope + mla.rope)
    in.invalid("qk_head_dim", "is not qk_nope_head_dim + qk_rope_head_dim");
  check_width(in, "qk_nope_head_dim", config.heads, int64_t{mla.nope} + mla.rope);
  check_width(in, "v_head_dim", config.heads, int64_t{mla.nope} + mla.v);
  return mla;
}

GqaConfig read_gqa(ConfigReader& in, const ModelConfig& config) {
  GqaConfig gqa;
  gqa.kv_heads = in.integer_or("num_key_value_heads", kDimension, config.heads);
  if (config.heads % gqa.kv_heads != 0)
    in.invalid("num_attention_heads",
               fmt::format("({}) is no multiple of num_key_value_heads ({})", config.heads, gqa.kv_heads));
  if (in.value("head_dim") != nullptr) {
    gqa.head_dim = in.integer("head_dim", kHeadWidth);
  } else {
    if (config.hidden % config.heads != 0)
      in.invalid("hidden_size", "is no multiple of num_attention_heads, and head_dim is missing");
    gqa.head_dim = config.hidden / config.heads;
  }
  if (gqa.head_dim % 2 != 0 || gqa.head_dim == 0)
    in.invalid("head_dim", fmt::format("is {}; rotary embedding turns pairs", gqa.head_dim));
  check_width(in, "head_dim", config.heads, gqa.head_dim);
  if (config.architecture == Architecture::kQwen2) {
    gqa.qkv_bias = true;  // the architecture's, without a key
  } else {
    gqa.qkv_bias = gqa.o_bias = in.boolean_or("attention_bias", false);
  }
  gqa.layer_window = read_windows(in, config);
  return gqa;
}

}  // namespace hadal
