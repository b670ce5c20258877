#include "model/weight_bytes.h"

#include <cmath>

namespace hadal {
namespace {

uint64_t dense_bytes(const ModelConfig& config, int64_t rows, int64_t cols) {
  return static_cast<uint64_t>(rows * cols * bytes_of(config.torch_dtype.value_or(DType::kBF16)));
}

int64_t ceil_div(int64_t value, int64_t by) { return (value + by - 1) / by; }

/// A matrix of a kind that quantised checkpoints quantise.
uint64_t matrix_bytes(const ModelConfig& config, int64_t rows, int64_t cols) {
  const QuantConfig& quant = config.quant;
  switch (quant.method) {
    case QuantMethod::kNone:
      return dense_bytes(config, rows, cols);
    case QuantMethod::kFp8:
      return static_cast<uint64_t>(rows * cols +
                                   4 * ceil_div(rows, quant.block_rows) * ceil_div(cols, quant.block_cols));
    case QuantMethod::kAwq:  // half a byte a value; per group a scale of 2 bytes and a zero of half a byte
      return static_cast<uint64_t>(rows * cols / 2 + ceil_div(cols, quant.group) * rows * 5 / 2);
  }
  return 0;
}

uint64_t attention_bytes(const ModelConfig& config) {
  const int64_t hidden = config.hidden, heads = config.heads;
  if (config.gqa) {
    const GqaConfig& gqa = *config.gqa;
    return matrix_bytes(config, heads * gqa.head_dim, hidden) +
           matrix_bytes(config, hidden, heads * gqa.head_dim) +
           2 * matrix_bytes(config, int64_t{gqa.kv_heads} * gqa.head_dim, hidden);
  }
  const MlaConfig& mla = *config.mla;
  const int64_t query = heads * (mla.nope + mla.rope);
  const uint64_t q = mla.q_lora_rank > 0 ? matrix_bytes(config, mla.q_lora_rank, hidden) +
                                               matrix_bytes(config, query, mla.q_lora_rank)
                                         : matrix_bytes(config, query, hidden);
  return q + matrix_bytes(config, mla.kv_lora_rank + mla.rope, hidden) +
         matrix_bytes(config, heads * (mla.nope + mla.v), mla.kv_lora_rank) +
         matrix_bytes(config, hidden, heads * mla.v);
}

uint64_t mlp_bytes(const ModelConfig& config, int64_t width) {
  return 2 * matrix_bytes(config, width, config.hidden) + matrix_bytes(config, config.hidden, width);
}

}  // namespace

double WeightBytes::read_by_step(const ModelConfig& config, double tokens) const {
  if (config.moe.routed == 0) return static_cast<double>(fixed);
  const double experts = config.moe.routed;
  const double touched = experts * (1.0 - std::pow(1.0 - config.moe.top_k / experts, tokens));
  return static_cast<double>(fixed) + moe_layers * touched * static_cast<double>(routed_expert);
}

WeightBytes weight_bytes_of(const ModelConfig& config) {
  WeightBytes bytes;
  bytes.embedding = dense_bytes(config, config.vocab, config.hidden);
  bytes.fixed = bytes.embedding;  // lm_head, or the embedding again where they are tied
  if (config.moe.routed > 0) bytes.routed_expert = mlp_bytes(config, config.moe.intermediate);
  for (int32_t layer = 0; layer < config.layers; ++layer) {
    bytes.fixed += attention_bytes(config);
    if (config.is_moe_layer(layer)) {
      ++bytes.moe_layers;
      bytes.fixed += dense_bytes(config, config.moe.routed, config.hidden);
      bytes.fixed += mlp_bytes(config, int64_t{config.moe.shared} * config.moe.intermediate);
    } else {
      bytes.fixed += mlp_bytes(config, config.intermediate);
    }
  }
  bytes.total = bytes.fixed + (config.tie_embeddings ? 0 : bytes.embedding) +
                static_cast<uint64_t>(bytes.moe_layers) * static_cast<uint64_t>(config.moe.routed) *
                    bytes.routed_expert;
  return bytes;
}

}  // namespace hadal
