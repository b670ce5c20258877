// For tests: small random checkpoints in the published layout, made on the spot, so that no test depends on
// files that may not be there.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "model/config.h"
#include "tensor/checkpoint.h"

namespace hadal::testing {

/// Collects float32 tensors and writes them as one safetensors file.
class TinyCheckpoint {
 public:
  void add(const std::string& name, std::vector<int64_t> shape, float scale, float offset = 0.0f) {
    int64_t count = 1;
    for (const int64_t dim : shape) count *= dim;
    std::normal_distribution<float> normal(offset, scale);
    auto& values = values_.emplace_back(std::make_unique<std::vector<float>>());
    for (int64_t i = 0; i < count; ++i) values->push_back(normal(random_));
    TensorView view;
    view.data = reinterpret_cast<const std::byte*>(values->data());
    view.dtype = DType::kF32;
    for (const int64_t dim : shape) view.shape.push_back(dim);
    tensors_.push_back({name, view});
  }
  /// A matrix [out, in] that keeps the size of what it multiplies.
  void linear(const std::string& name, int64_t out, int64_t in) {
    add(name + ".weight", {out, in}, 1.5f / std::sqrt(static_cast<float>(in)));
  }
  void norm(const std::string& name, int64_t size) { add(name + ".weight", {size}, 0.2f, 1.0f); }

  std::shared_ptr<const Checkpoint> write() {
    std::string pattern = (std::filesystem::temp_directory_path() / "hadal-runner-XXXXXX").string();
    const std::string folder = ::mkdtemp(pattern.data());
    EXPECT_TRUE(write_safetensors(folder + "/model.safetensors", tensors_).ok());
    StatusOr<std::shared_ptr<const Checkpoint>> checkpoint = Checkpoint::open(folder);
    EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
    std::filesystem::remove_all(folder);  // the mapping stays
    return *checkpoint;
  }

 private:
  std::mt19937 random_{7};
  std::vector<std::unique_ptr<std::vector<float>>> values_;
  std::vector<NamedTensor> tensors_;
};

struct TinyModel {
  ModelConfig config;
  std::shared_ptr<const Checkpoint> checkpoint;
};

inline void add_mlp(TinyCheckpoint& files, const std::string& at, int64_t hidden, int64_t inner) {
  files.linear(at + ".gate_proj", inner, hidden);
  files.linear(at + ".up_proj", inner, hidden);
  files.linear(at + ".down_proj", hidden, inner);
}

/// Qwen2 with two full and two sliding-window layers: two cache groups.
inline TinyModel tiny_window_model() {
  StatusOr<ModelConfig> config = parse_model_config(R"({
    "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu", "hidden_size": 32,
    "intermediate_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 4,
    "layer_types": ["full_attention", "full_attention", "sliding_attention", "sliding_attention"],
    "max_window_layers": 2, "sliding_window": 9, "use_sliding_window": true, "max_position_embeddings": 256,
    "rms_norm_eps": 1e-06, "rope_theta": 10000.0, "tie_word_embeddings": false, "vocab_size": 61,
    "torch_dtype": "float32"})");
  EXPECT_TRUE(config.ok()) << config.status();
  TinyCheckpoint files;
  files.add("model.embed_tokens.weight", {61, 32}, 1.0f);
  files.linear("lm_head", 61, 32);
  files.norm("model.norm", 32);
  for (int layer = 0; layer < 4; ++layer) {
    const std::string at = "model.layers." + std::to_string(layer);
    files.norm(at + ".input_layernorm", 32);
    files.norm(at + ".post_attention_layernorm", 32);
    for (const auto& [name, out] : {std::pair("q", 32), std::pair("k", 16), std::pair("v", 16)}) {
      files.linear(at + ".self_attn." + name + "_proj", out, 32);
      files.add(at + ".self_attn." + name + "_proj.bias", {out}, 0.1f);
    }
    files.linear(at + ".self_attn.o_proj", 32, 32);
    add_mlp(files, at + ".mlp", 32, 48);
  }
  return {*config, files.write()};
}

/// V2-Lite in small: MLA without query compression, one dense layer, one with experts.
inline TinyModel tiny_mla_model() {
  StatusOr<ModelConfig> config = parse_model_config(R"({
    "architectures": ["DeepseekV2ForCausalLM"], "model_type": "deepseek_v2", "hidden_act": "silu", "hidden_size": 32,
    "attention_bias": false, "first_k_dense_replace": 1, "intermediate_size": 48, "kv_lora_rank": 16,
    "moe_intermediate_size": 16, "moe_layer_freq": 1, "n_group": 1, "topk_group": 1, "n_routed_experts": 4,
    "n_shared_experts": 1, "norm_topk_prob": false, "num_attention_heads": 2, "num_key_value_heads": 2,
    "num_experts_per_tok": 2, "num_hidden_layers": 2, "q_lora_rank": null, "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4, "v_head_dim": 8, "rms_norm_eps": 1e-06, "routed_scaling_factor": 1.0,
    "scoring_func": "softmax", "topk_method": "greedy", "rope_theta": 10000.0, "rope_scaling": null,
    "max_position_embeddings": 256, "tie_word_embeddings": false, "vocab_size": 61, "torch_dtype": "float32"})");
  EXPECT_TRUE(config.ok()) << config.status();
  TinyCheckpoint files;
  files.add("model.embed_tokens.weight", {61, 32}, 1.0f);
  files.linear("lm_head", 61, 32);
  files.norm("model.norm", 32);
  for (int layer = 0; layer < 2; ++layer) {
    const std::string at = "model.layers." + std::to_string(layer);
    files.norm(at + ".input_layernorm", 32);
    files.norm(at + ".post_attention_layernorm", 32);
    files.linear(at + ".self_attn.q_proj", 2 * 12, 32);
    files.linear(at + ".self_attn.kv_a_proj_with_mqa", 16 + 4, 32);
    files.norm(at + ".self_attn.kv_a_layernorm", 16);
    files.linear(at + ".self_attn.kv_b_proj", 2 * 16, 16);
    files.linear(at + ".self_attn.o_proj", 32, 2 * 8);
    if (layer == 0) {
      add_mlp(files, at + ".mlp", 32, 48);
      continue;
    }
    files.linear(at + ".mlp.gate", 4, 32);
    for (int e = 0; e < 4; ++e) add_mlp(files, at + ".mlp.experts." + std::to_string(e), 32, 16);
    add_mlp(files, at + ".mlp.shared_experts", 32, 16);
  }
  return {*config, files.write()};
}

}  // namespace hadal::testing
