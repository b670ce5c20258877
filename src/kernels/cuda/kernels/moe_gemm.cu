#include "kernels/cuda/kernels/launch.cuh"
#include "kernels/cuda/kernels/moe_gemm.h"
#include "kernels/cuda/kernels/moe_items.cuh"
#include "kernels/cuda/kernels/ptx.cuh"
#include "kernels/cuda/kernels/weights.cuh"

// A block of 4 warps (2 x 2, each 64 positions by 64 weight rows) takes steps of 64 of the inner length.
//
// Shared tiles have rows of 64 bfloat16 = 8 pieces of 16 bytes; piece c of row r lies at piece c ^ (r % 8),
// so that the 8 rows that a quarter of an ldmatrix reads fall on different banks. Quantised weights arrive as
// they are and are decoded to such a tile before each step.
//
// Rows of the weights' tile, gate and up: [32 of gate, the same 32 of up] for each half of 64, so that a
// thread holds both values of a hidden one: n-tiles 0..3 of a warp are gate, 4..7 up.

namespace hadal::cuda {
namespace {

constexpr int kTile = 128, kStep = 64, kStages = 3, kThreads = 128;
constexpr int kTileBytes = kTile * kStep * 2;
static_assert(kTile == kMoeGemmChunk);

/// Bytes of a row of 64 weights, and of the tile as it arrives.
template <WeightFormat kFormat>
inline constexpr int kRawRow = kFormat == WeightFormat::kAwqGemm    ? 32
                               : kFormat == WeightFormat::kFp8Block ? 64
                                                                    : 128;
template <WeightFormat kFormat>
inline constexpr int kRawBytes = kTile* kRawRow<kFormat>;
template <WeightFormat kFormat>
inline constexpr int kSharedBytes = kStages*(kTileBytes + kRawBytes<kFormat>)+(kFormat == WeightFormat::kDense
                                                                                   ? 0
                                                                                   : kTileBytes);

__device__ __forceinline__ int swizzled(int row, int piece) { return row * 128 + ((piece ^ (row & 7)) << 4); }

/// Where rows of the weights' tile come from.
template <bool kGateUp>
struct TileRows {
  WeightRef first, second;  // gate and up, or down twice
  int32_t row;              // of gate and up, or of down
  int32_t limit;            // rows there are

  /// Row of the matrix behind row r of the tile; `up`: of `second`.
  __device__ __forceinline__ int32_t source(int r, bool& up) const {
    if constexpr (kGateUp) {
      up = (r & 32) != 0;
      return row + (r >> 6) * 32 + (r & 31);
    } else {
      up = r >= 64;  // only to tell rows of fp8 blocks apart
      return row + r;
    }
  }
};

template <WeightFormat kFormat, bool kGateUp>
struct Loader {
  const MoeParams& p;
  const TileRows<kGateUp>& tile;
  char* const shared;
  uint32_t from[8];  // this thread's rows of the positions' tile, in pieces of 16 bytes
  uint32_t valid;
  const char* positions;

  static constexpr int kPieces = kRawRow<kFormat> / 16;   // of a weight row and step
  static constexpr int kRowsAtOnce = kThreads / kPieces;  // rows that the block copies at once
  static constexpr int kCopies = kTile / kRowsAtOnce;

  __device__ __forceinline__ char* positions_tile(int stage) const { return shared + stage * kTileBytes; }
  __device__ __forceinline__ char* raw_tile(int stage) const {
    return shared + kStages * kTileBytes + stage * kRawBytes<kFormat>;
  }

