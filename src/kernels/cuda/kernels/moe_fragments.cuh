// Weights straight from memory to tensor-core fragments, as the 16-row side of a product with few tokens.
//
// A lane reads 16 bytes of a row at a time, whatever the format: 8 bfloat16, 16 fp8 or 32 AWQ values that
// lie side by side. Four lanes of a quad so cover 64 bytes of the row, a *span* of 32, 64 or 128 values. The
// product does not mind in which order the inner index is taken, as long as both sides take the same one: a
// lane's values of one 8-value piece are the columns 2 t, 2 t + 1, 2 t + 8, 2 t + 9 of two consecutive
// products, and the tokens' side reads the very same inner indices.
#pragma once

#include "kernels/cuda/kernels/moe_items.cuh"
#include "kernels/cuda/kernels/ptx.cuh"
#include "kernels/cuda/kernels/weights.cuh"

namespace hadal::cuda {

/// Values in 16 bytes, and in the 64 bytes that a quad reads.
template <WeightFormat kFormat>
inline constexpr int kPieceValues = kFormat == WeightFormat::kAwqGemm    ? 32
                                    : kFormat == WeightFormat::kFp8Block ? 16
                                                                         : 8;
template <WeightFormat kFormat>
inline constexpr int kSpanValues = 4 * kPieceValues<kFormat>;
/// Pieces of 8 values (16 bytes of a bfloat16 token) that belong to 16 bytes of weights.
template <WeightFormat kFormat>
inline constexpr int kTokenPieces = kPieceValues<kFormat> / 8;

/// 16 bytes of weights to shared memory. A quad takes half a line of the L2 at a time and comes for the other
/// half with its next step: the whole line is fetched at once.
__device__ __forceinline__ void copy_weights16(void* shared, const void* global) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16;\n" ::"r"(shared_address(shared)),
               "l"(global)
               : "memory");
}

inline constexpr int kSkinnyWarps = 8;  // they split the inner length; fixed, since it decides a value's bits
inline constexpr int kSkinnyThreads = 32 * kSkinnyWarps;

/// Where a lane (row g = lane / 4 of a 16-row tile, part t = lane % 4 of a span) finds its values.
struct LaneRows {
  const char* values;
  const char* scales;    // fp8: of the tile's row of blocks; AWQ: of row g
  const uint8_t* zeros;  // AWQ: of row g
};

/// What is the same for all rows of a matrix.
struct RowFacts {
  int64_t row_bytes;
  int32_t scale_cols;  // scales a row (AWQ) or a row of blocks (fp8)
  int32_t block;       // values that share a scale
  DType scale_dtype;
};

template <WeightFormat kFormat>
__device__ __forceinline__ RowFacts row_facts(const WeightRef& w) {
  RowFacts facts{};
  facts.row_bytes = int64_t{w.cols} * 16 / kPieceValues<kFormat>;
  facts.scale_dtype = w.scale_dtype;
  if constexpr (kFormat == WeightFormat::kFp8Block) {
    facts.block = w.block_cols;
    facts.scale_cols = static_cast<int32_t>((w.cols + w.block_cols - 1) / w.block_cols);
  } else if constexpr (kFormat == WeightFormat::kAwqGemm) {
    facts.block = w.group;
    facts.scale_cols = static_cast<int32_t>(w.cols / w.group);
  }
  return facts;
}

/// Rows from `first` on; all rows of a tile lie in one row of fp8 blocks.
template <WeightFormat kFormat>
__device__ __forceinline__ LaneRows lane_rows(const WeightRef& w, const RowFacts& facts, int32_t first) {
  const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  LaneRows rows{};
  rows.values = static_cast<const char*>(w.data) + (first + g) * facts.row_bytes + 16 * t;
  if constexpr (kFormat == WeightFormat::kFp8Block) {
    const int64_t bytes = facts.scale_dtype == DType::kF8E8M0 ? 1 : 4;
    rows.scales =
        static_cast<const char*>(w.scales) + int64_t{first / w.block_rows} * facts.scale_cols * bytes;
  } else if constexpr (kFormat == WeightFormat::kAwqGemm) {
    const int64_t at = int64_t{first + g} * facts.scale_cols;
    rows.scales = static_cast<const char*>(w.scales) + 2 * at;
    rows.zeros = static_cast<const uint8_t*>(w.zeros) + at;
  }
  return rows;
}

/// Scales of one span for kTiles tiles of 16 rows (kHalves = 1: of 8) that belong to kParts matrices, read
/// one step ahead.
template <WeightFormat kFormat, int kTiles, int kParts, int kHalves = 2>
struct SpanScales {
  static constexpr int kCount = kFormat == WeightFormat::kAwqGemm    ? kHalves * kTiles
                                : kFormat == WeightFormat::kFp8Block ? kParts
                                                                     : 1;
  uint32_t raw[kCount];

