// Dense models: Llama (DeepSeek-LLM, Coder, R1-Distill-Llama) and Qwen2 (R1-Distill-Qwen).
#pragma once

#include <memory>
#include <vector>

#include "model/decoder.h"

namespace hadal {

/// Full-attention layers form one group, layers of one window size another.
std::vector<CacheGroupLayout> dense_cache_groups(const ModelConfig& config, DType cache);
StatusOr<std::unique_ptr<Model>> make_dense(DecoderParts parts);

}  // namespace hadal
