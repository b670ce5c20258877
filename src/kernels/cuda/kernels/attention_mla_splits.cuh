// How the keys of a row are split: what attends and what merges agree on it. Device code.
#pragma once

namespace hadal::cuda {

/// Tiles that a split of a row of `all` tiles takes.
__device__ __forceinline__ int tiles_of_split(int all, int splits) {
  constexpr int kMinSplitTiles = 1;
  return max(kMinSplitTiles, (all + splits - 1) / splits);
}

}  // namespace hadal::cuda
