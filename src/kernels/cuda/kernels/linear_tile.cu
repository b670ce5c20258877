// Tiles of kRows rows of x by 128 rows of the weight, four warps. Steps of 64 columns come through a ring of
// stages in shared memory (cp.async); a quantised weight's raw bytes do, and are decoded to bfloat16 one step
// ahead of the products, into one of two buffers.
//
// Shared layout: a row of a step is 64 bfloat16 = eight pieces of 16 bytes; piece c of row r lies in place
// c ^ (r % 8), so that the eight rows of an 8 x 8 matrix at one c lie in eight different places and ldmatrix
// meets no bank conflict.
//
// Order of summation: k in steps of 16, rising, in one accumulator; with a split each block of the cluster
// sums its part so, and the parts meet in rising order. It depends on the inner length and the split, never
// on kRows or on which tile a row is in.
#include <cooperative_groups.h>

#include "kernels/cuda/kernels/launch.cuh"
#include "kernels/cuda/kernels/linear_store.cuh"
#include "kernels/cuda/kernels/linear_tile.h"
#include "kernels/cuda/kernels/ptx.cuh"

namespace hadal::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kOuts = kTileOuts;
constexpr int kDepth = kTileDepth;
constexpr int kRowBytes = kDepth * 2;
constexpr int kPieces = kRowBytes / 16;  // of 16 bytes a row
constexpr int kSumPitch = kOuts + 8;     // floats a row of partial sums: quads of 4 rows meet other banks
constexpr int kGroupRows = 16;  // tiles of x that are taken one after the other for one tile of the weight

template <WeightFormat kFormat, int kRows>
struct Shape {
  static constexpr bool kDecoded = kFormat != WeightFormat::kDense;
  static constexpr int kStages = kRows == 128 ? 3 : kDecoded ? 5 : 4;  // two blocks share an SM
  static constexpr int kXBytes = kRows * kRowBytes;
  static constexpr int kRawRowBytes = kFormat == WeightFormat::kDense      ? kRowBytes
                                      : kFormat == WeightFormat::kFp8Block ? kDepth
                                                                           : kDepth / 2;
  static constexpr int kRawBytes = kOuts * kRawRowBytes;
  static constexpr int kStageBytes = kXBytes + kRawBytes;
  static constexpr int kDecodedBytes = kDecoded ? kOuts * kRowBytes : 0;
  static constexpr int kLoopBytes = kStages * kStageBytes + 2 * kDecodedBytes;
  static constexpr int kSumBytes = kRows * kSumPitch * 4;
  static constexpr int kBytes = kLoopBytes > kSumBytes ? kLoopBytes : kSumBytes;
  // warps: 2 x 2 of (kRows / 2) x 64, or 1 x 4 of 32 x 32
  static constexpr int kWarpRows = kRows == 32 ? 32 : kRows / 2;
  static constexpr int kWarpOuts = kRows == 32 ? 32 : 64;
  static constexpr int kWarpsAcross = kOuts / kWarpOuts;
  static constexpr int kRowTiles = kWarpRows / 16;
  static constexpr int kOutTiles = kWarpOuts / 8;
};

__device__ __forceinline__ int swizzled(int row, int piece) {
  return row * kRowBytes + ((piece ^ (row & 7)) << 4);
}

/// Step k0's rows of x, zeros outside the matrix.
template <int kRows>
__device__ __forceinline__ void load_x(const LinearParams& p, int32_t row0, int32_t k0, char* to) {
  const auto* x = static_cast<const __nv_bfloat16*>(p.x);
#pragma unroll
  for (int i = 0; i < kRows * kPieces / kThreads; ++i) {
    const int32_t id = static_cast<int32_t>(threadIdx.x) + i * kThreads;
    const int32_t r = id / kPieces, c = id % kPieces, k = k0 + 8 * c;
    const bool inside = row0 + r < p.rows && k < p.cols;
    copy_async16(to + swizzled(r, c), inside ? x + (row0 + r) * p.x_stride + k : x, inside);
  }
}

/// Step k0's rows of the weight: bfloat16 in the swizzled layout, raw bytes row after row.
template <WeightFormat kFormat, int kRawRowBytes>
__device__ __forceinline__ void load_weight(const LinearParams& p, int32_t out0, int32_t k0, char* to) {
  constexpr int kRawPieces = kRawRowBytes / 16;
  constexpr int kColumns = kDepth / kRawPieces;  // in 16 bytes
  const auto* data = static_cast<const char*>(p.weight.data);
  const int64_t row_bytes = int64_t{p.cols} * 16 / kColumns;
#pragma unroll
  for (int i = 0; i < kOuts * kRawPieces / kThreads; ++i) {
    const int32_t id = static_cast<int32_t>(threadIdx.x) + i * kThreads;
    const int32_t r = id / kRawPieces, c = id % kRawPieces, k = k0 + kColumns * c;
    const bool inside = out0 + r < p.outs && k < p.cols;
    const char* from = inside ? data + (out0 + r) * row_bytes + int64_t{k / kColumns} * 16 : data;
    char* at = to + (kFormat == WeightFormat::kDense ? swizzled(r, c) : r * kRawRowBytes + 16 * c);
    copy_async16(at, from, inside);
  }
}

