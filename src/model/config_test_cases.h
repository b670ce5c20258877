// config.json files by their published values (specs/deepseek.md 1), with the bookkeeping that such files
// carry, and single values that must be refused. For config_test.cc.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace hadal::testing_configs {

using Json = nlohmann::json;

/// DeepSeek-V3 / R1.
inline Json v3() {
  return Json::parse(R"({
    "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3",
    "auto_map": {"AutoConfig": "configuration_deepseek.DeepseekV3Config"},
    "attention_bias": false, "attention_dropout": 0.0, "aux_loss_alpha": 0.001, "bos_token_id": 0, "eos_token_id": 1,
    "ep_size": 1, "first_k_dense_replace": 3, "hidden_act": "silu", "hidden_size": 7168, "initializer_range": 0.02,
    "intermediate_size": 18432, "kv_lora_rank": 512, "max_position_embeddings": 163840, "moe_intermediate_size": 2048,
    "moe_layer_freq": 1, "n_group": 8, "n_routed_experts": 256, "n_shared_experts": 1, "norm_topk_prob": true,
    "num_attention_heads": 128, "num_experts_per_tok": 8, "num_hidden_layers": 61, "num_key_value_heads": 128,
    "num_nextn_predict_layers": 1, "pretraining_tp": 1, "q_lora_rank": 1536, "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64, "rms_norm_eps": 1e-06, "rope_theta": 10000, "routed_scaling_factor": 2.5,
    "quantization_config": {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8",
                            "weight_block_size": [128, 128]},
    "rope_scaling": {"beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 1.0, "mscale_all_dim": 1.0,
                     "original_max_position_embeddings": 4096, "type": "yarn"},
    "scoring_func": "sigmoid", "seq_aux": true, "tie_word_embeddings": false, "topk_group": 4,
    "topk_method": "noaux_tc", "torch_dtype": "bfloat16", "transformers_version": "4.33.1", "use_cache": true,
    "v_head_dim": 128, "vocab_size": 129280})");
}

inline Json v2_lite() {
  return Json::parse(R"({
    "architectures": ["DeepseekV2ForCausalLM"], "model_type": "deepseek_v2", "attention_bias": false,
    "attention_dropout": 0.0, "aux_loss_alpha": 0.001, "bos_token_id": 100000, "eos_token_id": 100001,
    "first_k_dense_replace": 1, "hidden_act": "silu", "hidden_size": 2048, "initializer_range": 0.02,
    "intermediate_size": 10944, "kv_lora_rank": 512, "max_position_embeddings": 163840, "moe_intermediate_size": 1408,
    "moe_layer_freq": 1, "n_group": 1, "n_routed_experts": 64, "n_shared_experts": 2, "norm_topk_prob": false,
    "num_attention_heads": 16, "num_experts_per_tok": 6, "num_hidden_layers": 27, "num_key_value_heads": 16,
    "pretraining_tp": 1, "q_lora_rank": null, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "rms_norm_eps": 1e-06,
    "rope_scaling": {"beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 0.707, "mscale_all_dim": 0.707,
                     "original_max_position_embeddings": 4096, "type": "yarn"},
    "rope_theta": 10000, "routed_scaling_factor": 1.0, "scoring_func": "softmax", "seq_aux": true,
    "tie_word_embeddings": false, "topk_group": 1, "topk_method": "greedy", "torch_dtype": "bfloat16",
    "transformers_version": "4.33.1", "use_cache": true, "v_head_dim": 128, "vocab_size": 102400})");
}

/// R1-Distill-Llama-8B with a list of stop tokens and head_dim, as later files have them.
inline Json llama() {
  return Json::parse(R"({
    "_name_or_path": "x", "architectures": ["LlamaForCausalLM"], "model_type": "llama", "attention_bias": false,
    "attention_dropout": 0.0, "bos_token_id": 128000, "eos_token_id": [128001, 128008, 128009], "head_dim": 128,
    "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02, "intermediate_size": 14336,
    "max_position_embeddings": 131072, "mlp_bias": false, "num_attention_heads": 32, "num_hidden_layers": 32,
    "num_key_value_heads": 8, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
    "rope_scaling": {"factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                     "original_max_position_embeddings": 8192, "rope_type": "llama3"},
    "rope_theta": 500000.0, "tie_word_embeddings": false, "torch_dtype": "bfloat16", "transformers_version": "4.43.0",
    "use_cache": true, "vocab_size": 128256})");
}

