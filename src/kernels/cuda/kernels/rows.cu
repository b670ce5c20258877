#include "kernels/cuda/kernels/elements.cuh"
#include "kernels/cuda/kernels/launch.cuh"
#include "kernels/cuda/kernels/rows.h"

namespace hadal::cuda {
namespace {

constexpr int kThreads = 256;

/// Grid: x = group columns, y = rows (strided, since y is limited to 65,535).
template <RowOp kOp>
__global__ void __launch_bounds__(kThreads) rows_kernel(RowsLaunch p) {
  let_next_start();
  wait_for_previous();
  const int64_t column = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * kGroup;
  if (column >= p.out.cols) return;
  const int count = static_cast<int>(min(int64_t{kGroup}, p.out.cols - column));
  const bool vector = p.vector && count == kGroup;
  for (int64_t row = blockIdx.y; row < p.rows; row += gridDim.y) {
    const int64_t from = p.ids == nullptr ? row : int64_t{p.ids[row]};
    float a[kGroup];
    load_group(p.a.dtype, p.a.data, from * p.a.stride + column, count, vector, a);
    if constexpr (kOp != RowOp::kCopy) {
      float b[kGroup];
      load_group(p.b.dtype, p.b.data, row * p.b.stride + column, count, vector, b);
#pragma unroll
      for (int i = 0; i < kGroup; ++i) {
        a[i] = kOp == RowOp::kAdd ? a[i] + b[i] : a[i] / (1.0f + expf(-a[i])) * b[i];
      }
    }
    store_group(p.out.dtype, p.out.data, row * p.out.stride + column, count, vector, a);
  }
}

/// One block a row. Thread t holds the groups of eight t, t + threads, ... in registers, so the row is read
/// once and the order of the sum depends on the number of columns alone.
template <int kGroups>
__global__ void __launch_bounds__(1024) rms_norm_kernel(RmsNormArgs p, bool vector_rows) {
  __shared__ float scratch[32];
  const int64_t row = blockIdx.x, cols = p.out.cols;
  const bool has_residual = p.residual.data != nullptr, has_x = p.x.data != nullptr;
  constexpr bool kWeightsAhead = kGroups <= 2;  // they are there when the rows come; 4 groups lack registers
  float v[kGroups][kGroup], weights[kWeightsAhead ? kGroups : 1][kGroup];
  let_next_start();
  if constexpr (kWeightsAhead) {
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
      const int64_t column = (int64_t{g} * blockDim.x + threadIdx.x) * kGroup;
      const int count = static_cast<int>(max(int64_t{0}, min(int64_t{kGroup}, cols - column)));
      load_group(p.weight_dtype, p.weight, column, count, vector_rows && count == kGroup, weights[g]);
    }
  }
  wait_for_previous();
  float squares = 0;
#pragma unroll
  for (int g = 0; g < kGroups; ++g) {
    const int64_t column = (int64_t{g} * blockDim.x + threadIdx.x) * kGroup;
    const int count = static_cast<int>(max(int64_t{0}, min(int64_t{kGroup}, cols - column)));
    const bool vector = vector_rows && count == kGroup;
    if (has_x) {
      load_group(p.x.dtype, p.x.data, row * p.x.stride + column, count, vector, v[g]);
    } else {
#pragma unroll
      for (int i = 0; i < kGroup; ++i) v[g][i] = 0;
    }
    if (has_residual) {
      float residual[kGroup];
      load_group(p.residual.dtype, p.residual.data, row * p.residual.stride + column, count, vector,
                 residual);
#pragma unroll
      for (int i = 0; i < kGroup; ++i) {
        v[g][i] = has_x ? rounded_to(p.residual.dtype, residual[i] + v[g][i]) : residual[i];
      }
      if (has_x) {
        store_group(p.residual.dtype, p.residual.data, row * p.residual.stride + column, count, vector, v[g]);
      }
    }
#pragma unroll
    for (int i = 0; i < kGroup; ++i) squares = fmaf(v[g][i], v[g][i], squares);
  }
  const float mean = block_sum(squares, scratch) / static_cast<float>(cols);
  const float inverse = __frcp_rn(__fsqrt_rn(mean + p.eps));
#pragma unroll
  for (int g = 0; g < kGroups; ++g) {
    const int64_t column = (int64_t{g} * blockDim.x + threadIdx.x) * kGroup;
    const int count = static_cast<int>(max(int64_t{0}, min(int64_t{kGroup}, cols - column)));
    const bool vector = vector_rows && count == kGroup;
    float(&weight)[kGroup] = weights[kWeightsAhead ? g : 0];
    if constexpr (!kWeightsAhead) load_group(p.weight_dtype, p.weight, column, count, vector, weight);
#pragma unroll
    for (int i = 0; i < kGroup; ++i) weight[i] *= v[g][i] * inverse;
    store_group(p.out.dtype, p.out.data, row * p.out.stride + column, count, vector, weight);
  }
}

__global__ void __launch_bounds__(kThreads) rope_kernel(RopeArgs p) {
  let_next_start();
  wait_for_previous();
  const int64_t row = blockIdx.x;
  const int half = p.dim / 2;
  const int index = static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x);  // of the pair
  if (index >= p.heads * half) return;
  const int head = index / half, i = index - head * half;
  const float* angles = p.table + int64_t{p.positions[row]} * p.dim;
  float* x = static_cast<float*>(p.x.data) + row * p.x.stride + int64_t{head} * p.head_stride + p.offset;
  const bool interleaved = p.layout == RopeLayout::kInterleaved;
  float* a = x + (interleaved ? 2 * i : i);
  float* b = interleaved ? a + 1 : a + half;
  const float2 turned = rotate_pair(*a, *b, angles[i], angles[half + i]);
  *a = turned.x;
  *b = turned.y;
}