/// Raw bytes of step k0 to bfloat16 in the swizzled layout. A thread takes runs of 16 columns, four a row.
template <WeightFormat kFormat>
__device__ __forceinline__ void decode_weight(const LinearParams& p, int32_t out0, int32_t k0,
                                              const char* raw, char* to) {
  const WeightRef& w = p.weight;
#pragma unroll
  for (int i = 0; i < kOuts * 4 / kThreads; ++i) {
    const int32_t id = static_cast<int32_t>(threadIdx.x) + i * kThreads;
    const int32_t r = id / 4, c = id % 4;
    // outside the matrix the raw bytes are zeros: any scale will do for fp8; for AWQ any group makes finite
    // values, which meet the zeros of x
    const int32_t row = min(out0 + r, p.outs - 1), k = min(k0 + 16 * c, p.cols - 16);
    uint32_t values[8];
    if constexpr (kFormat == WeightFormat::kFp8Block) {
      const int32_t blocks = (p.cols + w.block_cols - 1) / w.block_cols;
      const float scale =
          fp8_scale(w.scales, w.scale_dtype, int64_t{row / w.block_rows} * blocks + k / w.block_cols);
      const uint4 bits = *reinterpret_cast<const uint4*>(raw + r * kDepth + 16 * c);
      decode_fp8x4(bits.x, scale, values[0], values[1]);
      decode_fp8x4(bits.y, scale, values[2], values[3]);
      decode_fp8x4(bits.z, scale, values[4], values[5]);
      decode_fp8x4(bits.w, scale, values[6], values[7]);
    } else {
      const int64_t group = int64_t{row} * (p.cols / w.group) + k / w.group;
      const AwqGroup scale =
          awq_group(static_cast<const __half*>(w.scales)[group], static_cast<const uint8_t*>(w.zeros)[group]);
      const uint2 bits = *reinterpret_cast<const uint2*>(raw + r * (kDepth / 2) + 8 * c);
      decode_awq8(bits.x, scale, values);
      decode_awq8(bits.y, scale, values + 4);
    }
    *reinterpret_cast<uint4*>(to + swizzled(r, 2 * c)) =
        make_uint4(values[0], values[1], values[2], values[3]);
    *reinterpret_cast<uint4*>(to + swizzled(r, 2 * c + 1)) =
        make_uint4(values[4], values[5], values[6], values[7]);
  }
}

/// The products of one step. Lane l gives ldmatrix the address of row l % 8 of matrix l / 8; x: matrices in
/// the order (rows 0-7, k 0-7), (8-15, 0-7), (0-7, 8-15), (8-15, 8-15); weight: (0-7, 0-7), (0-7, 8-15),
/// (8-15, 0-7), (8-15, 8-15): the fragments of mma_bf16 for 16 rows of x and for two tiles of 8 outputs.
template <typename S>
__device__ __forceinline__ void multiply(const char* x, const char* w, int32_t warp_row, int32_t warp_out,
                                         float (&sum)[S::kRowTiles][S::kOutTiles][4]) {
  const int32_t lane = static_cast<int32_t>(threadIdx.x) % 32;
  const int32_t x_row = warp_row + lane % 16, x_piece = lane / 16;
  const int32_t w_row = warp_out + lane % 8 + lane / 16 * 8, w_piece = lane / 8 % 2;
#pragma unroll
  for (int k = 0; k < kDepth / 16; ++k) {
    uint32_t a[S::kRowTiles][4], b[S::kOutTiles / 2][4];
#pragma unroll
    for (int m = 0; m < S::kRowTiles; ++m) load_matrix4(a[m], x + swizzled(x_row + 16 * m, 2 * k + x_piece));
#pragma unroll
    for (int n = 0; n < S::kOutTiles / 2; ++n) {
      load_matrix4(b[n], w + swizzled(w_row + 16 * n, 2 * k + w_piece));
    }
#pragma unroll
    for (int m = 0; m < S::kRowTiles; ++m) {
#pragma unroll
      for (int n = 0; n < S::kOutTiles; ++n) {
        mma_bf16(sum[m][n], a[m], b[n / 2][n % 2 * 2], b[n / 2][n % 2 * 2 + 1]);
      }
    }
  }
}

