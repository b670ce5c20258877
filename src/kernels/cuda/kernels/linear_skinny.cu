// A block of 8 warps takes 16 (or 32) rows of the weight; warp w takes the w-th eighth of the inner length,
// and the eight sums meet in shared memory in rising order. So an output's order of summation depends on the
// inner length alone.
//
// Weights are the 16-row side of the tensor-core product, tokens its 8 columns. A product over k does not
// care in which order k runs, as long as both sides agree: lane t of a quad takes the run of 16 bytes of a
// weight's row that begins at chunk + t * run, and the same columns of x. One 16-byte load then holds the
// lane's fragments of several products (dense: 2, fp8: 4, AWQ: 8), straight from memory into registers.
#include "kernels/cuda/kernels/launch.cuh"
#include "kernels/cuda/kernels/linear_skinny.h"
#include "kernels/cuda/kernels/linear_store.cuh"
#include "kernels/cuda/kernels/ptx.cuh"

namespace hadal::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kLoads = 4;  // chunks of 16 rows a warp has under way: 2 x 16 bytes a lane each

/// 16 bytes that are read once: past L1.
__device__ __forceinline__ uint4 load_once(const void* from) {
  uint4 v;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(from));
  return v;
}

/// What a lane loads of one weight row in one chunk: `kRun` columns in 16 bytes, with their scale.
template <WeightFormat kFormat>
struct Run;

template <>
struct Run<WeightFormat::kDense> {
  static constexpr int kColumns = 8;
  uint4 bits;
  __device__ __forceinline__ void load(const LinearParams& p, int64_t row, int32_t k) {
    bits = load_once(static_cast<const __nv_bfloat16*>(p.weight.data) + row * p.cols + k);
  }
  /// Columns [8 i, 8 i + 8) of the run as four pairs of bfloat16.
  __device__ __forceinline__ void decode(int, uint32_t (&out)[4]) const {
    out[0] = bits.x, out[1] = bits.y, out[2] = bits.z, out[3] = bits.w;
  }
};

template <>
struct Run<WeightFormat::kFp8Block> {
  static constexpr int kColumns = 16;
  uint4 bits;
  float scale;
  __device__ __forceinline__ void load(const LinearParams& p, int64_t row, int32_t k) {
    const WeightRef& w = p.weight;
    bits = load_once(static_cast<const uint8_t*>(w.data) + row * p.cols + k);
    const int32_t blocks = (p.cols + w.block_cols - 1) / w.block_cols;
    const int32_t block_row = static_cast<int32_t>(row) / w.block_rows;
    scale = fp8_scale(w.scales, w.scale_dtype, int64_t{block_row} * blocks + k / w.block_cols);
  }
  __device__ __forceinline__ void decode(int i, uint32_t (&out)[4]) const {
    decode_fp8x4(i == 0 ? bits.x : bits.z, scale, out[0], out[1]);
    decode_fp8x4(i == 0 ? bits.y : bits.w, scale, out[2], out[3]);
  }
};

template <>
struct Run<WeightFormat::kAwqGemm> {
  static constexpr int kColumns = 32;
  uint4 bits;
  __half scale;
  uint8_t zero;
  __device__ __forceinline__ void load(const LinearParams& p, int64_t row, int32_t k) {
    const WeightRef& w = p.weight;
    bits = load_once(static_cast<const uint8_t*>(w.data) + (row * p.cols + k) / 2);
    const int64_t group = row * (p.cols / w.group) + k / w.group;
    scale = static_cast<const __half*>(w.scales)[group];
    zero = static_cast<const uint8_t*>(w.zeros)[group];
  }
  __device__ __forceinline__ void decode(int i, uint32_t (&out)[4]) const {
    const uint32_t word = i == 0 ? bits.x : i == 1 ? bits.y : i == 2 ? bits.z : bits.w;
    decode_awq8(word, awq_group(scale, zero), out);
  }
};

