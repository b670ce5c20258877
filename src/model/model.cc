#include "model/model.h"

#include "model/deepseek.h"
#include "model/dense.h"

namespace hadal {

StatusOr<std::unique_ptr<Model>> Model::create(const ModelConfig& config,
                                               std::shared_ptr<const Checkpoint> checkpoint,
                                               std::shared_ptr<Device> device, Communicator& communicator,
                                               const ModelOptions& options) {
  if (options.compute != DType::kF32 && options.compute != DType::kBF16) {
    return invalid_argument("compute dtype must be float32 or bfloat16");
  }
  DecoderParts parts;
  parts.config = config;
  parts.options = options;
  parts.checkpoint = std::move(checkpoint);
  parts.device = std::move(device);
  if (parts.checkpoint != nullptr) {
    for (const auto& file : parts.checkpoint->files()) parts.device->mapped_file(file->file());
  }
  parts.communicator = &communicator;
  parts.groups = cache_groups_of(config, options.cache);
  return config.mla ? make_deepseek(std::move(parts)) : make_dense(std::move(parts));
}

std::vector<CacheGroupLayout> cache_groups_of(const ModelConfig& config, DType cache) {
  return config.mla ? deepseek_cache_groups(config, cache) : dense_cache_groups(config, cache);
}

int64_t cache_bytes_per_token(const std::vector<CacheGroupLayout>& groups) {
  int64_t bytes = 0;
  for (const CacheGroupLayout& group : groups)
    bytes += group.token_bytes * static_cast<int64_t>(group.layers.size());
  return bytes;
}

}  // namespace hadal
