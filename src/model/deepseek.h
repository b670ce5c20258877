// DeepSeek-V2, V2-Lite, V3, R1, V3.1: multi-head latent attention, dense layers first, then mixture of
// experts.
#pragma once

#include <memory>
#include <vector>

#include "model/decoder.h"

namespace hadal {

std::vector<CacheGroupLayout> deepseek_cache_groups(const ModelConfig& config, DType cache);
StatusOr<std::unique_ptr<Model>> make_deepseek(DecoderParts parts);

}  // namespace hadal
