// Products of any number of rows on the tiles of wgmma_tile.cuh, in turns or with the inner length split over
// a cluster: then each block sums its part, and the parts meet in rising order. What a sum's order depends on
// is the inner length and the split, never the number of rows.
#include <cooperative_groups.h>

#include "kernels/cuda/kernels/launch.cuh"
#include "kernels/cuda/kernels/linear_store.cuh"
#include "kernels/cuda/kernels/linear_wgmma.h"
#include "kernels/cuda/kernels/moe_items.cuh"
#include "kernels/cuda/kernels/tensor_map.h"
#include "kernels/cuda/kernels/wgmma_tile.cuh"

namespace hadal::cuda {
namespace {

constexpr int kOuts = kWgmmaOuts;
static_assert(kWgmmaTileOuts == kWgmmaOuts && kWgmmaStep == kWgmmaDepth);
constexpr int kThreads = kWgmmaThreads;
constexpr int kSumPitch =
    kOuts + 4;                // floats a row of partial sums: a warp's 4 rows by 8 columns meet 32 banks
constexpr int kRowGroup = 8;  // tiles of x that are taken one after the other for one tile of the weight

/// How the grid divides the work.
struct Tiling {
  int32_t row_tiles, out_tiles;
  int32_t split;
  int32_t outs;  // columns of the product: rows of the weight, with silu half of them
};

/// kRowGroup tiles of x beside each other for one tile of the weight, then the next tile of the weight, so
/// that blocks that run together share both sides in L2.
struct TileIndex {
  int32_t row, out;
};
__device__ __forceinline__ TileIndex tile_index(int32_t id, const Tiling& tiling) {
  const int32_t per_group = kRowGroup * tiling.out_tiles;
  const int32_t first = id / per_group * kRowGroup;
  const int32_t rows = min(kRowGroup, tiling.row_tiles - first), inside = id % per_group;
  return {first + inside % rows, inside / rows};
}

/// One thread: has the tiles of this block's products copied.
template <int kRows, bool kSilu>
__device__ __forceinline__ void fill_ring(const WgmmaRing<kRows, kSilu>& ring, const CUtensorMap& weight,
                                          const CUtensorMap& x, const Tiling& tiling, int32_t begin,
                                          int32_t end) {
  const auto boxes_of = [&](int32_t id) {
    const TileIndex tile = tile_index(id, tiling);
    const int32_t out = tile.out * (kSilu ? kOuts / 2 : kOuts);
    return WgmmaBoxes{{out, kSilu ? tiling.outs + out : out + kOuts / 2}, 0, tile.row * kRows};
  };
  const auto blocks = static_cast<int32_t>(gridDim.x) / tiling.split;
  int32_t id = static_cast<int32_t>(blockIdx.x) / tiling.split;  // every block has a tile
  TileFiller<kRows, kSilu> filler{ring, weight, x};
  int32_t ahead = filler.begin_weights(boxes_of(id), begin, end);
  wait_for_previous();
  for (; id < tiling.row_tiles * tiling.out_tiles; id += blocks) {
    filler.fill(boxes_of(id), begin, end, ahead);
    ahead = 0;
  }
  let_next_start();
}

/// Where a column of the product goes.
struct Column {
  void* data;
  int64_t stride;
  float bias;
  bool rounded;  // to bfloat16
};
__device__ __forceinline__ Column column_of(const LinearParams& p, int32_t out) {
  const LinearPart& part = part_of(p, out);
  const bool rounded = part.dtype == DType::kBF16;
  const int64_t bytes = int64_t{out - part.begin} * (rounded ? 2 : 4);
  return {static_cast<char*>(part.data) + bytes, part.stride, bias_value(p.weight, out), rounded};
}
__device__ __forceinline__ void store(const LinearParams& p, const Column& column, int32_t row, float value) {
  if (column.rounded) {
    static_cast<__nv_bfloat16*>(column.data)[row * column.stride] = __float2bfloat16_rn(value + column.bias);
    return;
  }
  float* const to = static_cast<float*>(column.data) + row * column.stride;
  value += column.bias;
  *to = p.accumulate != 0 ? value + *to : value;
}

/// The sums of a thread straight to memory.
template <int kRows, bool kSilu>
__device__ __forceinline__ void store_tile(
    const LinearParams& p, const Tiling& tiling, TileIndex tile, int group,
    const float (&sums)[WgmmaShape<kRows, kSilu>::kProducts][WgmmaShape<kRows, kSilu>::kColumns / 2]) {
  using S = WgmmaShape<kRows, kSilu>;
  const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4, warp = threadIdx.x / 32 % 4;
  const int32_t first_row = tile.row * kRows + (kSilu ? group * S::kColumns : 0) + 2 * t;
  const int32_t first_out = kSilu ? tile.out * (kOuts / 2) : tile.out * kOuts + group * (kOuts / 2);
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const int32_t out = first_out + 16 * warp + 8 * h + g;
    if (out >= tiling.outs) continue;
    const Column column = column_of(p, out);
#pragma unroll
    for (int j = 0; j < S::kColumns / 8; ++j) {
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        const int32_t row = first_row + 8 * j + c;
        const int at = 4 * j + 2 * h + c;
        float value = sums[0][at];
        if constexpr (kSilu) value = silu(value) * sums[1][at];
        if (row < p.rows) store(p, column, row, value);
      }
    }
  }
}

