// Matrix products with few rows of x, bound by reading the weight. Private to kernels/cuda.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/kernels/linear_params.h"

namespace hadal::cuda {

inline constexpr int32_t kSkinnyRows = 16;

/// Columns of the weight that a warp takes at a time: the inner length must be a multiple, and a scale or
/// group must cover whole lanes' runs (a quarter of it).
constexpr int32_t skinny_chunk(WeightFormat format) {
  return format == WeightFormat::kDense ? 32 : format == WeightFormat::kFp8Block ? 64 : 128;
}

/// Needs: x BF16, rows on 16 bytes, at most kSkinnyRows; the weight dense BF16, fp8 or AWQ, its rows on 16
/// bytes, its inner length a multiple of skinny_chunk.
cudaError_t launch_linear_skinny(cudaStream_t stream, const LinearParams& params, int32_t sm_count);

/// The same bits, of dense weights and at most kStreamRows rows, with more of the weight under way; takes
/// linear_stream_shared_bytes() of a block's shared memory.
inline constexpr int32_t kStreamRows = 8;
int32_t linear_stream_shared_bytes();
cudaError_t launch_linear_stream(cudaStream_t stream, const LinearParams& params, int32_t sm_count);

}  // namespace hadal::cuda
