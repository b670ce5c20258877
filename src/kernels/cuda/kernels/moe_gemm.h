// The experts of many tokens each: tensor-core tiles of 128 positions by 128 rows of weights. Takes the
// shapes that moe_skinny.h takes, with items of at most kMoeGemmChunk positions. Private to kernels/cuda.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/kernels/moe_params.h"

namespace hadal::cuda {

inline constexpr int32_t kMoeGemmChunk = 128;

/// Shared memory of a block.
int32_t moe_gemm_shared_bytes(WeightFormat format);

/// hidden[position] = silu(gate x) * up x; tokens are gathered on their way to shared memory.
cudaError_t launch_moe_gemm_gate_up(cudaStream_t stream, const MoeParams& params);
/// rows[pair] = down hidden[position], columns [rows_first, + rows_cols)
cudaError_t launch_moe_gemm_down(cudaStream_t stream, const MoeParams& params);

}  // namespace hadal::cuda
