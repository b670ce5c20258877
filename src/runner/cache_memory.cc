#include "runner/cache_memory.h"

#include <algorithm>
#include <limits>

namespace hadal {
namespace {

uint64_t block_bytes(const CacheGroupLayout& group, int32_t block_tokens) {
  return static_cast<uint64_t>(group.token_bytes) * static_cast<uint64_t>(block_tokens) * group.layers.size();
}

CacheGroupSpec spec_of(const CacheGroupLayout& group, const CacheSizing& sizing) {
  return {.name = group.name,
          .block_tokens = sizing.block_tokens > 0 ? sizing.block_tokens : group.default_block_tokens,
          .num_blocks = 0,
          .window = group.retention == CacheRetention::kWindow ? group.window : 0};
}

/// Usable blocks of a group if the largest has `blocks`.
int64_t share_of(const CacheGroupSpec& spec, int64_t blocks, const CacheSizing& sizing) {
  if (spec.window <= 0) return blocks;
  const int64_t most = most_blocks_held(spec, sizing.max_model_len, sizing.max_tokens);
  return std::min(blocks, most * sizing.max_rows);
}

uint64_t bytes_for(const std::vector<CacheGroupLayout>& groups, const std::vector<CacheGroupSpec>& specs,
                   int64_t blocks, const CacheSizing& sizing) {
  uint64_t sum = 0;
  for (size_t g = 0; g < groups.size(); ++g) {
    sum += static_cast<uint64_t>(share_of(specs[g], blocks, sizing) + 1) *
           block_bytes(groups[g], specs[g].block_tokens);
  }
  return sum;
}

/// The most blocks that fit into sizing.cache_bytes; 0 if none do.
int64_t blocks_in_bytes(const std::vector<CacheGroupLayout>& groups, const std::vector<CacheGroupSpec>& specs,
                        const CacheSizing& sizing) {
  int64_t low = 0, high = std::numeric_limits<int32_t>::max() / 2;
  for (const CacheGroupSpec& spec : specs) {  // slots are 32-bit numbers
    high = std::min<int64_t>(high, std::numeric_limits<int32_t>::max() / spec.block_tokens - 1);
  }
  high = std::min<int64_t>(high, static_cast<int64_t>(sizing.cache_bytes));
  while (low < high) {
    const int64_t middle = low + (high - low + 1) / 2;
    if (bytes_for(groups, specs, middle, sizing) <= sizing.cache_bytes) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

Status check_holds_one(const std::vector<CacheGroupLayout>& groups, const std::vector<CacheGroupSpec>& specs,
                       const CacheSizing& sizing) {
  int64_t least = 0;  // blocks of the largest group that would do
  for (const CacheGroupSpec& spec : specs) {
    least = std::max<int64_t>(least, most_blocks_held(spec, sizing.max_model_len, 1));
  }
  for (const CacheGroupSpec& spec : specs) {
    const int32_t needed = most_blocks_held(spec, sizing.max_model_len, 1);
    if (needed <= spec.num_blocks - 1) continue;
    return resource_exhausted(
        "the KV cache cannot hold one sequence of max_model_len {} tokens: cache group {} needs {} blocks of "
        "{} tokens "
        "and has {} ({}); it takes {} bytes of cache memory in all groups, or a smaller max_model_len",
        sizing.max_model_len, spec.name, needed, spec.block_tokens, std::max(0, spec.num_blocks - 1),
        sizing.num_blocks > 0 ? fmt::format("num_blocks {}", sizing.num_blocks)
                              : fmt::format("{} bytes of cache memory", sizing.cache_bytes),
        bytes_for(groups, specs, least, sizing));
  }
  return OkStatus();
}

}  // namespace

StatusOr<std::vector<CacheGroupSpec>> size_cache(const std::vector<CacheGroupLayout>& groups,
                                                 const CacheSizing& sizing) {
  if (sizing.num_blocks <= 0 && sizing.cache_bytes == 0) {
    return invalid_argument("give the KV cache a number of blocks or of bytes");
  }
  std::vector<CacheGroupSpec> specs;
  for (const CacheGroupLayout& group : groups) specs.push_back(spec_of(group, sizing));
  const int64_t blocks = sizing.num_blocks > 0 ? sizing.num_blocks : blocks_in_bytes(groups, specs, sizing);
  for (CacheGroupSpec& spec : specs) {
    const int64_t count = share_of(spec, blocks, sizing) + 1;
    if (count > std::numeric_limits<int32_t>::max() / spec.block_tokens) {
      return invalid_argument("{} blocks of {} tokens are more than this cache can address", count - 1,
                              spec.block_tokens);
    }
    spec.num_blocks = static_cast<int32_t>(count);
  }
  RETURN_IF_ERROR(check_holds_one(groups, specs, sizing));
  return specs;
}

int32_t longest_context(const std::vector<CacheGroupLayout>& groups, const CacheSizing& sizing) {
  int32_t low = 0, high = sizing.max_model_len;
  while (low < high) {
    CacheSizing asked = sizing;
    asked.max_model_len = low + (high - low + 1) / 2;
    if (size_cache(groups, asked).ok()) {
      low = asked.max_model_len;
    } else {
      high = asked.max_model_len - 1;
    }
  }
  return low;
}

uint64_t cache_bytes_of(const std::vector<CacheGroupLayout>& groups,
                        const std::vector<CacheGroupSpec>& specs) {
  uint64_t sum = 0;
  for (size_t g = 0; g < groups.size(); ++g) {
    sum += static_cast<uint64_t>(specs[g].num_blocks) * block_bytes(groups[g], specs[g].block_tokens);
  }
  return sum;
}

StatusOr<CacheMemory> CacheMemory::create(Device& device, Model& model,
                                          const std::vector<CacheGroupSpec>& specs) {
  CacheMemory memory;
  const std::vector<CacheGroupLayout>& groups = model.cache_groups();
  for (size_t g = 0; g < groups.size(); ++g) {
    const int64_t stride = groups[g].token_bytes * specs[g].block_tokens;
    std::vector<CacheLayer>& layers = memory.layers_.emplace_back();
    for (const int32_t layer : groups[g].layers) {
      StatusOr<Buffer> buffer =
          device.allocate(static_cast<uint64_t>(stride) * static_cast<uint64_t>(specs[g].num_blocks));
      if (!buffer.ok()) {
        return annotate(buffer.status(), fmt::format("KV cache of {} bytes", cache_bytes_of(groups, specs)));
      }
      const CacheLayer bound{.base = buffer->data(),
                             .block_stride = stride,
                             .token_bytes = groups[g].token_bytes,
                             .block_tokens = specs[g].block_tokens,
                             .dtype = groups[g].dtype,
                             .rope_dtype = groups[g].rope_dtype};
      RETURN_IF_ERROR(model.bind_cache(layer, bound));
      layers.push_back(bound);
      memory.buffers_.push_back(std::move(*buffer));
    }
  }
  return memory;
}

}  // namespace hadal