/// R1-Distill-Qwen-7B.
inline Json qwen2() {
  return Json::parse(R"({
    "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "attention_dropout": 0.0, "bos_token_id": 151643,
    "eos_token_id": 151643, "hidden_act": "silu", "hidden_size": 3584, "initializer_range": 0.02,
    "intermediate_size": 18944, "max_position_embeddings": 131072, "max_window_layers": 28, "num_attention_heads": 28,
    "num_hidden_layers": 28, "num_key_value_heads": 4, "rms_norm_eps": 1e-06, "rope_theta": 10000,
    "sliding_window": 4096, "tie_word_embeddings": false, "torch_dtype": "bfloat16", "transformers_version": "4.44.0",
    "use_cache": true, "use_mrope": false, "use_sliding_window": false, "vocab_size": 152064})");
}

struct BadValue {
  Json base;
  std::string key;
  Json value;
  const char* message;
};

inline Json changed(Json object, const char* key, Json value) {
  object[key] = std::move(value);
  return object;
}

inline std::vector<BadValue> bad_values() {
  const Json yarn = v3()["rope_scaling"], llama3 = llama()["rope_scaling"], fp8 = v3()["quantization_config"];
  const Json awq = {{"quant_method", "awq"}, {"bits", 4}, {"group_size", 64}, {"zero_point", true}};
  std::vector<BadValue> all;
  for (const Json& value : {Json(0), Json(-1), Json(1e300), Json(1.5), Json(true), Json(4294967296)})
    for (const char* key : {"hidden_size", "vocab_size", "num_hidden_layers", "num_attention_heads",
                            "max_position_embeddings", "kv_lora_rank", "q_lora_rank", "num_experts_per_tok"})
      all.push_back({v3(), key, value, key});
  const std::vector<BadValue> single = {
      {v3(), "rms_norm_eps", 0, "rms_norm_eps must be a number"},
      {v3(), "rms_norm_eps", 2, "rms_norm_eps must be a number"},
      {v3(), "hidden_act", "gelu", "hidden_act is 'gelu', which is not implemented"},
      {v3(), "mlp_bias", true, "mlp_bias is true"},
      {llama(), "pretraining_tp", 2, "pretraining_tp is 2"},
      {llama(), "partial_rotary_factor", 0.5, "partial_rotary_factor is 0.5"},
      {llama(), "final_logit_softcapping", 30.0, "'final_logit_softcapping' ("},
      {llama(), "sliding_window", 4096, "'sliding_window' ("},
      {llama(), "is_encoder_decoder", true, "is_encoder_decoder"},
      {v3(), "index_topk", 2048, "'index_topk' ("},
      {qwen2(), "use_mrope", true, "use_mrope"},
      {qwen2(), "attention_bias", true, "'attention_bias' ("},
      {v3(), "torch_dtype", "int3", "torch_dtype 'int3'"},
      {v3(), "architectures", "DeepseekV3ForCausalLM", "architectures must be a list of texts"},
      {v3(), "architectures", {"DeepseekV3ForCausalLM", "X"}, "more than one"},
      {v3(), "eos_token_id", 129280, "eos_token_id must be an integer from 0 to 129279"},
      {v3(), "eos_token_id", {1, -1}, "eos_token_id"},
      {v3(), "eos_token_id", "1", "eos_token_id"},
      {llama(), "tie_word_embeddings", "no", "tie_word_embeddings must be true or false"},
      // attention
      {llama(), "num_key_value_heads", 5, "no multiple of num_key_value_heads (5)"},
      {llama(), "num_key_value_heads", 0, "num_key_value_heads must be an integer"},
      {llama(), "head_dim", 63, "head_dim is 63; rotary embedding turns pairs"},
      {qwen2(), "hidden_size", 3585, "hidden_size is no multiple of num_attention_heads"},
      {qwen2(), "num_hidden_layers", 27.5, "num_hidden_layers"},
      {qwen2(), "layer_types", {"full_attention"}, "layer_types has 1 entries for 28 layers"},
      {qwen2(), "layer_types", std::vector<std::string>(28, "linear_attention"),
       "'linear_attention' is not implemented"},
      {qwen2(), "layer_types", std::vector<std::string>(28, "sliding_attention"), "give them no window"},
      {v3(), "qk_rope_head_dim", 63, "qk_rope_head_dim is odd"},
      {v3(), "qk_head_dim", 100, "qk_head_dim is not"},
      {changed(v3(), "num_attention_heads", 65536), "v_head_dim", 65536,
       "v_head_dim gives 65536 heads a width"},
      {v3(), "rope_interleave", 1, "rope_interleave must be true or false"},
      // experts
      {v3(), "num_experts_per_tok", 257, "num_experts_per_tok is larger than n_routed_experts"},
      {v3(), "n_group", 7, "n_group (7) does not divide n_routed_experts (256)"},
      {v3(), "topk_group", 9, "topk_group is larger than n_group"},
      {v3(), "n_group", 256, "groups of one expert"},
      {changed(v3(), "n_group", 128), "topk_group", 2, "topk_group leaves 4 experts"},
      {v3(), "scoring_func", "softmax", "scoring_func is 'softmax'"},
      {v2_lite(), "scoring_func", "sigmoid", "scoring_func is 'sigmoid'"},
      {v3(), "topk_method", "greedy", "topk_method 'greedy' is not implemented for DeepseekV3ForCausalLM"},
      {v2_lite(), "topk_method", "noaux_tc", "topk_method 'noaux_tc'"},
      {v3(), "routed_scaling_factor", 0, "routed_scaling_factor"},
      {v3(), "num_local_experts", 8, "num_local_experts differs"},
      {v3(), "num_nextn_predict_layers", -1, "num_nextn_predict_layers"},
      // rotary embedding
      {v3(), "rope_theta", 1, "rope_theta must be a number"},
      {v3(), "rope_theta", -10000, "rope_theta must be a number"},
      {v3(), "rope_scaling", "yarn", "rope_scaling must be an object"},
      {v3(), "rope_scaling", changed(yarn, "type", "dynamic"),
       "rope_scaling: rope_type 'dynamic' is not implemented"},
      {v3(), "rope_scaling", changed(yarn, "rope_type", "linear"),
       "rope_type is 'linear' but type is 'yarn'"},
      {v3(), "rope_scaling", {{"factor", 2}}, "rope_scaling: rope_type is missing"},
      {v3(), "rope_scaling", {{"type", "yarn"}}, "rope_scaling: factor is missing"},
      {v3(), "rope_scaling", changed(yarn, "factor", 0.5), "factor must be a number from 1"},
      {v3(), "rope_scaling", changed(yarn, "original_max_position_embeddings", 0),
       "original_max_position_embeddings"},
      {v3(), "rope_scaling", changed(yarn, "beta_fast", 0.5), "beta_fast is below beta_slow"},
      {v3(), "rope_scaling", changed(yarn, "mscale", -1), "mscale"},
      {v3(), "rope_scaling", changed(yarn, "attention_factor", 1.5), "attention_factor is not implemented"},
      {v3(), "rope_scaling", changed(yarn, "truncate", false), "truncate is false"},
      {v3(), "rope_scaling", changed(yarn, "extrapolation_factor", 2), "'extrapolation_factor' ("},
      {v3(), "rope_scaling", changed(yarn, "partial_rotary_factor", 0.5), "partial_rotary_factor"},
      {v3(),
       "rope_parameters",
       {{"rope_type", "default"}},
       "rope_parameters and rope_scaling are both there"},
      {llama(), "rope_scaling", changed(llama3, "high_freq_factor", 1.0), "high_freq_factor must be above"},
      {llama(), "rope_scaling", changed(llama3, "low_freq_factor", nullptr), "low_freq_factor is missing"},
      // quantisation
      {v3(), "quantization_config", "fp8", "quantization_config must be an object"},
      {v3(), "quantization_config", changed(fp8, "quant_method", "gptq"),
       "quant_method 'gptq' is not implemented"},
      {v3(), "quantization_config", changed(fp8, "quant_method", nullptr), "quant_method is missing"},
      {v3(), "quantization_config", changed(fp8, "fmt", "e5m2"), "fmt is 'e5m2'"},
      {v3(), "quantization_config", changed(fp8, "activation_scheme", "static"),
       "activation_scheme is 'static'"},
      {v3(), "quantization_config", changed(fp8, "weight_block_size", nullptr), "fp8 without blocks"},
      {v3(), "quantization_config", changed(fp8, "weight_block_size", {128, 0}), "weight_block_size"},
      {v3(), "quantization_config", changed(fp8, "weight_block_size", {1, 2, 3}), "weight_block_size"},
      {v3(), "quantization_config", changed(fp8, "scale_fmt", "float"), "scale_fmt 'float'"},
      {v3(), "quantization_config", changed(fp8, "kv_cache_scheme", "x"), "'kv_cache_scheme' ("},
      {llama(), "quantization_config", changed(awq, "bits", 8), "bits is 8"},
      {llama(), "quantization_config", changed(awq, "bits", nullptr), "bits is missing"},
      {llama(), "quantization_config", changed(awq, "version", "gemv"), "version 'gemv' is not implemented"},
      {llama(), "quantization_config", changed(awq, "zero_point", false), "zero_point is false"},
      {llama(), "quantization_config", changed(awq, "group_size", -1), "group_size"},
      {llama(), "quantization_config", changed(awq, "q_group_size", 128), "q_group_size differs"},
  };
  all.insert(all.end(), single.begin(), single.end());
  return all;
}

}  // namespace hadal::testing_configs