  __device__ __forceinline__ void load(const LaneRows (&rows)[kParts], const RowFacts& facts, int32_t step) {
    if constexpr (kFormat == WeightFormat::kFp8Block) {
      const int32_t at = step * kSpanValues<kFormat> / facts.block;
#pragma unroll
      for (int i = 0; i < kParts; ++i)
        raw[i] = __float_as_uint(fp8_scale(rows[i].scales, facts.scale_dtype, at));
    } else if constexpr (kFormat == WeightFormat::kAwqGemm) {
      const int t = threadIdx.x % 4;
      const int32_t at = (step * kSpanValues<kFormat> + t * kPieceValues<kFormat>) / facts.block;
#pragma unroll
      for (int m = 0; m < kTiles; ++m) {
        const LaneRows& mine = rows[m / (kTiles / kParts)];
#pragma unroll
        for (int h = 0; h < kHalves; ++h) {
          const int32_t index = (m % (kTiles / kParts) * 16 + 8 * h) * facts.scale_cols + at;
          raw[kHalves * m + h] = uint32_t{__ldg(reinterpret_cast<const uint16_t*>(mine.scales) + index)} |
                                 uint32_t{__ldg(mine.zeros + index)} << 16;
        }
      }
    } else {
      raw[0] = 0;
    }
  }

  /// Piece `piece` of 8 values of the 16 bytes `bits` of row g + 8 h of tile m, as pairs of bfloat16.
  __device__ __forceinline__ void decode(const uint4& bits, int m, int h, int piece,
                                         uint32_t (&out)[4]) const {
    const uint32_t words[4] = {bits.x, bits.y, bits.z, bits.w};
    if constexpr (kFormat == WeightFormat::kFp8Block) {
      const float scale = __uint_as_float(raw[m / (kTiles / kParts)]);
      decode_fp8x4(words[2 * piece], scale, out[0], out[1]);
      decode_fp8x4(words[2 * piece + 1], scale, out[2], out[3]);
    } else if constexpr (kFormat == WeightFormat::kAwqGemm) {
      const uint32_t mine = raw[kHalves * m + h];
      const AwqGroup group =
          awq_group(__ushort_as_half(static_cast<uint16_t>(mine)), static_cast<uint8_t>(mine >> 16));
      decode_awq8(words[piece], group, out);
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i) out[i] = words[i];
    }
  }
};

/// The steps (spans) of the inner length that a warp takes.
struct WarpSteps {
  int32_t begin, count;
};
__device__ __forceinline__ WarpSteps warp_steps(int32_t steps, int warp) {
  const int32_t each = steps / kSkinnyWarps, more = steps % kSkinnyWarps;
  return {warp * each + min(warp, more), each + (warp < more ? 1 : 0)};
}

/// sums[m][n] += tile m of 16 rows times the n-th 8 tokens, over this warp's steps. The lane's own copies
/// fill the lane's own slots of shared memory, so warps need not wait for each other. kTiles tiles belong to
/// kParts matrices, those of a matrix lying one behind the other. Lane (g, t) holds tokens' rows 8 n + g:
/// `token[n]` is the address of that row's value at t * kPieceValues, absent where `valid` bit n is 0.
template <WeightFormat kFormat, int kTiles, int kParts, int kColumns, int kStages>
struct SkinnyProduct {
  static constexpr int kLoads = 2 * kTiles + kColumns * kTokenPieces<kFormat>;
  static constexpr int kStageBytes = kLoads * 16 * kSkinnyThreads;
  static constexpr int kPipelineBytes = kStages * kStageBytes;
  static constexpr int kSumBytes = kSkinnyWarps * kTiles * kColumns * 32 * 16;
  static constexpr int kSharedBytes = kPipelineBytes > kSumBytes ? kPipelineBytes : kSumBytes;

  const LaneRows (&rows)[kParts];
  const RowFacts facts;
  const char* const (&token)[kColumns];
  const uint32_t valid;
  const int columns;  // groups of 8 tokens that hold any
  char* const shared;

  __device__ __forceinline__ char* slot(int stage, int load) const {
    return shared + ((stage * kLoads + load) * kSkinnyThreads + threadIdx.x) * 16;
  }