/// Which tile a block computes: kGroupRows tiles of x beside each other for one tile of the weight, then the
/// next tile of the weight, so that blocks that run together share both sides in L2.
struct TileIndex {
  int32_t row, out;
};
__device__ __forceinline__ TileIndex tile_index(int32_t id, int32_t row_tiles, int32_t out_tiles) {
  const int32_t per_group = kGroupRows * out_tiles;
  const int32_t first = id / per_group * kGroupRows;
  const int32_t rows = min(kGroupRows, row_tiles - first), inside = id % per_group;
  return {first + inside % rows, inside / rows};
}

template <WeightFormat kFormat, int kRows>
__global__ void __launch_bounds__(kThreads, 2)
    tile_kernel(const __grid_constant__ LinearParams p, int32_t row_tiles, int32_t out_tiles, int32_t split) {
  using S = Shape<kFormat, kRows>;
  extern __shared__ __align__(128) char shared[];
  const int32_t part = static_cast<int32_t>(blockIdx.x) % split;  // rank in the cluster
  const TileIndex tile = tile_index(static_cast<int32_t>(blockIdx.x) / split, row_tiles, out_tiles);
  const int32_t row0 = tile.row * kRows, out0 = tile.out * kOuts;
  const int32_t steps = (p.cols + kDepth - 1) / kDepth;
  const int32_t begin = steps * part / split, end = steps * (part + 1) / split;

  const int32_t warp = static_cast<int32_t>(threadIdx.x) / 32, lane = static_cast<int32_t>(threadIdx.x) % 32;
  const int32_t warp_row = warp / S::kWarpsAcross * S::kWarpRows;
  const int32_t warp_out = warp % S::kWarpsAcross * S::kWarpOuts;
  float sum[S::kRowTiles][S::kOutTiles][4] = {};

  const auto stage = [&](int32_t step) { return shared + (step - begin) % S::kStages * S::kStageBytes; };
  const auto decoded = [&](int32_t step) {
    return shared + S::kStages * S::kStageBytes + (step - begin) % 2 * S::kDecodedBytes;
  };
  const auto load_step_weight = [&](int32_t step) {
    if (step < end) load_weight<kFormat, S::kRawRowBytes>(p, out0, step * kDepth, stage(step) + S::kXBytes);
  };
  const auto load_step_x =
      [&](int32_t step) {  // always a group, so that counting them works at the end as well
        if (step < end) load_x<kRows>(p, row0, step * kDepth, stage(step));
        copy_async_commit();
      };
  const auto load = [&](int32_t step) {
    load_step_weight(step);
    load_step_x(step);
  };

  // the first steps' weights need not wait for x; they are part of the first group
#pragma unroll
  for (int i = 0; i < S::kStages - 1; ++i) load_step_weight(begin + i);
  wait_for_previous();
#pragma unroll
  for (int i = 0; i < S::kStages - 1; ++i) load_step_x(begin + i);

  if constexpr (!S::kDecoded) {
    for (int32_t step = begin; step < end; ++step) {
      copy_async_wait<S::kStages - 2>();  // this step's bytes are here ...
      __syncthreads();                    // ... everyone's, and the stage of step - 1 is free again
      load(step + S::kStages - 1);
      multiply<S>(stage(step), stage(step) + S::kXBytes, warp_row, warp_out, sum);
    }
  } else {
    // a stage holds x until its products are done: kStages - 1 steps are under way, of which one is decoded
    copy_async_wait<S::kStages - 2>();
    __syncthreads();
    if (begin < end) {
      decode_weight<kFormat>(p, out0, begin * kDepth, stage(begin) + S::kXBytes, decoded(begin));
    }
    for (int32_t step = begin; step < end; ++step) {
      copy_async_wait<S::kStages - 3>();  // the next step's bytes are here
      __syncthreads();                    // and this step is decoded, and the stage of step - 1 is free
      load(step + S::kStages - 1);
      if (step + 1 < end) {
        decode_weight<kFormat>(p, out0, (step + 1) * kDepth, stage(step + 1) + S::kXBytes, decoded(step + 1));
      }
      multiply<S>(stage(step), decoded(step), warp_row, warp_out, sum);
    }
  }

  let_next_start();

  const int32_t g = lane / 4, t = lane % 4;
  if (split == 1) {
#pragma unroll
    for (int m = 0; m < S::kRowTiles; ++m) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int32_t row = row0 + warp_row + 16 * m + 8 * half + g;
        if (row >= p.rows) continue;
#pragma unroll
        for (int n = 0; n < S::kOutTiles; ++n) {
          store_products(p, row, out0 + warp_out + 8 * n + 2 * t, sum[m][n][2 * half],
                         sum[m][n][2 * half + 1]);
        }
      }
    }
    return;
  }
