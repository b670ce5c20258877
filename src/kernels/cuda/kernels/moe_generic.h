// The experts of any dtype, format and shape in float32 without tensor cores; sorted items of at most
// kMoeGenericChunk tokens. Private to kernels/cuda.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/kernels/moe_params.h"

namespace hadal::cuda {

inline constexpr int32_t kMoeGenericChunk = 8;

/// hidden[position] = silu(gate x) * up x
cudaError_t launch_moe_generic_gate_up(cudaStream_t stream, const MoeParams& params);
/// rows[pair] = down hidden[position], columns [rows_first, + rows_cols)
cudaError_t launch_moe_generic_down(cudaStream_t stream, const MoeParams& params);

}  // namespace hadal::cuda