  __device__ __forceinline__ void issue_weights(int stage, int32_t step) const {
#pragma unroll
    for (int m = 0; m < kTiles; ++m) {
      const char* from = rows[m / (kTiles / kParts)].values + int64_t{step} * 64 +
                         m % (kTiles / kParts) * 16 * facts.row_bytes;
      copy_weights16(slot(stage, 2 * m), from);
      copy_weights16(slot(stage, 2 * m + 1), from + 8 * facts.row_bytes);
    }
  }
  __device__ __forceinline__ void issue_tokens(int stage, int32_t step) const {
#pragma unroll
    for (int n = 0; n < kColumns; ++n) {
      if (n >= columns) break;
#pragma unroll
      for (int j = 0; j < kTokenPieces<kFormat>; ++j) {
        copy_async16(slot(stage, 2 * kTiles + n * kTokenPieces<kFormat> + j),
                     token[n] + int64_t{step} * (kSpanValues<kFormat> * 2) + 16 * j, (valid >> n & 1u) != 0);
      }
    }
  }
  /// The first step's weights, before it is known where the tokens are: `token` is filled before run().
  __device__ __forceinline__ void begin(const WarpSteps& steps) const {
    if (steps.count > 0) issue_weights(0, steps.begin);
  }

  __device__ __forceinline__ void multiply(int stage, const SpanScales<kFormat, kTiles, kParts>& scales,
                                           float (&sums)[kTiles][kColumns][4]) const {
#pragma unroll
    for (int j = 0; j < kTokenPieces<kFormat>; ++j) {
      uint4 x[kColumns];
#pragma unroll
      for (int n = 0; n < kColumns; ++n) {
        if (n >= columns) break;
        x[n] = *reinterpret_cast<const uint4*>(slot(stage, 2 * kTiles + n * kTokenPieces<kFormat> + j));
      }
#pragma unroll
      for (int m = 0; m < kTiles; ++m) {
        const uint4 bits[2] = {*reinterpret_cast<const uint4*>(slot(stage, 2 * m)),
                               *reinterpret_cast<const uint4*>(slot(stage, 2 * m + 1))};
        uint32_t upper[4], lower[4];  // rows g and g + 8
        scales.decode(bits[0], m, 0, j, upper);
        scales.decode(bits[1], m, 1, j, lower);
        const uint32_t first[4] = {upper[0], lower[0], upper[1], lower[1]};
        const uint32_t second[4] = {upper[2], lower[2], upper[3], lower[3]};
#pragma unroll
        for (int n = 0; n < kColumns; ++n) {
          if (n >= columns) break;
          mma_bf16(sums[m][n], first, x[n].x, x[n].y);
          mma_bf16(sums[m][n], second, x[n].z, x[n].w);
        }
      }
    }
  }

  /// After begin() and wait_for_previous().
  __device__ __forceinline__ void run(const WarpSteps& steps, float (&sums)[kTiles][kColumns][4]) const {
    const int32_t end = steps.begin + steps.count;
#pragma unroll
    for (int s = 0; s < kStages; ++s) {
      if (s < steps.count) {
        if (s > 0) issue_weights(s, steps.begin + s);
        issue_tokens(s, steps.begin + s);
      }
      copy_async_commit();
    }
    SpanScales<kFormat, kTiles, kParts> scales, next;
    if (steps.count > 0) scales.load(rows, facts, steps.begin);
    int stage = 0;
    for (int32_t step = steps.begin; step < end; ++step) {
      copy_async_wait<kStages - 1>();
      next.load(rows, facts, min(step + 1, end - 1));
      multiply(stage, scales, sums);
      // behind the products in program order: they have read the slots that are filled again
      if (step + kStages < end) {
        issue_weights(stage, step + kStages);
        issue_tokens(stage, step + kStages);
      } else if (step + kStages == end) {
        let_next_start();
      }
      copy_async_commit();
      scales = next;
      stage = stage + 1 == kStages ? 0 : stage + 1;
    }
    copy_async_wait<0>();
  }

  // ---- the warps' sums, through the same shared memory ----

  __device__ __forceinline__ float4* sum_slot(int warp, int m, int n, int lane) const {
    return reinterpret_cast<float4*>(shared) + ((warp * kTiles + m) * kColumns + n) * 32 + lane;
  }
  /// Between two __syncthreads.
  __device__ __forceinline__ void put_sums(const float (&sums)[kTiles][kColumns][4]) const {
#pragma unroll
    for (int m = 0; m < kTiles; ++m) {
#pragma unroll
      for (int n = 0; n < kColumns; ++n) {
        if (n >= columns) break;
        *sum_slot(static_cast<int>(threadIdx.x / 32), m, n, threadIdx.x % 32) =
            make_float4(sums[m][n][0], sums[m][n][1], sums[m][n][2], sums[m][n][3]);
      }
    }
  }
  /// The four sums of lane `lane` over all warps in their order: row g columns 2 t, 2 t + 1, then row g + 8.
  __device__ __forceinline__ float4 all_warps(int m, int n, int lane) const {
    float4 sum = *sum_slot(0, m, n, lane);
#pragma unroll
    for (int w = 1; w < kSkinnyWarps; ++w) {
      const float4 more = *sum_slot(w, m, n, lane);
      sum.x += more.x, sum.y += more.y, sum.z += more.z, sum.w += more.w;
    }
    return sum;
  }
};

}  // namespace hadal::cuda
