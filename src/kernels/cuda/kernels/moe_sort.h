// The order of pairs by expert. Private to kernels/cuda.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/kernels/moe_params.h"

namespace hadal::cuda {

/// Fills `list` (positions of live pairs only) and all `max_items` of `items`. A counting sort: pairs of an
/// expert stay in rising order, whatever the scheduling.
cudaError_t launch_moe_sort(cudaStream_t stream, const MoeParams& params);

/// Items that there can be at most.
constexpr int32_t moe_item_bound(int64_t tokens, int32_t top_k, int32_t experts, int32_t slices,
                                 int32_t chunk) {
  const int64_t pairs = tokens * top_k;
  return static_cast<int32_t>(pairs / chunk + (pairs < experts ? pairs : experts) +
                              slices * ((tokens + chunk - 1) / chunk));
}

}  // namespace hadal::cuda