template <WeightFormat kFormat, int kTokenTiles, int kRowTiles>
__global__ void __launch_bounds__(kWarps * 32, 2) skinny_kernel(const __grid_constant__ LinearParams p) {
  constexpr int kColumns = Run<kFormat>::kColumns;
  constexpr int kChunk = 4 * kColumns;
  constexpr int kUnroll = kLoads / kRowTiles;
  constexpr int kRows = 16 * kRowTiles, kTokens = 8 * kTokenTiles;
  constexpr int kPitch = kRows + 4;  // lanes of a warp store to 32 different banks
  __shared__ float partial[kWarps][kTokens][kPitch];

  const int32_t warp = static_cast<int32_t>(threadIdx.x) / 32, lane = static_cast<int32_t>(threadIdx.x) % 32;
  const int32_t g = lane / 4, t = lane % 4;
  const int32_t row0 = static_cast<int32_t>(blockIdx.x) * kRows;
  const int32_t chunks = p.cols / kChunk;
  const int32_t begin = chunks * warp / kWarps, end = chunks * (warp + 1) / kWarps;
  const auto* x = static_cast<const __nv_bfloat16*>(p.x);

  // What chunk c brings is kept in slot c % kUnroll: a slot is filled again as soon as it has been used, so
  // that loads never stand still. Of x only as much as registers hold; else it is read when it is used.
  constexpr int kPieces = kColumns / 8;
  constexpr bool kHoldsX = kPieces * kTokenTiles * kUnroll <= 8;
  Run<kFormat> run[kUnroll][kRowTiles][2];
  uint4 held[kHoldsX ? kUnroll : 1][kPieces][kTokenTiles];
  const auto load_weights = [&](int32_t chunk, Run<kFormat>(&to)[kRowTiles][2]) {
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
      for (int half = 0; half < 2; ++half)
        to[m][half].load(p, min(row0 + 16 * m + 8 * half + g, p.outs - 1), chunk * kChunk + t * kColumns);
    }
  };
  const auto load_x = [&](int32_t chunk, uint4(&to)[kPieces][kTokenTiles]) {
#pragma unroll
    for (int i = 0; i < kPieces; ++i) {
#pragma unroll
      for (int n = 0; n < kTokenTiles; ++n) {
        const int32_t token = 8 * n + g;
        const __nv_bfloat16* from = x + token * p.x_stride + chunk * kChunk + t * kColumns + 8 * i;
        to[i][n] = token < p.rows ? *reinterpret_cast<const uint4*>(from) : make_uint4(0, 0, 0, 0);
      }
    }
  };
  const auto each_slot = [&](int32_t chunk, const auto& take) {
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      if (chunk + u >= end) break;
      take(u);
    }
  };
  each_slot(begin, [&](int u) { load_weights(begin + u, run[u]); });
  wait_for_previous();
  if constexpr (kHoldsX) each_slot(begin, [&](int u) { load_x(begin + u, held[u]); });

  float sum[kRowTiles][kTokenTiles][4] = {};
  for (int32_t chunk = begin; chunk < end; chunk += kUnroll) {
    each_slot(chunk, [&](int u) {
      uint4(&tokens)[kPieces][kTokenTiles] = held[kHoldsX ? u : 0];
      if constexpr (!kHoldsX) load_x(chunk + u, tokens);
#pragma unroll
      for (int i = 0; i < kPieces; ++i) {  // eight columns of each lane: two products
#pragma unroll
        for (int m = 0; m < kRowTiles; ++m) {
          uint32_t upper[4], lower[4];  // rows g and g + 8
          run[u][m][0].decode(i, upper);
          run[u][m][1].decode(i, lower);
          const uint32_t a0[4] = {upper[0], lower[0], upper[1], lower[1]};
          const uint32_t a1[4] = {upper[2], lower[2], upper[3], lower[3]};
#pragma unroll
          for (int n = 0; n < kTokenTiles; ++n) {
            mma_bf16(sum[m][n], a0, tokens[i][n].x, tokens[i][n].y);
            mma_bf16(sum[m][n], a1, tokens[i][n].z, tokens[i][n].w);
          }
        }
      }
      const int32_t next = chunk + kUnroll + u;
      if (next >= end) return;
      load_weights(next, run[u]);
      if constexpr (kHoldsX) load_x(next, held[u]);
    });
  }

  let_next_start();

#pragma unroll
  for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
    for (int n = 0; n < kTokenTiles; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        partial[warp][8 * n + 2 * t + i % 2][16 * m + 8 * (i / 2) + g] = sum[m][n][i];
      }
    }
  }
  __syncthreads();
  for (int32_t i = static_cast<int32_t>(threadIdx.x); i < kRows * kTokens; i += kWarps * 32) {
    const int32_t token = i / kRows, row = i % kRows;
    if (token >= p.rows || row0 + row >= p.outs) continue;
    float total = partial[0][token][row];
#pragma unroll
    for (int w = 1; w < kWarps; ++w) total += partial[w][token][row];
    store_product(p, token, row0 + row, total);
  }
}

template <WeightFormat kFormat>
cudaError_t launch(cudaStream_t stream, const LinearParams& p, int32_t sm_count) {
  const auto blocks = [&](int32_t rows) { return static_cast<unsigned int>((p.outs + rows - 1) / rows); };
  constexpr int kThreads = kWarps * 32;
  if (p.rows <= 8) {
    return launch_kernel<skinny_kernel<kFormat, 1, 1>>(stream, {blocks(16), kThreads}, p);
  }
  if (p.outs < 64 * sm_count) {
    return launch_kernel<skinny_kernel<kFormat, 2, 1>>(stream, {blocks(16), kThreads}, p);
  }
  // enough rows for everyone: x is read half as often
  return launch_kernel<skinny_kernel<kFormat, 2, 2>>(stream, {blocks(32), kThreads}, p);
}

}  // namespace

cudaError_t launch_linear_skinny(cudaStream_t stream, const LinearParams& params, int32_t sm_count) {
  switch (params.weight.format) {
    case WeightFormat::kFp8Block:
      return launch<WeightFormat::kFp8Block>(stream, params, sm_count);
    case WeightFormat::kAwqGemm:
      return launch<WeightFormat::kAwqGemm>(stream, params, sm_count);
    default:
      return launch<WeightFormat::kDense>(stream, params, sm_count);
  }
}

}  // namespace hadal::cuda
