// How many bytes a model's weights take, from config.json alone: for the roofline of a benchmark, for sizing
// before anything is read, and for checkpoints that do not exist (--load-format dummy).
//
// Counts matrices and the embedding in the config's formats (specs/deepseek.md 2.10: fp8 with block scales,
// AWQ with group scales and zeros; embedding, lm_head and router stay in torch_dtype); norms and biases are
// left out (under 0.1 %).
#pragma once

#include <cstdint>

#include "model/config.h"

namespace hadal {

struct WeightBytes {
  uint64_t embedding = 0;      // rows are looked up, not read
  uint64_t fixed = 0;          // read by every step: attention, dense and shared MLPs, routers, lm_head
  uint64_t routed_expert = 0;  // one routed expert of one layer
  int32_t moe_layers = 0;
  uint64_t total = 0;

  /// Bytes that a step of `tokens` tokens must read if routing is uniform: `fixed`, and in each MoE layer the
  /// E (1 - (1 - k/E)^tokens) experts that are expected to be chosen.
  double read_by_step(const ModelConfig& config, double tokens) const;
};

WeightBytes weight_bytes_of(const ModelConfig& config);

}  // namespace hadal
