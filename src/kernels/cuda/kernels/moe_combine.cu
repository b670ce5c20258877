#include "kernels/cuda/kernels/launch.cuh"
#include "kernels/cuda/kernels/moe_combine.h"
#include "kernels/cuda/kernels/moe_items.cuh"
#include "kernels/cuda/kernels/ptx.cuh"

namespace hadal::cuda {
namespace {

constexpr int kThreads = 128;

__device__ __forceinline__ float weight_of_slot(const MoeParams& p, int32_t token, int32_t slot) {
  return slot < p.top_k ? p.weights[token * p.top_k + slot] : 1.0f;
}

/// Four columns a thread, a token for each blockIdx.x. The sum is written as moe_tiny.cu writes it (one fused
/// multiply-add a slot), so that both give the same bits.
__global__ void combine_kernel(const __grid_constant__ MoeParams p, bool vector) {
  let_next_start();
  wait_for_previous();
  const int32_t token = blockIdx.x;
  const int32_t column = (blockIdx.y * kThreads + threadIdx.x) * 4;
  if (column >= p.rows_cols) return;
  const int count = min(4, p.rows_cols - column);
  float* out = p.out + token * p.out_stride + p.rows_first + column;
  float sum[4] = {0, 0, 0, 0};
  if (p.accumulate != 0) {
    for (int i = 0; i < count; ++i) sum[i] = out[i];
  }
  if (token < live_of(p.live, p.tokens)) {
    const float* row = p.rows + int64_t{token} * p.slots * p.rows_cols + column;
#pragma unroll 4
    for (int32_t slot = 0; slot < p.slots; ++slot, row += p.rows_cols) {
      // read whether or not it counts, so that no load waits for another; a row of no expert holds anything
      float4 value = make_float4(0, 0, 0, 0);
      if (vector) {
        value = *reinterpret_cast<const float4*>(row);
      } else {
        value.x = row[0];
        if (count > 1) value.y = row[1];
        if (count > 2) value.z = row[2];
        if (count > 3) value.w = row[3];
      }
      const float weight = weight_of_slot(p, token, slot);
      if (expert_of(p, token, slot) < 0) continue;
      sum[0] = fmaf(weight, value.x, sum[0]);
      sum[1] = fmaf(weight, value.y, sum[1]);
      sum[2] = fmaf(weight, value.z, sum[2]);
      sum[3] = fmaf(weight, value.w, sum[3]);
    }
  }
  for (int i = 0; i < count; ++i) out[i] = sum[i];
}

__global__ void pack_kernel(const uint16_t* from, int64_t stride, uint16_t* to, int64_t cols) {
  let_next_start();
  wait_for_previous();
  for (int64_t c = threadIdx.x; c < cols; c += blockDim.x)
    to[blockIdx.x * cols + c] = from[blockIdx.x * stride + c];
}

}  // namespace

cudaError_t launch_moe_combine(cudaStream_t stream, const MoeParams& params) {
  const bool vector = params.rows_cols % 4 == 0;  // `rows` is aligned
  const dim3 grid(params.tokens, (params.rows_cols + 4 * kThreads - 1) / (4 * kThreads));
  return launch_kernel<combine_kernel>(stream, {grid, kThreads}, params, vector);
}

cudaError_t launch_pack_rows(cudaStream_t stream, const void* from, int64_t stride, void* to, int64_t rows,
                             int64_t cols) {
  return launch_kernel<pack_kernel>(stream, {static_cast<unsigned>(rows), 256},
                                    static_cast<const uint16_t*>(from), stride, static_cast<uint16_t*>(to),
                                    cols);
}

}  // namespace hadal::cuda
