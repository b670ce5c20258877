#include "kernels/cuda/kernels/launch.cuh"
#include "kernels/cuda/kernels/linear_generic.h"
#include "kernels/cuda/kernels/linear_store.cuh"
#include "kernels/cuda/kernels/ptx.cuh"

namespace hadal::cuda {
namespace {

__device__ __forceinline__ float x_value(const LinearParams& p, int32_t row, int32_t col) {
  const int64_t index = row * p.x_stride + col;
  return p.x_dtype == DType::kBF16 ? __bfloat162float(static_cast<const __nv_bfloat16*>(p.x)[index])
                                   : static_cast<const float*>(p.x)[index];
}

// ---- few rows ----

constexpr int kRowWarps = 4;
constexpr int kRowGroup = 4;  // rows of x that share one decoding of a weight

/// Lane l sums columns l, l + 32, ... in rising order, then the lanes' sums meet in a fixed tree.
__global__ void __launch_bounds__(kRowWarps * 32)
    generic_rows_kernel(const __grid_constant__ LinearParams p) {
  let_next_start();
  wait_for_previous();
  const int32_t column =
      static_cast<int32_t>(blockIdx.x) * kRowWarps + static_cast<int32_t>(threadIdx.x) / 32;
  const int32_t lane = static_cast<int32_t>(threadIdx.x) % 32;
  if (column >= p.outs) return;
  const bool rounded = p.x_dtype == DType::kBF16;
  const int32_t first = static_cast<int32_t>(blockIdx.y) * kRowGroup;
  const int32_t count = min(kRowGroup, p.rows - first);
  float sum[kRowGroup] = {};
#pragma unroll 4
  for (int32_t k = lane; k < p.cols; k += 32) {
    const float w = weight_value(p.weight, column, k, rounded);
#pragma unroll
    for (int r = 0; r < kRowGroup; ++r) {
      if (r < count) sum[r] = fmaf(w, x_value(p, first + r, k), sum[r]);
    }
  }
#pragma unroll
  for (int r = 0; r < kRowGroup; ++r) {
    const float total = warp_sum(sum[r]);
    if (lane == 0 && r < count) store_product(p, first + r, column, total);
  }
}

// ---- many rows ----

constexpr int kTile = 64;
constexpr int kDepth = 16;
constexpr int kThreads = 256;
constexpr int kPitch = kTile + 4;

/// Thread (ty, tx) of 16 x 16 holds rows 4 ty + i and columns 4 tx + j of the tile. Shared memory holds both
/// sides transposed, [depth][row], so that a thread's four values are one 16-byte read.
__global__ void __launch_bounds__(kThreads) generic_tile_kernel(const __grid_constant__ LinearParams p) {
  wait_for_previous();
  __shared__ __align__(16) float x_tile[kDepth][kPitch];
  __shared__ __align__(16) float w_tile[kDepth][kPitch];
  const int32_t thread = static_cast<int32_t>(threadIdx.x);
  const int32_t row0 = static_cast<int32_t>(blockIdx.y) * kTile;
  const int32_t column0 = static_cast<int32_t>(blockIdx.x) * kTile;
  const int32_t ty = thread / 16, tx = thread % 16;
  const bool rounded = p.x_dtype == DType::kBF16;
  float sum[4][4] = {};
  for (int32_t k0 = 0; k0 < p.cols; k0 += kDepth) {
#pragma unroll
    for (int i = 0; i < kTile * kDepth / kThreads; ++i) {
      // 16 neighbouring threads read 16 neighbouring columns of one row
      const int32_t r = thread / kDepth + i * (kThreads / kDepth), k = thread % kDepth;
      const bool inside = k0 + k < p.cols;
      x_tile[k][r] = inside && row0 + r < p.rows ? x_value(p, row0 + r, k0 + k) : 0.0f;
      w_tile[k][r] =
          inside && column0 + r < p.outs ? weight_value(p.weight, column0 + r, k0 + k, rounded) : 0.0f;
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < kDepth; ++k) {
      const float4 a = *reinterpret_cast<const float4*>(&x_tile[k][4 * ty]);
      const float4 b = *reinterpret_cast<const float4*>(&w_tile[k][4 * tx]);
      const float as[4] = {a.x, a.y, a.z, a.w}, bs[4] = {b.x, b.y, b.z, b.w};
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j) sum[i][j] = fmaf(as[i], bs[j], sum[i][j]);
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int32_t row = row0 + 4 * ty + i;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int32_t column = column0 + 4 * tx + j;
      if (row < p.rows && column < p.outs) store_product(p, row, column, sum[i][j]);
    }
  }
}

unsigned int blocks(int32_t size, int32_t each) {
  return static_cast<unsigned int>((size + each - 1) / each);
}

}  // namespace

cudaError_t launch_linear_generic_rows(cudaStream_t stream, const LinearParams& params) {
  const dim3 grid(blocks(params.outs, kRowWarps), blocks(params.rows, kRowGroup));
  return launch_kernel<generic_rows_kernel>(stream, {grid, kRowWarps * 32}, params);
}

cudaError_t launch_linear_generic_tile(cudaStream_t stream, const LinearParams& params) {
  const dim3 grid(blocks(params.outs, kTile), blocks(params.rows, kTile));
  return launch_kernel<generic_tile_kernel>(stream, {grid, kThreads}, params);
}

}  // namespace hadal::cuda
