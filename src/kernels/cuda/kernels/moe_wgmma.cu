#include "kernels/cuda/kernels/launch.cuh"
#include "kernels/cuda/kernels/moe_items.cuh"
#include "kernels/cuda/kernels/moe_wgmma.h"
#include "kernels/cuda/kernels/tensor_map.h"
#include "kernels/cuda/kernels/wgmma_tile.cuh"

namespace hadal::cuda {
namespace {

constexpr int kRows = kMoeWgmmaChunk;
constexpr int kGatherThreads = 256;
constexpr int kGatherBlocks = 8;  // an item

/// Where the matrices of a set's experts lie in the matrix that the set's map describes.
struct ExpertBoxes {
  int32_t rows, columns;  // from one expert to the next
  int32_t up;             // rows from gate to up
};

struct MoeMaps {
  CUtensorMap routed, shared, x;
  ExpertBoxes routed_boxes, shared_boxes;
};

/// A block copies every kGatherBlocks-th row of an item, 16 bytes a thread.
__global__ void gather_kernel(const __grid_constant__ MoeParams p, uint4* gathered) {
  let_next_start();
  wait_for_previous();
  const MoeItem item = item_at(p, static_cast<int32_t>(blockIdx.x));
  const int32_t pieces = p.width / 8;
  for (int32_t r = static_cast<int32_t>(blockIdx.y); r < item.count; r += kGatherBlocks) {
    const int32_t position = item.first + r;
    const auto* from = reinterpret_cast<const uint4*>(static_cast<const __nv_bfloat16*>(p.x) +
                                                      pair_at(p, position) / p.slots * p.x_stride);
    uint4* const to = gathered + int64_t{position} * pieces;
    for (auto i = static_cast<int32_t>(threadIdx.x); i < pieces; i += kGatherThreads) to[i] = from[i];
  }
}

/// The hidden values of an item's positions, 64 columns.
__device__ __forceinline__ void store_hidden(const MoeParams& p, const MoeItem& item, int32_t first_column,
                                             int group, const float (&sums)[2][kRows / 4]) {
  const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4, warp = threadIdx.x / 32 % 4;
  const int32_t column = first_column + 16 * warp + g;
  auto* const hidden = static_cast<__nv_bfloat16*>(p.hidden) + int64_t{item.first} * p.inner + column;
#pragma unroll
  for (int i = 0; i < kRows / 4; ++i) {
    const int32_t row = group * (kRows / 2) + 8 * (i / 4) + 2 * t + i % 2, below = 8 * (i / 2 % 2);
    if (row < item.count && column + below < p.inner) {
      hidden[int64_t{row} * p.inner + below] = __float2bfloat16_rn(silu(sums[0][i]) * sums[1][i]);
    }
  }
}

/// Down's products of an item's positions, 64 columns, to the rows of their pairs.
__device__ __forceinline__ void store_rows(const MoeParams& p, const MoeItem& item, int32_t first_column,
                                           const float (&sums)[1][kRows / 2]) {
  const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4, warp = threadIdx.x / 32 % 4;
  const int32_t column = first_column + 16 * warp + g;
#pragma unroll
  for (int j = 0; j < kRows / 8; ++j) {
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      const int32_t row = 8 * j + 2 * t + c;
      if (row >= item.count) continue;
      float* const to = p.rows + int64_t{pair_at(p, item.first + row)} * p.rows_cols + column;
      if (column < p.rows_cols) to[0] = sums[0][4 * j + c];
      if (column + 8 < p.rows_cols) to[8] = sums[0][4 * j + 2 + c];
    }
  }
}

/// A block for each item (y) and tile of an expert's columns (x): tiles run through an expert's weights item
/// by item, so that these lie in L2.
template <bool kGateUp>
__global__ void __launch_bounds__(kWgmmaThreads, 2)
    moe_wgmma_kernel(const __grid_constant__ MoeParams p, const __grid_constant__ MoeMaps maps) {
#if HADAL_SM90A
  using S = WgmmaShape<kRows, kGateUp>;
  extern __shared__ char shared[];
  const WgmmaRing<kRows, kGateUp> ring(shared);
  if (threadIdx.x == 0) ring.init();
  __syncthreads();
  wait_for_previous();
  const MoeItem item = item_at(p, static_cast<int32_t>(blockIdx.y));
  if (item.count == 0) return;

  const bool routed = item.expert < p.routed.count;
  const int32_t expert = routed ? item.expert : item.expert - p.routed.count;
  const ExpertBoxes& place = routed ? maps.routed_boxes : maps.shared_boxes;
  const int32_t column = static_cast<int32_t>(blockIdx.x) * (kGateUp ? kWgmmaOuts / 2 : kWgmmaOuts);
  const int32_t steps = (kGateUp ? p.width : p.inner) / kWgmmaDepth;
  const int warp = static_cast<int>(threadIdx.x) / 32, group = warp / 4;

  if (warp == kWgmmaMultipliers) {
    if (threadIdx.x % 32 != 0) return;
    const int32_t row = expert * place.rows + (kGateUp ? 0 : p.rows_first) + column;
    const WgmmaBoxes boxes{
        {row, row + (kGateUp ? place.up : kWgmmaOuts / 2)}, expert * place.columns, item.first};
    TileFiller<kRows, kGateUp> filler{ring, routed ? maps.routed : maps.shared, maps.x};
    filler.fill(boxes, 0, steps, 0);
    let_next_start();
    return;
  }
  RingPlace<S::kStages> ring_place;
  float sums[S::kProducts][S::kColumns / 2];
  multiply_tile<kRows, kGateUp>(ring, ring_place, group, steps, sums);
  if constexpr (kGateUp) {
    store_hidden(p, item, column, group, sums);
  } else {
    store_rows(p, item, column + group * (kWgmmaOuts / 2), sums);
  }
#endif
}

/// The set's matrix `first` and all that lie `stride` bytes behind each other, as one.
cudaError_t describe_set(const ExpertMatrix& matrix, const ExpertMatrix* up, int32_t count, CUtensorMap& map,
                         ExpertBoxes& boxes) {
  const WeightRef& first = matrix.first;
  const int64_t row_bytes = first.cols * 2;
  const bool beside = matrix.stride % row_bytes != 0;  // slices of columns of one matrix
  boxes.rows = beside ? 0 : static_cast<int32_t>(matrix.stride / row_bytes);
  boxes.columns = beside ? static_cast<int32_t>(matrix.stride / 2) : 0;
  int64_t rows = int64_t{boxes.rows} * (count - 1) + first.rows;
  if (up != nullptr) {
    const int64_t apart = static_cast<const char*>(up->first.data) - static_cast<const char*>(first.data);
    boxes.up = static_cast<int32_t>(apart / row_bytes);
    rows += boxes.up;
  }
  return describe_rows(first.data, rows, first.cols, first.cols, kWgmmaOuts / 2, map);
}

template <bool kGateUp>
cudaError_t run(cudaStream_t stream, const MoeParams& p, const void* x) {
  constexpr int kBytes = WgmmaShape<kRows, kGateUp>::kSharedBytes;
  static const cudaError_t allowed =
      cudaFuncSetAttribute(moe_wgmma_kernel<kGateUp>, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes);
  if (allowed != cudaSuccess) return allowed;
  MoeMaps maps{};
  const int64_t cols = kGateUp ? p.width : p.inner;
  cudaError_t made = describe_rows(x, int64_t{p.tokens} * p.slots, cols, cols, kRows, maps.x);
  const auto describe = [&](const ExpertSet& set, CUtensorMap& map, ExpertBoxes& boxes) {
    if (made != cudaSuccess || set.count == 0) return;
    made = describe_set(kGateUp ? set.gate : set.down, kGateUp ? &set.up : nullptr, set.count, map, boxes);
  };
  describe(p.routed, maps.routed, maps.routed_boxes);
  describe(p.shared, maps.shared, maps.shared_boxes);
  if (made != cudaSuccess) return made;
  constexpr int kColumns = kGateUp ? kWgmmaOuts / 2 : kWgmmaOuts;
  const int32_t columns = kGateUp ? p.inner : p.rows_cols;
  const dim3 grid((columns + kColumns - 1) / kColumns, p.max_items);
  return launch_kernel<moe_wgmma_kernel<kGateUp>>(stream, LaunchShape{grid, kWgmmaThreads, kBytes}, p, maps);
}

}  // namespace

int32_t moe_wgmma_shared_bytes() { return WgmmaShape<kRows, false>::kSharedBytes; }

cudaError_t launch_moe_gather(cudaStream_t stream, const MoeParams& params, void* gathered) {
  const LaunchShape shape{dim3(static_cast<unsigned>(params.max_items), kGatherBlocks), kGatherThreads};
  return launch_kernel<gather_kernel>(stream, shape, params, static_cast<uint4*>(gathered));
}

cudaError_t launch_moe_wgmma_gate_up(cudaStream_t stream, const MoeParams& params, const void* gathered) {
  return run<true>(stream, params, gathered);
}
cudaError_t launch_moe_wgmma_down(cudaStream_t stream, const MoeParams& params) {
  return run<false>(stream, params, params.hidden);
}

}  // namespace hadal::cuda
