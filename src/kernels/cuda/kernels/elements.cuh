// Elements of matrices of any floating dtype on the device, one or eight at a time. Dtypes are runtime
// values: they are the same for a whole launch, so the branches are uniform, and these kernels wait for
// memory, not for instructions. Rounding is that of tensor/convert.h: to nearest even, fp8 saturates
// (infinity too).
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <cstdint>

#include "kernels/api/types.h"
#include "kernels/cuda/kernels/ptx.cuh"

namespace hadal::cuda {

inline constexpr int kGroup = 8;  // elements that a thread handles side by side

__device__ __forceinline__ int element_bytes(DType dtype) {
  return dtype == DType::kF32 ? 4 : dtype == DType::kBF16 || dtype == DType::kF16 ? 2 : 1;
}
__device__ __forceinline__ bool is_fp8(DType dtype) {
  return dtype == DType::kF8E4M3 || dtype == DType::kF8E5M2;
}

__device__ __forceinline__ float load_element(DType dtype, const void* data, int64_t index) {
  switch (dtype) {
    case DType::kF8E4M3:
    case DType::kF8E5M2: {
      const auto code = static_cast<const uint8_t*>(data)[index];
      return __half2float(
          __half(__nv_cvt_fp8_to_halfraw(code, dtype == DType::kF8E4M3 ? __NV_E4M3 : __NV_E5M2)));
    }
    case DType::kBF16:
      return __bfloat162float(static_cast<const __nv_bfloat16*>(data)[index]);
    case DType::kF16:
      return __half2float(static_cast<const __half*>(data)[index]);
    default:
      return static_cast<const float*>(data)[index];
  }
}

/// Calls body(load), where load(at) gives elements at and at + 1 (at is even) as a pair of bfloat16. Aligned
/// float32 is read without a branch between the loads, which then are all under way at once.
template <typename Body>
__device__ __forceinline__ void with_pairs(const Mat& mat, const Body& body) {
  if (mat.dtype == DType::kF32 && mat.stride % 2 == 0 &&
      reinterpret_cast<uintptr_t>(mat.data) % sizeof(float2) == 0) {
    body([&](int64_t at) {
      const float2 pair = *reinterpret_cast<const float2*>(static_cast<const float*>(mat.data) + at);
      return pack_bf16(pair.x, pair.y);
    });
  } else {
    body([&](int64_t at) {
      return pack_bf16(load_element(mat.dtype, mat.data, at), load_element(mat.dtype, mat.data, at + 1));
    });
  }
}

__device__ __forceinline__ uint8_t fp8_bits(DType dtype, float value) {
  return __nv_cvt_float_to_fp8(value, __NV_SATFINITE, dtype == DType::kF8E4M3 ? __NV_E4M3 : __NV_E5M2);
}

__device__ __forceinline__ void store_element(DType dtype, void* data, int64_t index, float value) {
  switch (dtype) {
    case DType::kBF16:
      static_cast<__nv_bfloat16*>(data)[index] = __float2bfloat16_rn(value);
      break;
    case DType::kF16:
      static_cast<__half*>(data)[index] = __float2half_rn(value);
      break;
    case DType::kF8E4M3:
    case DType::kF8E5M2:
      static_cast<uint8_t*>(data)[index] = fp8_bits(dtype, value);
      break;
    default:
      static_cast<float*>(data)[index] = value;
  }
}

/// `value` as it comes back from a store in `dtype` (F32, BF16, F16).
__device__ __forceinline__ float rounded_to(DType dtype, float value) {
  if (dtype == DType::kBF16) return __bfloat162float(__float2bfloat16_rn(value));
  if (dtype == DType::kF16) return __half2float(__float2half_rn(value));
  return value;
}

/// Elements [index, index + 8) of which the first `count` exist; the others come back as 0. `vector`: the
/// address of element `index` is a multiple of 16 bytes (8 elements fill one or two such pieces) and count
/// is 8.
__device__ __forceinline__ void load_group(DType dtype, const void* data, int64_t index, int count,
                                           bool vector, float (&out)[kGroup]) {
  if (!vector) {
#pragma unroll
    for (int i = 0; i < kGroup; ++i) out[i] = i < count ? load_element(dtype, data, index + i) : 0.0f;
    return;
  }
  if (dtype == DType::kF32) {
    const auto* from = reinterpret_cast<const float4*>(static_cast<const float*>(data) + index);
    const float4 a = from[0], b = from[1];
    out[0] = a.x, out[1] = a.y, out[2] = a.z, out[3] = a.w;
    out[4] = b.x, out[5] = b.y, out[6] = b.z, out[7] = b.w;
    return;
  }
  const uint4 bits = *reinterpret_cast<const uint4*>(static_cast<const uint16_t*>(data) + index);
  const uint32_t words[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const auto low = static_cast<uint16_t>(words[i]), high = static_cast<uint16_t>(words[i] >> 16);
    if (dtype == DType::kBF16) {
      out[2 * i] = __uint_as_float(uint32_t{low} << 16);
      out[2 * i + 1] = __uint_as_float(uint32_t{high} << 16);
    } else {
      out[2 * i] = __half2float(__ushort_as_half(low));
      out[2 * i + 1] = __half2float(__ushort_as_half(high));
    }
  }
}

/// The counterpart. `vector`: the address is a multiple of min(16, 8 elements' bytes), and count is 8.
__device__ __forceinline__ void store_group(DType dtype, void* data, int64_t index, int count, bool vector,
                                            const float (&in)[kGroup]) {
  if (!vector) {
#pragma unroll
    for (int i = 0; i < kGroup; ++i) {
      if (i < count) store_element(dtype, data, index + i, in[i]);
    }
    return;
  }
  if (dtype == DType::kF32) {
    auto* to = reinterpret_cast<float4*>(static_cast<float*>(data) + index);
    to[0] = make_float4(in[0], in[1], in[2], in[3]);
    to[1] = make_float4(in[4], in[5], in[6], in[7]);
    return;
  }
  if (is_fp8(dtype)) {
    uint32_t words[2] = {0, 0};
#pragma unroll
    for (int i = 0; i < kGroup; ++i) words[i / 4] |= uint32_t{fp8_bits(dtype, in[i])} << (8 * (i % 4));
    *reinterpret_cast<uint2*>(static_cast<uint8_t*>(data) + index) = make_uint2(words[0], words[1]);
    return;
  }
  uint32_t words[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float low = in[2 * i], high = in[2 * i + 1];
    if (dtype == DType::kBF16) {
      words[i] = uint32_t{__bfloat16_as_ushort(__float2bfloat16_rn(low))} |
                 uint32_t{__bfloat16_as_ushort(__float2bfloat16_rn(high))} << 16;
    } else {
      words[i] = uint32_t{__half_as_ushort(__float2half_rn(low))} |
                 uint32_t{__half_as_ushort(__float2half_rn(high))} << 16;
    }
  }
  *reinterpret_cast<uint4*>(static_cast<uint16_t*>(data) + index) =
      make_uint4(words[0], words[1], words[2], words[3]);
}

/// Sum over a block of up to 1,024 threads (a multiple of 32), the same bits in every thread: warps first,
/// then the warps' sums in a fixed tree. `scratch`: 32 floats of shared memory, used again only after a
/// __syncthreads.
__device__ __forceinline__ float block_sum(float value, float* scratch) {
  value = warp_sum(value);
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = value;
  __syncthreads();
  return warp_sum(threadIdx.x % 32 < blockDim.x / 32 ? scratch[threadIdx.x % 32] : 0.0f);
}

/// (a, b) turned by an angle. Written out so that the compiler's choice of fused operations is the same
/// everywhere.
__device__ __forceinline__ float2 rotate_pair(float a, float b, float cosine, float sine) {
  return make_float2(fmaf(a, cosine, -__fmul_rn(b, sine)), fmaf(b, cosine, __fmul_rn(a, sine)));
}

}  // namespace hadal::cuda
