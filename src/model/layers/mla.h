// Multi-head latent attention (specs/deepseek.md 2.2) with its own norms and rotary keys.
#pragma once

#include <memory>
#include <string>

#include "model/layers/layer.h"
#include "model/weights.h"

namespace hadal {

/// `prefix`: "model.layers.N.self_attn". `rope_table`: RopeArgs::table in device memory, outliving the layer.
StatusOr<std::unique_ptr<AttentionLayer>> make_mla_layer(const ModelConfig& config, const std::string& prefix,
                                                         DType compute, const float* rope_table,
                                                         WeightLoader& weights, Device& device,
                                                         Scratch& scratch);

}  // namespace hadal
