// Weight values of every format on the device (layouts: kernels/cuda/prepared.h; numerics: top of
// kernels/api/ops.h). One value at a time for the generic kernels, runs of 4, 8 and 16 as pairs of bfloat16
// for the tensor cores.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <cstdint>

#include "kernels/cuda/kernels/elements.cuh"

namespace hadal::cuda {

/// 2^(byte - 127); 0 is the float's denormal, 255 NaN.
__device__ __forceinline__ float e8m0_value(uint8_t byte) {
  const uint32_t bits = byte == 0 ? 0x00400000u : byte == 255 ? 0x7FC00000u : uint32_t{byte} << 23;
  return __uint_as_float(bits);
}

__device__ __forceinline__ float fp8_scale(const void* scales, DType dtype, int64_t index) {
  return dtype == DType::kF8E8M0 ? e8m0_value(static_cast<const uint8_t*>(scales)[index])
                                 : __ldg(static_cast<const float*>(scales) + index);
}

/// Bias of output `row`, 0 without one.
__device__ __forceinline__ float bias_value(const WeightRef& w, int64_t row) {
  return w.bias == nullptr ? 0.0f : load_element(w.bias_dtype, w.bias, row);
}

/// W[row, col] in float32; `rounded`: a quantised value is rounded to bfloat16 (bfloat16 activations).
__device__ __forceinline__ float weight_value(const WeightRef& w, int64_t row, int64_t col, bool rounded) {
  float value = 0.0f;
  switch (w.format) {
    case WeightFormat::kDense:
      return load_element(w.dtype, w.data, row * w.cols + col);
    case WeightFormat::kFp8Block: {
      const int64_t blocks = (w.cols + w.block_cols - 1) / w.block_cols;
      const int64_t scale = row / w.block_rows * blocks + static_cast<int32_t>(col) / w.block_cols;
      value = load_element(DType::kF8E4M3, w.data, row * w.cols + col) *
              fp8_scale(w.scales, w.scale_dtype, scale);
      break;
    }
    case WeightFormat::kAwqGemm: {
      const uint32_t word = static_cast<const uint32_t*>(w.data)[row * (w.cols / 8) + col / 8];
      const int64_t group = row * (w.cols / w.group) + static_cast<int32_t>(col) / w.group;
      const int32_t nibble = static_cast<int32_t>(word >> (4 * (col % 8)) & 15u);
      value = static_cast<float>(nibble - static_cast<const uint8_t*>(w.zeros)[group]) *
              __half2float(static_cast<const __half*>(w.scales)[group]);
      break;
    }
    default:
      return 0.0f;
  }
  return rounded ? __bfloat162float(__float2bfloat16_rn(value)) : value;
}

// ---- runs of values as pairs of bfloat16 (the lower column in the lower half) ----

/// Four e4m3 bytes times a scale: out[0] holds columns 0, 1, out[1] columns 2, 3.
__device__ __forceinline__ void decode_fp8x4(uint32_t bytes, float scale, uint32_t& out0, uint32_t& out1) {
  const float2 low = __half22float2(
      __half2(__nv_cvt_fp8x2_to_halfraw2(static_cast<__nv_fp8x2_storage_t>(bytes & 0xFFFFu), __NV_E4M3)));
  const float2 high = __half22float2(
      __half2(__nv_cvt_fp8x2_to_halfraw2(static_cast<__nv_fp8x2_storage_t>(bytes >> 16), __NV_E4M3)));
  const __nv_bfloat162 a = __floats2bfloat162_rn(low.x * scale, low.y * scale);
  const __nv_bfloat162 b = __floats2bfloat162_rn(high.x * scale, high.y * scale);
  out0 = *reinterpret_cast<const uint32_t*>(&a);
  out1 = *reinterpret_cast<const uint32_t*>(&b);
}

/// Scale and zero of a group of AWQ values, as decode_awq8 wants them: a float16 scale (11 significant bits)
/// is exactly the sum of two bfloat16s (8 bits each).
struct AwqGroup {
  __nv_bfloat162 high, low;  // scale = high + low
  __nv_bfloat162 zero;       // 128 + zero
};
__device__ __forceinline__ AwqGroup awq_group(__half scale, uint8_t zero) {
  const float value = __half2float(scale);
  const __nv_bfloat16 high = __float2bfloat16_rn(value);
  const __nv_bfloat16 low = __float2bfloat16_rn(value - __bfloat162float(high));
  return {__bfloat162bfloat162(high), __bfloat162bfloat162(low),
          __bfloat162bfloat162(__ushort_as_bfloat16(static_cast<uint16_t>(0x4300u | zero)))};
}

/// Eight AWQ values: out[i] holds columns 2 i, 2 i + 1. bf16((q - zero) * scale) with one rounding: q - zero
/// has at most 4 significant bits and `low` at most 3, so their product is exact, and the fused multiply-add
/// of it with (q - zero) * high rounds the exact sum once. 0x4300 | q is the bfloat16 128 + q.
__device__ __forceinline__ void decode_awq8(uint32_t word, const AwqGroup& group, uint32_t* out) {
  const uint32_t odd = word >> 4;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    // byte i of `word` has column 2 i in its low nibble, byte i of `odd` column 2 i + 1
    const uint32_t spread =
        __byte_perm(word, odd, static_cast<uint32_t>(i | i << 4 | (4 + i) << 8 | (4 + i) << 12));
    const uint32_t magic = (spread & 0x000F000Fu) | 0x43004300u;
    const __nv_bfloat162 q = __hsub2(*reinterpret_cast<const __nv_bfloat162*>(&magic), group.zero);
    const __nv_bfloat162 value = __hfma2(q, group.high, __hmul2_rn(q, group.low));
    out[i] = *reinterpret_cast<const uint32_t*>(&value);
  }
}

}  // namespace hadal::cuda
