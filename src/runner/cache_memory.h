// How large a cache is, and its memory: one buffer a layer, bound to the model.
//
// Every group gets the same number of blocks, except that a window group never gets more than all rows of a
// step could hold at once; the null block comes on top.
#pragma once

#include <cstdint>
#include <vector>

#include "base/status.h"
#include "device/device.h"
#include "kvcache/block_math.h"
#include "model/model.h"

namespace hadal {

struct CacheSizing {
  int32_t block_tokens = 64;
  int32_t num_blocks = 0;    // usable blocks of the largest group, or
  uint64_t cache_bytes = 0;  // bytes over all groups, null blocks included
  int32_t max_model_len = 0;
  int32_t max_tokens = 0;  // of a step
  int32_t max_rows = 0;
};

/// Blocks of each group, in the groups' order. Errors: invalid_argument (nothing asked for),
/// resource_exhausted with the arithmetic where a group cannot hold one sequence of max_model_len tokens.
StatusOr<std::vector<CacheGroupSpec>> size_cache(const std::vector<CacheGroupLayout>& groups,
                                                 const CacheSizing& sizing);

/// The longest context, at most sizing.max_model_len, of which a cache of this size holds a sequence; 0:
/// none.
int32_t longest_context(const std::vector<CacheGroupLayout>& groups, const CacheSizing& sizing);

/// Bytes that these groups take, null blocks included.
uint64_t cache_bytes_of(const std::vector<CacheGroupLayout>& groups,
                        const std::vector<CacheGroupSpec>& specs);

/// The cache's memory.
class CacheMemory {
 public:
  /// Allocates a buffer for each layer of each group and binds it to the model.
  static StatusOr<CacheMemory> create(Device& device, Model& model, const std::vector<CacheGroupSpec>& specs);

  /// Every layer of a group.
  const std::vector<CacheLayer>& layers(size_t group) const { return layers_[group]; }

 private:
  std::vector<Buffer> buffers_;
  std::vector<std::vector<CacheLayer>> layers_;
};

}  // namespace hadal
