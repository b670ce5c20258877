// Weights made up on the device (WeightRef::dummy_seed). Private to kernels/cuda.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "tensor/dtype.h"

namespace hadal::cuda {

/// False if this build holds no code that the current device can run.
bool has_code_for_device();

/// `count` values about N(0, 0.02) in F32, BF16 or F16; the same for the same seed.
cudaError_t fill_normal(void* data, DType dtype, int64_t count, uint64_t seed, cudaStream_t stream);
/// Random bytes; with `fp8` none of them is a NaN of e4m3.
cudaError_t fill_bytes(void* data, int64_t count, uint64_t seed, bool fp8, cudaStream_t stream);
/// One value everywhere, in F32, BF16, F16 or F8_E8M0 (a power of two there).
cudaError_t fill_constant(void* data, DType dtype, int64_t count, float value, cudaStream_t stream);

}  // namespace hadal::cuda