  __device__ __forceinline__ void find_positions(const MoeItem& item) {
    valid = 0;
    positions = static_cast<const char*>(kGateUp ? p.x : p.hidden) + threadIdx.x % 8 * 16;
    const int64_t stride = (kGateUp ? p.x_stride : p.inner) / 8;
#pragma unroll
    for (int q = 0; q < 8; ++q) {
      const int32_t r = static_cast<int32_t>(threadIdx.x) / 8 + 16 * q;
      from[q] = 0;
      if (r >= item.count) continue;
      const int32_t position = item.first + r;
      from[q] = static_cast<uint32_t>((kGateUp ? pair_at(p, position) / p.slots : position) * stride);
      valid |= 1u << q;
    }
  }

  __device__ __forceinline__ void issue(int stage, int32_t step) const {
    char* to = positions_tile(stage);
#pragma unroll
    for (int q = 0; q < 8; ++q) {
      const int r = static_cast<int>(threadIdx.x) / 8 + 16 * q;
      copy_async16(to + swizzled(r, threadIdx.x % 8), positions + int64_t{from[q]} * 16 + int64_t{step} * 128,
                   (valid >> q & 1u) != 0);
    }
    to = raw_tile(stage);
    const int piece = static_cast<int>(threadIdx.x) % kPieces;
#pragma unroll
    for (int q = 0; q < kCopies; ++q) {
      const int r = static_cast<int>(threadIdx.x) / kPieces + kRowsAtOnce * q;
      bool up;
      const int32_t source = tile.source(r, up);
      const bool there = source < tile.limit;
      const WeightRef& w = up ? tile.second : tile.first;
      const int64_t row_bytes = int64_t{w.cols} * kRawRow<kFormat> / kStep;
      const char* at = static_cast<const char*>(w.data) + (there ? source : 0) * row_bytes +
                       int64_t{step} * kRawRow<kFormat> + 16 * piece;
      const int offset =
          kFormat == WeightFormat::kDense ? swizzled(r, piece) : r * kRawRow<kFormat> + 16 * piece;
      copy_async16(to + offset, at, there);
    }
  }

  /// The step's quantised weights as a tile of bfloat16.
  __device__ __forceinline__ void decode(int stage, int32_t step, char* decoded) const {
    const char* raw = raw_tile(stage);
    const int piece = threadIdx.x % 8;
    float scales[2] = {0, 0};
    if constexpr (kFormat == WeightFormat::kFp8Block) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const WeightRef& w = i == 0 ? tile.first : tile.second;
        const int32_t row = min(tile.row + (kGateUp ? 0 : 64 * i), tile.limit - 1);
        const int32_t blocks = static_cast<int32_t>((w.cols + w.block_cols - 1) / w.block_cols);
        scales[i] = fp8_scale(w.scales, w.scale_dtype,
                              int64_t{row / w.block_rows} * blocks + step * kStep / w.block_cols);
      }
    }
#pragma unroll
    for (int q = 0; q < 8; ++q) {
      const int r = static_cast<int>(threadIdx.x) / 8 + 16 * q;
      bool up;
      const int32_t source = min(tile.source(r, up), tile.limit - 1);
      uint32_t out[4];
      if constexpr (kFormat == WeightFormat::kFp8Block) {
        const uint2 bytes = *reinterpret_cast<const uint2*>(raw + r * kRawRow<kFormat> + 8 * piece);
        const float scale = scales[up ? 1 : 0];
        decode_fp8x4(bytes.x, scale, out[0], out[1]);
        decode_fp8x4(bytes.y, scale, out[2], out[3]);
      } else {
        const WeightRef& w = up ? tile.second : tile.first;
        const int64_t group = int64_t{source} * (w.cols / w.group) + (step * kStep + 8 * piece) / w.group;
        const uint32_t word = *reinterpret_cast<const uint32_t*>(raw + r * kRawRow<kFormat> + 4 * piece);
        decode_awq8(word,
                    awq_group(static_cast<const __half*>(w.scales)[group],
                              static_cast<const uint8_t*>(w.zeros)[group]),
                    out);
      }
      *reinterpret_cast<uint4*>(decoded + swizzled(r, piece)) = make_uint4(out[0], out[1], out[2], out[3]);
    }
  }
};

