#include "kernels/cuda/kernels/attention_common.cuh"
#include "kernels/cuda/kernels/attention_flash_keys.cuh"
#include "kernels/cuda/kernels/launch.cuh"
#include "kernels/cuda/kernels/ptx.cuh"

namespace hadal::cuda {
namespace {

constexpr int kThreads = 128;

/// Splits of this row and head that have keys; 0: the row is none of an output segment. Metadata alone.
__device__ __forceinline__ int splits_with_keys(const FlashGqa& p, int row, int head) {
  const RowPlace place = place_of_row(p.batch, row);
  if (place.segment < 0 || place.segment >= p.batch.num_output_segments) return 0;
  constexpr int kRows = 16;  // of a decode block
  const int first_row = p.batch.query_start[place.segment], group = p.heads / p.kv_heads;
  const int index = (row - first_row) * group + head % group;
  const KeyRange keys =
      keys_of(p, p.batch.context_len[place.segment], p.batch.query_start[place.segment + 1] - first_row,
              index / kRows * kRows, kRows);
  const int share = tiles_of_split(keys, p.splits);
  return (keys.end - keys.tile + share - 1) / share;
}

/// Merges the splits of one row and head in order.
__global__ void __launch_bounds__(kThreads) merge_kernel(const FlashGqa p) {
  __shared__ float factors[kMaxGqaSplits], weights[kMaxGqaSplits];
  const int row = blockIdx.x, head = blockIdx.y;
  let_next_start();
  const int splits = splits_with_keys(p, row, head);
  wait_for_previous();
  if (splits == 0) return;
  const int width = p.head_dim + 2;
  const float* partial = p.partial + (int64_t{row} * p.heads + head) * p.splits * width;
  const float* states = partial + p.head_dim;
  float top = -INFINITY;
  for (int s = static_cast<int>(threadIdx.x) % 32; s < splits; s += 32) top = fmaxf(top, states[s * width]);
  top = warp_max(top);
  for (int s = static_cast<int>(threadIdx.x); s < splits; s += kThreads) {
    factors[s] = exp2f(states[s * width] - top);  // 0 for a split whose keys the row does not see
    weights[s] = states[s * width + 1];
  }
  __syncthreads();
  for (int c = static_cast<int>(threadIdx.x); c < p.head_dim; c += kThreads) {
    float sum = 0, weight = 0;
#pragma unroll 8
    for (int s = 0; s < splits; ++s) {
      sum += partial[s * width + c] * factors[s];
      weight += weights[s] * factors[s];
    }
    store_element(p.out.dtype, p.out.data, row * p.out.stride + int64_t{head} * p.head_dim + c, sum / weight);
  }
}

}  // namespace

cudaError_t launch_flash_gqa_merge(cudaStream_t stream, const FlashGqa& p) {
  const dim3 grid(static_cast<unsigned>(p.partial_rows), static_cast<unsigned>(p.heads));
  return launch_kernel<merge_kernel>(stream, {grid, kThreads}, p);
}

}  // namespace hadal::cuda
