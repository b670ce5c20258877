// Feed-forward kinds: the dense gated MLP, and the mixture of experts with shared experts
// (specs/deepseek.md 2.5).
#pragma once

#include <memory>
#include <string>

#include "model/layers/layer.h"
#include "model/weights.h"

namespace hadal {

/// `prefix`: "model.layers.N.mlp".
StatusOr<std::unique_ptr<FeedForward>> make_dense_mlp(const ModelConfig& config, const std::string& prefix,
                                                      DType compute, WeightLoader& weights, Device& device,
                                                      Scratch& scratch);

StatusOr<std::unique_ptr<FeedForward>> make_moe(const ModelConfig& config, const std::string& prefix,
                                                DType compute, WeightLoader& weights, Device& device,
                                                Scratch& scratch);

/// gate, up and down of one MLP, as a prepared group's members.
StatusOr<Prepared> prepare_mlp(const ModelConfig& config, const std::string& prefix, int64_t width,
                               DType compute, WeightLoader& weights, Device& device);

}  // namespace hadal
