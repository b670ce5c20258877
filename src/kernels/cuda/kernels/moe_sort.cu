#include "kernels/cuda/kernels/launch.cuh"
#include "kernels/cuda/kernels/moe_items.cuh"
#include "kernels/cuda/kernels/moe_sort.h"
#include "kernels/cuda/kernels/ptx.cuh"

namespace hadal::cuda {
namespace {

/// Exclusive sum over the block's threads, and the total; `scratch` is 33 integers of shared memory.
__device__ int32_t block_sum_before(int32_t value, int32_t* scratch, int32_t& total) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  int32_t sum = value;
#pragma unroll
  for (int step = 1; step < 32; step *= 2) {
    const int32_t below = __shfl_up_sync(0xffffffffu, sum, step);
    if (lane >= step) sum += below;
  }
  __syncthreads();
  if (lane == 31) scratch[warp] = sum;
  __syncthreads();
  int32_t before = 0;
  total = 0;
  for (int w = 0; w < warps; ++w) {
    if (w < warp) before += scratch[w];
    total += scratch[w];
  }
  return before + sum - value;
}

/// A block for each expert. Every block counts all experts (so that no block waits for another), then finds
/// its own expert's pairs: a warp takes an adjacent part of the pairs, 32 at a time.
__global__ void sort_kernel(const __grid_constant__ MoeParams p) {
  extern __shared__ int32_t counts[];  // [routed + shared]
  __shared__ int32_t scratch[32];
  const int32_t routed = p.routed.count, all = routed + p.shared.count;
  const int32_t expert = blockIdx.x;
  let_next_start();
  wait_for_previous();
  const int32_t live = live_of(p.live, p.tokens);
  const int32_t pairs = live * p.top_k;
  for (int32_t e = threadIdx.x; e < all; e += blockDim.x) counts[e] = e < routed ? 0 : live;
  __syncthreads();
  for (int32_t i = threadIdx.x; i < pairs; i += blockDim.x) {
    const int32_t id = p.ids[i];
    if (id >= 0 && id < routed) atomicAdd(&counts[id], 1);
  }
  __syncthreads();

  int32_t positions = 0, pieces = 0, all_pieces = 0;  // of experts below, of all
  for (int32_t e = threadIdx.x; e < all; e += blockDim.x) {
    const int32_t mine = (counts[e] + p.chunk - 1) / p.chunk;
    all_pieces += mine;
    if (e < expert) positions += counts[e], pieces += mine;
  }
  int32_t first, first_item, total_items;
  block_sum_before(positions, scratch, first);
  block_sum_before(pieces, scratch, first_item);
  block_sum_before(all_pieces, scratch, total_items);
  const int32_t count = counts[expert];
  for (int32_t c = threadIdx.x; c * p.chunk < count; c += blockDim.x) {
    p.items[first_item + c] = {expert, first + c * p.chunk, min(p.chunk, count - c * p.chunk), 0};
  }
  if (expert == 0) {
    for (int32_t i = total_items + threadIdx.x; i < p.max_items; i += blockDim.x) p.items[i] = {0, 0, 0, 0};
  }

  if (expert >= routed) {  // a slice of the shared experts: every token
    for (int32_t t = threadIdx.x; t < live; t += blockDim.x)
      p.list[first + t] = t * p.slots + p.top_k + expert - routed;
    return;
  }
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  const int32_t share = ((pairs + warps - 1) / warps + 31) / 32 * 32;
  const int32_t begin = min(pairs, warp * share), end = min(pairs, begin + share);
  int32_t found = 0;
  for (int32_t i = begin; i < end; i += 32) {
    const bool mine = i + lane < end && p.ids[i + lane] == expert;
    found += __popc(__ballot_sync(0xffffffffu, mine));
  }
  int32_t ignored;
  // lane 0 speaks for its warp
  int32_t at = first + __shfl_sync(0xffffffffu, block_sum_before(lane == 0 ? found : 0, scratch, ignored), 0);
  for (int32_t i = begin; i < end; i += 32) {
    const bool mine = i + lane < end && p.ids[i + lane] == expert;
    const uint32_t votes = __ballot_sync(0xffffffffu, mine);
    if (mine) {
      const int32_t pair = i + lane;
      p.list[at + __popc(votes & ((1u << lane) - 1))] = pair / p.top_k * p.slots + pair % p.top_k;
    }
    at += __popc(votes);
  }
}

}  // namespace

cudaError_t launch_moe_sort(cudaStream_t stream, const MoeParams& params) {
  const int32_t experts = params.routed.count + params.shared.count;
  const unsigned threads = params.tokens * params.top_k <= 2048 ? 256 : 1024;
  const LaunchShape shape{static_cast<unsigned>(experts), threads,
                          static_cast<size_t>(experts) * sizeof(int32_t)};
  return launch_kernel<sort_kernel>(stream, shape, params);
}

}  // namespace hadal::cuda
