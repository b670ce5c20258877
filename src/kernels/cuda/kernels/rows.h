// Row and element kernels: one launch each, any mix of F32, BF16 and F16, any stride; eight elements a
// thread, in 16-byte pieces where `vector` says that every address allows it. See kernels/api/ops.h for what
// they compute.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/api/ops.h"

namespace hadal::cuda {

enum class RowOp : int32_t { kCopy, kAdd, kSiluMul };

/// out[r, :] = op(a[ids ? ids[r] : r, :], b[r, :]); b is absent for kCopy.
struct RowsLaunch {
  RowOp op;
  Mat a, b, out;
  const int32_t* ids;
  int64_t rows;
  bool vector;
};
void launch_rows(cudaStream_t stream, const RowsLaunch& launch);

/// Columns that launch_rms_norm takes at most.
inline constexpr int64_t kMaxNormCols = 32768;
void launch_rms_norm(cudaStream_t stream, const RmsNormArgs& args, bool vector);

void launch_rope(cudaStream_t stream, const RopeArgs& args);
void launch_take_tokens(cudaStream_t stream, const TakeTokensArgs& args);

}  // namespace hadal::cuda