/// sums += 64 positions times 64 weight rows over one step. Lane l of an ldmatrix names row l % 8 of matrix
/// l / 8. Positions: matrices (rows 0..7, 8..15) x (first, second 8 of the inner 16) in the order of
/// mma_bf16's a. Weights: two n-tiles, of each its b0 and b1.
__device__ __forceinline__ void multiply(const char* positions, const char* weights, int warp_m, int warp_n,
                                         float (&sums)[4][8][4]) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int k = 0; k < kStep / 16; ++k) {
    uint32_t a[4][4];
#pragma unroll
    for (int m = 0; m < 4; ++m)
      load_matrix4(a[m], positions + swizzled(warp_m * 64 + m * 16 + lane % 16, 2 * k + lane / 16));
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      uint32_t b[4];
      load_matrix4(b,
                   weights + swizzled(warp_n * 64 + n * 16 + lane % 8 + lane / 16 * 8, 2 * k + lane / 8 % 2));
#pragma unroll
      for (int m = 0; m < 4; ++m) {
        mma_bf16(sums[m][2 * n], a[m], b[0], b[1]);
        mma_bf16(sums[m][2 * n + 1], a[m], b[2], b[3]);
      }
    }
  }
}

struct TilePlace {
  int32_t item, tile;
};

/// Experts' tiles run through an expert's weights item by item: these lie in the L2 cache. An MLP's matrices
/// are larger: there blocks that run together take 16 items by 16 tiles or so, which reads both sides few
/// times.
__device__ __forceinline__ TilePlace place_of_block(const MoeParams& p) {
  const auto x = static_cast<int32_t>(blockIdx.x), y = static_cast<int32_t>(blockIdx.y);
  if (p.order != MoeOrder::kSlices) return {y, x};
  constexpr int32_t kItems = 16;
  const auto tiles = static_cast<int32_t>(gridDim.x), items = static_cast<int32_t>(gridDim.y);
  const int32_t block = y * tiles + x, group = block / (kItems * tiles),
                within = block - group * kItems * tiles;
  const int32_t width = min(kItems, items - group * kItems);
  return {group * kItems + within % width, within / width};
}

