// The sum of a token's slots. Private to kernels/cuda.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/kernels/moe_params.h"

namespace hadal::cuda {

/// out[token, rows_first + c] = the sum over slots, in order, of weight * rows[pair, c]; padding becomes 0.
cudaError_t launch_moe_combine(cudaStream_t stream, const MoeParams& params);

/// to [rows, cols] without gaps = from, whose rows are `stride` elements of two bytes apart.
cudaError_t launch_pack_rows(cudaStream_t stream, const void* from, int64_t stride, void* to, int64_t rows,
                             int64_t cols);

}  // namespace hadal::cuda
