// Which keys a block of rows of flash attention sees, and how splits share them: what attends and what merges
// agree on it. Device code.
#pragma once

#include "kernels/cuda/kernels/attention_flash.h"

namespace hadal::cuda {

/// Keys [first, last) in tiles [tile, end) of kAttentionTile.
struct KeyRange {
  int first, last, tile, end;
};

/// What any of the `rows` rows (token, head of the group) from `base` on sees, of a segment of `tokens` rows
/// at the end of `context` keys.
__device__ __forceinline__ KeyRange keys_of(const FlashGqa& p, int context, int tokens, int base, int rows) {
  const int group = p.heads / p.kv_heads, count = tokens * group;
  const int lowest = context - tokens + base / group;
  const int highest = context - tokens + (min(base + rows, count) - 1) / group;
  const int first = p.window > 0 ? max(0, lowest - p.window + 1) : 0, last = highest + 1;
  return {first, last, first / kAttentionTile, (last + kAttentionTile - 1) / kAttentionTile};
}

/// Tiles that each split takes; the last splits may get none.
__device__ __forceinline__ int tiles_of_split(const KeyRange& keys, int splits) {
  constexpr int kMinSplitTiles = 2;
  return max(kMinSplitTiles, (keys.end - keys.tile + splits - 1) / splits);
}

}  // namespace hadal::cuda