/// The sums of a thread to shared memory, [row of the tile][column of the tile]; with silu gate's columns,
/// then up's.
template <int kRows, bool kSilu>
__device__ __forceinline__ void put_sums(
    float* to, int group,
    const float (&sums)[WgmmaShape<kRows, kSilu>::kProducts][WgmmaShape<kRows, kSilu>::kColumns / 2]) {
  using S = WgmmaShape<kRows, kSilu>;
  static_assert(kRows * kSumPitch * 4 <= S::kRingBytes, "partial sums lie where the stages were");
  const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4, warp = threadIdx.x / 32 % 4;
  const int first_row = (kSilu ? group * S::kColumns : 0) + 2 * t,
            first_out = (kSilu ? 0 : group * (kOuts / 2)) + 16 * warp + g;
#pragma unroll
  for (int product = 0; product < S::kProducts; ++product) {
#pragma unroll
    for (int i = 0; i < S::kColumns / 2; ++i) {
      const int j = i / 4, h = i / 2 % 2, c = i % 2;
      to[(first_row + 8 * j + c) * kSumPitch + first_out + 8 * h + product * (kOuts / 2)] = sums[product][i];
    }
  }
}

#if HADAL_SM90A
/// Two adjacent columns of a row over all blocks of the cluster, in their order.
__device__ __forceinline__ float2 all_parts(const cooperative_groups::cluster_group& cluster, float* sums,
                                            int32_t split, int32_t at) {
  float2 total = make_float2(0.0f, 0.0f);
  for (int32_t rank = 0; rank < split; ++rank) {
    const float2 one =
        *reinterpret_cast<const float2*>(cluster.map_shared_rank(sums, static_cast<unsigned int>(rank)) + at);
    total.x += one.x;
    total.y += one.y;
  }
  return total;
}

/// Block `part` of the cluster adds up its share of the tile's rows and stores them.
template <int kRows, bool kSilu>
__device__ __forceinline__ void store_parts(const LinearParams& p, const Tiling& tiling, TileIndex tile,
                                            int32_t part, float* sums) {
  constexpr int kPairs = (kSilu ? kOuts / 2 : kOuts) / 2;
  const cooperative_groups::cluster_group cluster = cooperative_groups::this_cluster();
  const int32_t begin = kRows * part / tiling.split, end = kRows * (part + 1) / tiling.split;
  for (int32_t i = static_cast<int32_t>(threadIdx.x); i < (end - begin) * kPairs; i += kThreads) {
    const int32_t row = begin + i / kPairs, column = i % kPairs * 2;
    const int32_t to = tile.row * kRows + row, out = tile.out * 2 * kPairs + column;
    if (to >= p.rows) break;  // rows rise with i
    float2 value = all_parts(cluster, sums, tiling.split, row * kSumPitch + column);
    if constexpr (kSilu) {
      const float2 up = all_parts(cluster, sums, tiling.split, row * kSumPitch + column + kOuts / 2);
      value = make_float2(silu(value.x) * up.x, silu(value.y) * up.y);
    }
    store_products(p, to, out, value.x, value.y);
  }
}
#endif

