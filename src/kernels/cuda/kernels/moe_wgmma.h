// The experts of many tokens each, on Hopper's warpgroup instructions (wgmma_tile.cuh): dense bfloat16
// experts of the shapes that moe_skinny.h takes, pairs in sorted order, items of at most kMoeWgmmaChunk
// positions. Private to kernels/cuda.
//
// The copy engine takes boxes, so tokens are first gathered: x's rows by position. A tile that reads rows of
// the next item computes them in vain and stores only its own.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/kernels/moe_params.h"

namespace hadal::cuda {

inline constexpr int32_t kMoeWgmmaChunk = 128;

/// Shared memory of a block.
int32_t moe_wgmma_shared_bytes();

/// gathered [tokens * slots, width] = x's rows by position.
cudaError_t launch_moe_gather(cudaStream_t stream, const MoeParams& params, void* gathered);
/// hidden[position] = silu(gate x) * up x
cudaError_t launch_moe_wgmma_gate_up(cudaStream_t stream, const MoeParams& params, const void* gathered);
/// rows[pair] = down hidden[position], columns [rows_first, + rows_cols)
cudaError_t launch_moe_wgmma_down(cudaStream_t stream, const MoeParams& params);

}  // namespace hadal::cuda
