// config.json and generation_config.json: what parses must be safe to compute with.
// deps: hadal_model
// mutator: json
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/log.h"
#include "model/config.h"
#include "model/rope.h"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

/// What kernels and loaders rely on without asking again.
void check(const hadal::ModelConfig& config) {
  require(config.vocab > 0 && config.hidden > 0 && config.layers > 0 && config.heads > 0 &&
          config.intermediate > 0);
  require(config.mla.has_value() != config.gqa.has_value());
  require(std::isfinite(config.rms_norm_eps) && config.rms_norm_eps > 0);
  for (int32_t id : config.eos) require(id >= 0 && id < config.vocab);
  if (config.mla) {
    require(config.mla->kv_lora_rank > 0 && config.mla->nope > 0 && config.mla->v > 0 &&
            config.mla->rope % 2 == 0);
    require(std::isfinite(hadal::mla_softmax_scale(*config.mla, config.rope)));
  } else {
    require(config.gqa->kv_heads > 0 && config.heads % config.gqa->kv_heads == 0 &&
            config.gqa->head_dim % 2 == 0);
    require(config.gqa->layer_window.size() == static_cast<size_t>(config.layers));
    for (int32_t window : config.gqa->layer_window) require(window >= 0);
  }
  if (config.moe.routed > 0) {
    require(config.moe.n_group > 0 && config.moe.routed % config.moe.n_group == 0 &&
            config.moe.layer_freq > 0);
    const int64_t group = config.moe.routed / config.moe.n_group;
    require(config.moe.top_k > 0 && config.moe.top_k <= config.moe.topk_group * group);
    (void)config.is_moe_layer(config.layers - 1);
  }
  const int32_t dim = config.mla ? config.mla->rope : config.gqa->head_dim;
  require(dim >= 2 && dim <= 1 << 16);
  for (float value : hadal::rope_table(config.rope, dim < 256 ? dim : 256, 3)) require(std::isfinite(value));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hadal::set_log_level(hadal::LogLevel::kOff);
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  auto config = hadal::parse_model_config(text);
  if (config.ok()) check(*config);
  hadal::ModelConfig base;
  base.vocab = 1000;
  if (hadal::apply_generation_config(text, base).ok())
    for (int32_t id : base.eos) require(id >= 0 && id < base.vocab);
  return 0;
}
