// fp8 cache values as bfloat16. Device code.
#pragma once

#include <cuda_fp8.h>

#include "kernels/cuda/kernels/ptx.cuh"

namespace hadal::cuda {

/// Eight fp8 values as bfloat16; both formats fit exactly.
__device__ __forceinline__ uint4 widen_fp8(uint2 codes, bool e4m3) {
  uint32_t out[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const auto pair = static_cast<__nv_fp8x2_storage_t>((i < 2 ? codes.x : codes.y) >> (16 * (i % 2)));
    const __half2 halves = __nv_cvt_fp8x2_to_halfraw2(pair, e4m3 ? __NV_E4M3 : __NV_E5M2);
    const float2 values = __half22float2(halves);
    out[i] = pack_bf16(values.x, values.y);
  }
  return {out[0], out[1], out[2], out[3]};
}

}  // namespace hadal::cuda
