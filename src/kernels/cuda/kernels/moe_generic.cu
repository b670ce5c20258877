#include "kernels/cuda/kernels/launch.cuh"
#include "kernels/cuda/kernels/moe_generic.h"
#include "kernels/cuda/kernels/moe_items.cuh"
#include "kernels/cuda/kernels/ptx.cuh"
#include "kernels/cuda/kernels/weights.cuh"

namespace hadal::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kChunk = kMoeGenericChunk;

/// Element of x or of the hidden products: F32 or BF16.
__device__ __forceinline__ float activation(DType dtype, const void* data, int64_t index) {
  return dtype == DType::kBF16 ? __bfloat162float(static_cast<const __nv_bfloat16*>(data)[index])
                               : static_cast<const float*>(data)[index];
}

/// A warp for each row of gate and up, lanes along the inner length: a value's order of summation depends on
/// that length alone.
__global__ void __launch_bounds__(kWarps * 32) gate_up_kernel(const __grid_constant__ MoeParams p) {
  wait_for_previous();
  const MoeItem item = item_at(p, blockIdx.x);
  const int32_t n = blockIdx.y * kWarps + threadIdx.x / 32;
  if (item.count == 0 || n >= p.inner) return;
  const int lane = threadIdx.x % 32;
  const WeightRef gate = matrix_of(p.routed.gate, item.expert), up = matrix_of(p.routed.up, item.expert);
  const bool rounded = p.x_dtype == DType::kBF16;
  int64_t token[kChunk];
  float gates[kChunk], ups[kChunk];
#pragma unroll
  for (int i = 0; i < kChunk; ++i) {
    token[i] = i < item.count ? pair_at(p, item.first + i) / p.slots * p.x_stride : 0;
    gates[i] = ups[i] = 0;
  }
  for (int32_t k = lane; k < p.width; k += 32) {
    const float g = weight_value(gate, n, k, rounded), u = weight_value(up, n, k, rounded);
#pragma unroll
    for (int i = 0; i < kChunk; ++i) {
      if (i >= item.count) break;
      const float x = activation(p.x_dtype, p.x, token[i] + k);
      gates[i] = fmaf(g, x, gates[i]);
      ups[i] = fmaf(u, x, ups[i]);
    }
  }
#pragma unroll
  for (int i = 0; i < kChunk; ++i) {
    if (i >= item.count) break;
    const float value = silu(warp_sum(gates[i])) * warp_sum(ups[i]);
    const int64_t at = int64_t{item.first + i} * p.inner + n;
    if (lane != 0) continue;
    if (rounded) {
      static_cast<__nv_bfloat16*>(p.hidden)[at] = __float2bfloat16_rn(value);
    } else {
      static_cast<float*>(p.hidden)[at] = value;
    }
  }
}

__global__ void __launch_bounds__(kWarps * 32) down_kernel(const __grid_constant__ MoeParams p) {
  wait_for_previous();
  const MoeItem item = item_at(p, blockIdx.x);
  const int32_t c = blockIdx.y * kWarps + threadIdx.x / 32;
  if (item.count == 0 || c >= p.rows_cols) return;
  const int lane = threadIdx.x % 32;
  const WeightRef down = matrix_of(p.routed.down, item.expert);
  const bool rounded = p.x_dtype == DType::kBF16;
  float sums[kChunk];
#pragma unroll
  for (int i = 0; i < kChunk; ++i) sums[i] = 0;
  for (int32_t k = lane; k < p.inner; k += 32) {
    const float w = weight_value(down, p.rows_first + c, k, rounded);
#pragma unroll
    for (int i = 0; i < kChunk; ++i) {
      if (i >= item.count) break;
      sums[i] = fmaf(w, activation(p.x_dtype, p.hidden, int64_t{item.first + i} * p.inner + k), sums[i]);
    }
  }
#pragma unroll
  for (int i = 0; i < kChunk; ++i) {
    if (i >= item.count) break;
    const float sum = warp_sum(sums[i]);
    if (lane == 0) p.rows[int64_t{pair_at(p, item.first + i)} * p.rows_cols + c] = sum;
  }
}

dim3 grid_of(const MoeParams& params, int32_t rows) {
  return dim3(params.max_items, (rows + kWarps - 1) / kWarps);
}

}  // namespace

cudaError_t launch_moe_generic_gate_up(cudaStream_t stream, const MoeParams& params) {
  return launch_kernel<gate_up_kernel>(stream, {grid_of(params, params.inner), kWarps * 32}, params);
}

cudaError_t launch_moe_generic_down(cudaStream_t stream, const MoeParams& params) {
  return launch_kernel<down_kernel>(stream, {grid_of(params, params.rows_cols), kWarps * 32}, params);
}

}  // namespace hadal::cuda
