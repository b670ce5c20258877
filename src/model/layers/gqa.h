// Grouped-query attention of the dense models (Llama, Qwen2), with biases and sliding windows.
#pragma once

#include <memory>
#include <string>

#include "model/layers/layer.h"
#include "model/weights.h"

namespace hadal {

struct GqaLayerPlace {
  int32_t layer = 0;
  int32_t cache_group = 0;
};

/// `prefix`: "model.layers.N.self_attn".
StatusOr<std::unique_ptr<AttentionLayer>> make_gqa_layer(const ModelConfig& config, GqaLayerPlace place,
                                                         DType compute, const float* rope_table,
                                                         WeightLoader& weights, Device& device,
                                                         Scratch& scratch);

}  // namespace hadal