template <int kRows, bool kSilu>
__global__ void __launch_bounds__(kThreads, wgmma_blocks_per_sm(kRows))
    wgmma_kernel(const __grid_constant__ LinearParams p, const __grid_constant__ CUtensorMap weight,
                 const __grid_constant__ CUtensorMap x, const __grid_constant__ Tiling tiling) {
#if HADAL_SM90A
  using S = WgmmaShape<kRows, kSilu>;
  extern __shared__ char shared[];
  const WgmmaRing<kRows, kSilu> ring(shared);
  const int warp = static_cast<int>(threadIdx.x) / 32, group = warp / 4;
  if (threadIdx.x == 0) ring.init();
  __syncthreads();

  const int32_t part = static_cast<int32_t>(blockIdx.x) % tiling.split;  // rank in the cluster
  const int32_t steps = (p.cols + kWgmmaDepth - 1) / kWgmmaDepth;
  const int32_t begin = steps * part / tiling.split, end = steps * (part + 1) / tiling.split;
  const auto blocks = static_cast<int32_t>(gridDim.x) / tiling.split;
  const int32_t first = static_cast<int32_t>(blockIdx.x) / tiling.split;

  if (warp == kWgmmaMultipliers) {
    if (threadIdx.x % 32 == 0) {
      fill_ring(ring, weight, x, tiling, begin, end);
    } else {
      wait_for_previous();
    }
    __syncwarp();
  } else {
    wait_for_previous();  // it may still read what is stored here
    RingPlace<S::kStages> place;
    float sums[S::kProducts][S::kColumns / 2];
    for (int32_t id = first; id < tiling.row_tiles * tiling.out_tiles; id += blocks) {
      multiply_tile<kRows, kSilu>(ring, place, group, end - begin, sums);
      if (tiling.split == 1) {
        store_tile<kRows, kSilu>(p, tiling, tile_index(id, tiling), group, sums);
      } else {  // the cluster's only tile: nothing is on its way to the stages any more
        asm volatile("bar.sync 1, %0;\n" ::"n"(32 * kWgmmaMultipliers)
                     : "memory");  // nor read by the other warpgroup
        put_sums<kRows, kSilu>(reinterpret_cast<float*>(ring.tiles), group, sums);
      }
    }
  }
  if (tiling.split == 1) return;
  const cooperative_groups::cluster_group cluster = cooperative_groups::this_cluster();
  cluster.sync();
  store_parts<kRows, kSilu>(p, tiling, tile_index(first, tiling), part, reinterpret_cast<float*>(ring.tiles));
  cluster.sync();  // peers may still read this block's sums
#endif
}

template <int kRows, bool kSilu>
cudaError_t launch(cudaStream_t stream, const LinearParams& p, WgmmaPlan plan) {
  using S = WgmmaShape<kRows, kSilu>;
  static const cudaError_t allowed = cudaFuncSetAttribute(
      wgmma_kernel<kRows, kSilu>, cudaFuncAttributeMaxDynamicSharedMemorySize, S::kSharedBytes);
  if (allowed != cudaSuccess) return allowed;
  constexpr int32_t kTileOuts = kSilu ? kOuts / 2 : kOuts;
  const int32_t weight_rows = kSilu ? 2 * p.outs : p.outs;
  CUtensorMap weight, x;
  cudaError_t made = describe_rows(p.weight.data, weight_rows, p.cols, p.cols, kOuts / 2, weight);
  if (made == cudaSuccess) made = describe_rows(p.x, p.rows, p.cols, p.x_stride, kRows, x);
  if (made != cudaSuccess) return made;
  const Tiling tiling{(p.rows + kRows - 1) / kRows, (p.outs + kTileOuts - 1) / kTileOuts, plan.split, p.outs};
  const int32_t tiles = tiling.row_tiles * tiling.out_tiles;
  const int32_t blocks = plan.split > 1 ? tiles * plan.split : min(tiles, plan.blocks);
  const LaunchShape shape{dim3(static_cast<unsigned>(blocks)), kThreads, S::kSharedBytes,
                          static_cast<unsigned>(plan.split)};
  return launch_kernel<wgmma_kernel<kRows, kSilu>>(stream, shape, p, weight, x, tiling);
}

}  // namespace

bool has_wgmma_code() {
#if defined(HADAL_CUDA_SM90A)
  return true;
#else
  return false;
#endif
}

int32_t linear_wgmma_shared_bytes(int32_t tile_rows) {
  return tile_rows == 32    ? WgmmaShape<32, false>::kSharedBytes
         : tile_rows == 64  ? WgmmaShape<64, false>::kSharedBytes
         : tile_rows == 128 ? WgmmaShape<128, false>::kSharedBytes
                            : WgmmaShape<256, false>::kSharedBytes;
}

cudaError_t launch_linear_wgmma(cudaStream_t stream, const LinearParams& params, WgmmaPlan plan) {
  switch (plan.rows) {
    case 32:
      return launch<32, false>(stream, params, plan);
    case 64:
      return launch<64, false>(stream, params, plan);
    case 128:
      return launch<128, false>(stream, params, plan);
    default:
      return launch<256, false>(stream, params, plan);
  }
}

cudaError_t launch_linear_wgmma_silu(cudaStream_t stream, const LinearParams& params, WgmmaPlan plan) {
  switch (plan.rows) {
    case 64:
      return launch<64, true>(stream, params, plan);
    case 128:
      return launch<128, true>(stream, params, plan);
    default:
      return launch<256, true>(stream, params, plan);
  }
}

}  // namespace hadal::cuda
