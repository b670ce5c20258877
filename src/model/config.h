// config.json (and generation_config.json) of a published checkpoint as typed facts. Every number comes from
// the files; none is assumed for a model's name. A switch that is not implemented is refused by name, never
// ignored.
//
// What happens to a key:
//  - one that a parser asks for is held to its type and a range; what is missing and has no published default
//  is an
//    error that names the key, and so is what contradicts another key (heads no multiple of kv heads, ...);
//  - one in the table of harmless keys (config.cc: bookkeeping, training, text generation defaults) is
//  skipped;
//  - any other is accepted if its value switches nothing on: null, false, 0, "", [] or {}. Every other value
//  is
//    refused, for it may change what the model computes.
// All config.json files that DeepSeek has published for these architectures pass, also as transformers 4 and
// 5 save them again (rope_scaling with `type` or `rope_type`, rope_parameters with rope_theta inside,
// `dtype`).
//
// An absent key means what it means in the published code: rope_theta 10000, hidden_act silu,
// tie_word_embeddings false, num_key_value_heads = heads, head_dim = hidden / heads, moe_layer_freq 1,
// n_shared_experts 0, the gate's scoring and method after the architecture (V2 softmax and greedy, V3 sigmoid
// and noaux_tc), mscale 1, mscale_all_dim 0. `q_lora_rank` must be there: null switches query compression
// off.
//
// Not from the files: MLA's latent norms use eps 1e-6 whatever rms_norm_eps says (specs/deepseek.md 2.2);
// which modules are quantised is read off the tensors, quantization_config gives block and group sizes only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "kernels/api/ops.h"
#include "tensor/dtype.h"

namespace hadal {

enum class Architecture : uint8_t { kLlama, kQwen2, kDeepseekV2, kDeepseekV3 };
const char* architecture_name(Architecture architecture);  // "LlamaForCausalLM", ...

enum class RopeScaling : uint8_t { kNone, kLinear, kLlama3, kYarn };

struct RopeConfig {
  double theta = 10000.0;
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1.0;                // linear, llama3, yarn
  int32_t original_max_position = 0;  // llama3, yarn
  double low_freq_factor = 1.0;       // llama3
  double high_freq_factor = 4.0;      // llama3
  double beta_fast = 32.0;            // yarn
  double beta_slow = 1.0;             // yarn
  double mscale = 1.0;                // yarn; absent: 1
  double mscale_all_dim = 0.0;        // yarn; absent: 0 (no factor in the softmax scale)
  RopeLayout layout = RopeLayout::kHalfSplit;
};

struct MlaConfig {
  int32_t q_lora_rank = 0;  // 0: no query compression
  int32_t kv_lora_rank = 0;
  int32_t nope = 0;   // qk_nope_head_dim
  int32_t rope = 0;   // qk_rope_head_dim
  int32_t v = 0;      // v_head_dim
  bool bias = false;  // attention_bias: q_a_proj, kv_a_proj_with_mqa and o_proj
};

struct GqaConfig {
  int32_t kv_heads = 0;
  int32_t head_dim = 0;
  bool qkv_bias = false;
  bool o_bias = false;
  std::vector<int32_t> layer_window;  // per layer; 0: full attention
};

struct MoeConfig {
  int32_t routed = 0;  // 0: every layer dense
  int32_t shared = 0;  // shared experts: one MLP of shared * intermediate
  int32_t top_k = 0;
  int32_t n_group = 1;
  int32_t topk_group = 1;
  int32_t intermediate = 0;  // moe_intermediate_size
  int32_t first_dense = 0;   // first_k_dense_replace
  int32_t layer_freq = 1;    // moe_layer_freq
  ScoringFunc scoring = ScoringFunc::kSoftmax;
  TopkMethod method = TopkMethod::kGreedy;
  bool norm_topk_prob = false;
  double routed_scaling_factor = 1.0;
};

enum class QuantMethod : uint8_t { kNone, kFp8, kAwq };

struct QuantConfig {
  QuantMethod method = QuantMethod::kNone;
  int32_t block_rows = 128, block_cols = 128;  // fp8 weight_block_size
  std::string scale_fmt;                       // fp8: "" or "ue8m0" (informs only: scales are read as stored)
  int32_t group = 128;                         // awq
};

/// generation_config.json's defaults; absent: the API's own. `do_sample` is not among them: the temperature
/// decides.
struct GenerationDefaults {
  std::optional<double> temperature, top_p, min_p, repetition_penalty;
  std::optional<int32_t> top_k, max_new_tokens;
};

struct ModelConfig {
  Architecture architecture = Architecture::kLlama;
  std::string model_type;
  int32_t vocab = 0, hidden = 0, intermediate = 0, layers = 0, heads = 0;
  int32_t max_position = 0;
  double rms_norm_eps = 1e-6;
  bool tie_embeddings = false;
  bool mlp_bias = false;  // Llama: biases on gate, up and down
  RopeConfig rope;
  std::optional<MlaConfig> mla;  // exactly one of mla and gqa
  std::optional<GqaConfig> gqa;
  MoeConfig moe;
  QuantConfig quant;
  int32_t mtp_layers = 0;  // num_nextn_predict_layers: their tensors are skipped
  std::optional<DType> torch_dtype;
  std::optional<int32_t> bos;
  std::vector<int32_t> eos;  // generation_config.json's where present, else config.json's
  GenerationDefaults generation;

  bool is_moe_layer(int32_t layer) const {
    return moe.routed > 0 && layer >= moe.first_dense && layer % moe.layer_freq == 0;
  }
};

/// Parses config.json's text. Errors name the key.
StatusOr<ModelConfig> parse_model_config(std::string_view config_json);
/// Adds generation_config.json's text: its token ids replace config.json's. Settings in it that are not known
/// and not neutral are logged, since they change defaults and not the model.
Status apply_generation_config(std::string_view generation_json, ModelConfig& config);
/// Reads both files of a checkpoint folder.
StatusOr<ModelConfig> load_model_config(const std::string& folder);

}  // namespace hadal
