// How many bytes of KV cache to ask for, and the longest context that they hold.
//
//   --num-gpu-blocks-override N     that many blocks; goes before all others
//   --kv-cache-memory-bytes N       that many bytes; goes before
//   --gpu-memory-utilization U      all that this process takes is this share of the device's memory
//   (default 0.92) none of them, on a CPU          2 GiB, at most a quarter of the free memory, and no more
//   than max_num_seqs contexts
//
// A CPU's memory belongs to others, too: there U is a share of the memory that is free at start, and counts
// only when it is given.
//
// Threads: any. Errors: invalid_argument, resource_exhausted with the arithmetic.
#pragma once

#include <cstdint>
#include <optional>

#include "base/status.h"

namespace hadal {

inline constexpr double kDefaultMemoryUtilization = 0.92;

struct CacheQuestion {
  int64_t token_bytes = 0;  // of one token over all groups
  int32_t block_tokens = 64;
  int32_t model_max_len = 0;  // max_position_embeddings
  int32_t max_model_len = 0;  // as asked for; 0: the model's, or what fits
  int32_t max_num_seqs = 0;
  int32_t num_blocks = 0;                    // as asked for; 0: not
  uint64_t cache_bytes = 0;                  // as asked for; 0: not
  std::optional<double> memory_utilization;  // as asked for
  uint64_t weight_bytes = 0;
  uint64_t total_memory = 0, free_memory = 0;  // of the device
  bool host_memory = true;                     // the device is a CPU
};

struct CachePlan {
  uint64_t bytes = 0;  // 0: the runner goes by num_blocks
  /// > 0: the cache was sized by a share of a device's memory. `bytes` counts the weights alone and is too
  /// much; the runner is to take these bytes in all and sees itself what they leave for the cache.
  uint64_t memory_bytes = 0;
  int32_t max_model_len = 0;
};

StatusOr<CachePlan> plan_cache(const CacheQuestion& question);

}  // namespace hadal