__global__ void __launch_bounds__(kThreads) take_tokens_kernel(TakeTokensArgs p) {
  let_next_start();
  wait_for_previous();
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= p.rows || p.from[i] < 0) return;
  p.token_ids[i] = max(p.sampled[p.from[i]], 0);
}

unsigned blocks_for(int64_t items, int64_t per_block) {
  return static_cast<unsigned>((items + per_block - 1) / per_block);
}

}  // namespace

void launch_rows(cudaStream_t stream, const RowsLaunch& launch) {
  const int64_t groups = (launch.out.cols + kGroup - 1) / kGroup;
  const auto threads = static_cast<unsigned>(min(int64_t{kThreads}, (groups + 31) / 32 * 32));
  const dim3 grid(blocks_for(groups, threads), static_cast<unsigned>(min(launch.rows, int64_t{65535})));
  const LaunchShape shape{grid, threads};
  switch (launch.op) {
    case RowOp::kCopy:
      launch_kernel<rows_kernel<RowOp::kCopy>>(stream, shape, launch);
      break;
    case RowOp::kAdd:
      launch_kernel<rows_kernel<RowOp::kAdd>>(stream, shape, launch);
      break;
    case RowOp::kSiluMul:
      launch_kernel<rows_kernel<RowOp::kSiluMul>>(stream, shape, launch);
      break;
  }
}

void launch_rms_norm(cudaStream_t stream, const RmsNormArgs& args, bool vector) {
  const int64_t groups = (args.out.cols + kGroup - 1) / kGroup;
  const auto threads = static_cast<unsigned>(min(int64_t{1024}, (groups + 31) / 32 * 32));
  const LaunchShape shape{static_cast<unsigned>(args.out.rows), threads};
  if (groups <= threads) {
    launch_kernel<rms_norm_kernel<1>>(stream, shape, args, vector);
  } else if (groups <= 2 * threads) {
    launch_kernel<rms_norm_kernel<2>>(stream, shape, args, vector);
  } else {
    launch_kernel<rms_norm_kernel<4>>(stream, shape, args, vector);
  }
}

void launch_rope(cudaStream_t stream, const RopeArgs& args) {
  const int64_t pairs = int64_t{args.heads} * (args.dim / 2);
  const auto threads = static_cast<unsigned>(min(int64_t{kThreads}, (pairs + 31) / 32 * 32));
  const dim3 grid(static_cast<unsigned>(args.x.rows), blocks_for(pairs, threads));
  launch_kernel<rope_kernel>(stream, {grid, threads}, args);
}

void launch_take_tokens(cudaStream_t stream, const TakeTokensArgs& args) {
  launch_kernel<take_tokens_kernel>(stream, {blocks_for(args.rows, kThreads), kThreads}, args);
}

}  // namespace hadal::cuda