template <WeightFormat kFormat, bool kGateUp>
__global__ void __launch_bounds__(kThreads, 2) gemm_kernel(const __grid_constant__ MoeParams p) {
  extern __shared__ __align__(128) char shared[];
  const TilePlace place = place_of_block(p);
  wait_for_previous();
  const MoeItem item = item_at(p, place.item);
  if (item.count == 0) return;
  const ExpertSet& set = item.expert < p.routed.count ? p.routed : p.shared;
  const int32_t expert = item.expert < p.routed.count ? item.expert : item.expert - p.routed.count;
  TileRows<kGateUp> tile;
  tile.first = matrix_of(kGateUp ? set.gate : set.down, expert);
  tile.second = matrix_of(kGateUp ? set.up : set.down, expert);
  tile.row = kGateUp ? place.tile * 64 : p.rows_first + place.tile * 128;
  tile.limit = kGateUp ? p.inner : p.rows_first + p.rows_cols;
  Loader<kFormat, kGateUp> loader{p, tile, shared, {}, 0, nullptr};
  loader.find_positions(item);

  const int warp_m = static_cast<int>(threadIdx.x) / 64, warp_n = static_cast<int>(threadIdx.x) / 32 % 2;
  const int32_t steps = (kGateUp ? p.width : p.inner) / kStep;
  float sums[4][8][4] = {};
#pragma unroll
  for (int s = 0; s < kStages - 1; ++s) {
    if (s < steps) loader.issue(s, s);
    copy_async_commit();
  }
  char* const decoded = shared + kStages * (kTileBytes + kRawBytes<kFormat>);
  int stage = 0;
  for (int32_t step = 0; step < steps; ++step) {
    copy_async_wait<kStages - 2>();
    __syncthreads();  // everybody's copies of this step are there, and the last step's tiles are free
    const int free_stage = stage == 0 ? kStages - 1 : stage - 1;
    if (step + kStages - 1 < steps) loader.issue(free_stage, step + kStages - 1);
    copy_async_commit();
    const char* weights = loader.raw_tile(stage);
    if constexpr (kFormat != WeightFormat::kDense) {
      loader.decode(stage, step, decoded);
      __syncthreads();
      weights = decoded;
    }
    multiply(loader.positions_tile(stage), weights, warp_m, warp_n, sums);
    stage = stage + 1 == kStages ? 0 : stage + 1;
  }
  copy_async_wait<0>();
  let_next_start();

  const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
  for (int m = 0; m < 4; ++m) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const int32_t r = warp_m * 64 + m * 16 + 8 * h + g;
      if (r >= item.count) continue;
      if constexpr (kGateUp) {
        auto* out = static_cast<__nv_bfloat16*>(p.hidden) + int64_t{item.first + r} * p.inner + tile.row +
                    warp_n * 32 + 2 * t;
#pragma unroll
        for (int n = 0; n < 4; ++n) {
          *reinterpret_cast<uint32_t*>(out + 8 * n) =
              pack_bf16(silu(sums[m][n][2 * h]) * sums[m][n + 4][2 * h],
                        silu(sums[m][n][2 * h + 1]) * sums[m][n + 4][2 * h + 1]);
        }
      } else {
        const int32_t column = place.tile * 128 + warp_n * 64;
        if (column >= p.rows_cols) continue;
        float* out = p.rows + int64_t{pair_at(p, item.first + r)} * p.rows_cols + column + 2 * t;
#pragma unroll
        for (int n = 0; n < 8; ++n)
          *reinterpret_cast<float2*>(out + 8 * n) = make_float2(sums[m][n][2 * h], sums[m][n][2 * h + 1]);
      }
    }
  }
}

template <WeightFormat kFormat, bool kGateUp>
cudaError_t run(cudaStream_t stream, const MoeParams& p) {
  static const cudaError_t allowed = cudaFuncSetAttribute(
      gemm_kernel<kFormat, kGateUp>, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes<kFormat>);
  if (allowed != cudaSuccess) return allowed;
  const unsigned tiles = kGateUp ? p.inner / 64 : (p.rows_cols + 127) / 128;
  const LaunchShape shape{dim3(tiles, p.max_items), kThreads, kSharedBytes<kFormat>};
  return launch_kernel<gemm_kernel<kFormat, kGateUp>>(stream, shape, p);
}

template <bool kGateUp>
cudaError_t by_format(cudaStream_t stream, const MoeParams& p) {
  const ExpertSet& set = p.routed.count > 0 ? p.routed : p.shared;
  switch (set.gate.first.format) {
    case WeightFormat::kFp8Block:
      return run<WeightFormat::kFp8Block, kGateUp>(stream, p);
    case WeightFormat::kAwqGemm:
      return run<WeightFormat::kAwqGemm, kGateUp>(stream, p);
    default:
      return run<WeightFormat::kDense, kGateUp>(stream, p);
  }
}

}  // namespace

int32_t moe_gemm_shared_bytes(WeightFormat format) {
  return format == WeightFormat::kAwqGemm    ? kSharedBytes<WeightFormat::kAwqGemm>
         : format == WeightFormat::kFp8Block ? kSharedBytes<WeightFormat::kFp8Block>
                                             : kSharedBytes<WeightFormat::kDense>;
}

cudaError_t launch_moe_gemm_gate_up(cudaStream_t stream, const MoeParams& params) {
  return by_format<true>(stream, params);
}
cudaError_t launch_moe_gemm_down(cudaStream_t stream, const MoeParams& params) {
  return by_format<false>(stream, params);
}

}  // namespace hadal::cuda