#if __CUDA_ARCH__ >= 900
  namespace cg = cooperative_groups;
  const cg::cluster_group cluster = cg::this_cluster();
  auto* sums = reinterpret_cast<float*>(shared);
  copy_async_wait<0>();
  __syncthreads();  // nobody reads stages any more
#pragma unroll
  for (int m = 0; m < S::kRowTiles; ++m) {
#pragma unroll
    for (int n = 0; n < S::kOutTiles; ++n) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int32_t row = warp_row + 16 * m + 8 * half + g, out = warp_out + 8 * n + 2 * t;
        *reinterpret_cast<float2*>(sums + row * kSumPitch + out) =
            make_float2(sum[m][n][2 * half], sum[m][n][2 * half + 1]);
      }
    }
  }
  cluster.sync();
  // rank r adds up rows [r, r + 1) * kRows / split of all parts, two columns a thread
  const int32_t mine = kRows / split;
  for (int32_t i = static_cast<int32_t>(threadIdx.x); i < mine * (kOuts / 2); i += kThreads) {
    const int32_t row = part * mine + i / (kOuts / 2), out = i % (kOuts / 2) * 2;
    if (row0 + row >= p.rows) break;  // rows rise with i
    float2 total = make_float2(0.0f, 0.0f);
    for (int32_t rank = 0; rank < split; ++rank) {
      const float* from = cluster.map_shared_rank(sums, static_cast<unsigned int>(rank));
      const float2 one = *reinterpret_cast<const float2*>(from + row * kSumPitch + out);
      total.x += one.x;
      total.y += one.y;
    }
    store_products(p, row0 + row, out0 + out, total.x, total.y);
  }
  cluster.sync();  // peers may still read this block's sums
#endif
}

template <WeightFormat kFormat, int kRows>
cudaError_t launch(cudaStream_t stream, const LinearParams& p, int32_t split) {
  constexpr int kBytes = Shape<kFormat, kRows>::kBytes;
  static const cudaError_t allowed =
      cudaFuncSetAttribute(tile_kernel<kFormat, kRows>, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes);
  if (allowed != cudaSuccess) return allowed;
  const int32_t row_tiles = (p.rows + kRows - 1) / kRows, out_tiles = (p.outs + kOuts - 1) / kOuts;
  const LaunchShape shape{static_cast<unsigned int>(row_tiles * out_tiles * split), kThreads, kBytes,
                          static_cast<unsigned int>(split)};
  return launch_kernel<tile_kernel<kFormat, kRows>>(stream, shape, p, row_tiles, out_tiles, split);
}

template <WeightFormat kFormat>
cudaError_t launch_rows(cudaStream_t stream, const LinearParams& p, TilePlan plan) {
  switch (plan.rows) {
    case 32:
      return launch<kFormat, 32>(stream, p, plan.split);
    case 64:
      return launch<kFormat, 64>(stream, p, plan.split);
    default:
      return launch<kFormat, 128>(stream, p, plan.split);
  }
}

template <WeightFormat kFormat>
int32_t bytes_of_rows(int32_t rows) {
  return rows == 32   ? Shape<kFormat, 32>::kBytes
         : rows == 64 ? Shape<kFormat, 64>::kBytes
                      : Shape<kFormat, 128>::kBytes;
}

}  // namespace

bool linear_tile_splits() {
  static const bool kSplits = [] {
    cudaFuncAttributes attributes{};
    if (cudaFuncGetAttributes(&attributes, tile_kernel<WeightFormat::kDense, 32>) != cudaSuccess) {
      cudaGetLastError();  // not sticky: forget it
      return false;
    }
    return attributes.ptxVersion >= 90;
  }();
  return kSplits;
}

int32_t linear_tile_shared_bytes(WeightFormat format, int32_t tile_rows) {
  return format == WeightFormat::kDense      ? bytes_of_rows<WeightFormat::kDense>(tile_rows)
         : format == WeightFormat::kFp8Block ? bytes_of_rows<WeightFormat::kFp8Block>(tile_rows)
                                             : bytes_of_rows<WeightFormat::kAwqGemm>(tile_rows);
}

cudaError_t launch_linear_tile(cudaStream_t stream, const LinearParams& params, TilePlan plan) {
  switch (params.weight.format) {
    case WeightFormat::kFp8Block:
      return launch_rows<WeightFormat::kFp8Block>(stream, params, plan);
    case WeightFormat::kAwqGemm:
      return launch_rows<WeightFormat::kAwqGemm>(stream, params, plan);
    default:
      return launch_rows<WeightFormat::kDense>(stream, params, plan);
  }
}

}  // namespace hadal::cuda
