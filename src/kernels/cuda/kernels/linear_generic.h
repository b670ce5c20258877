// Matrix products of any dtype, format and shape in float32 without tensor cores. Private to kernels/cuda.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/kernels/linear_params.h"

namespace hadal::cuda {

/// A warp for each output column, lanes along the inner length: for few rows of x.
cudaError_t launch_linear_generic_rows(cudaStream_t stream, const LinearParams& params);
/// Tiles of 64 x 64 outputs, each the running sum over the inner length in rising order.
cudaError_t launch_linear_generic_tile(cudaStream_t stream, const LinearParams& params);

}  // namespace hadal::cuda
