#include "kernels/cuda/kernels/attention_common.cuh"
#include "kernels/cuda/kernels/attention_mla_decode.h"
#include "kernels/cuda/kernels/launch.cuh"
#include "kernels/cuda/kernels/ptx.cuh"

namespace hadal::cuda {
namespace {

constexpr int kTile = kAttentionTile;
constexpr int kThreads = 256, kWarps = kThreads / 32, kRows = 16, kRowsOfWarp = kRows / kWarps;
constexpr int kLatentPitch = kMlaLatent + 8;
static_assert(kMlaLatent == kThreads * 2);  // a thread merges two columns of the latents

/// What the block knows of its rows before it merges them.
struct MergedRows {
  __align__(16) __nv_bfloat16 latents[kRows * kLatentPitch];
  float factors[kRows][kMaxMlaSplits];  // that a split's sums are merged with
  int splits[kRows];                    // that have keys; 0: the row's latents are zeros
  bool live[kRows];
};

/// The rows that a warp looks up: row base + warp + kWarps i. Metadata alone.
__device__ __forceinline__ void find_rows(const MlaDecode& p, int base, RowPlace (&places)[kRowsOfWarp]) {
#pragma unroll
  for (int i = 0; i < kRowsOfWarp; ++i) {
    const int row = base + static_cast<int>(threadIdx.x) / 32 + kWarps * i;
    if (row < p.rows) places[i] = place_of_row(p.batch, p.first_row + row);
  }
}

/// A warp a row: the splits' maxima and weights become factors. The first 32 splits, mostly all there are,
/// are read for all rows of the warp before any is used.
__device__ __forceinline__ void weigh_splits(const MlaDecode& p, int head, int base,
                                             const RowPlace (&places)[kRowsOfWarp], MergedRows& rows) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const auto states_of = [&](int row) {
    return reinterpret_cast<const float2*>(p.states) + (int64_t{row} * p.shape.heads + head) * p.splits;
  };
  int counts[kRowsOfWarp];
  float2 firsts[kRowsOfWarp] = {};
#pragma unroll
  for (int i = 0; i < kRowsOfWarp; ++i) {
    const RowPlace place = places[i];
    const bool mine = place.segment >= 0 && place.segment < p.batch.num_output_segments;
    const int all = (place.position + kTile) / kTile, share = mla_tiles_of_split(all, p.splits);
    counts[i] = mine ? (all + share - 1) / share : 0;
    if (lane < counts[i]) firsts[i] = states_of(base + warp + kWarps * i)[lane];
  }
#pragma unroll
  for (int i = 0; i < kRowsOfWarp; ++i) {
    const int r = warp + kWarps * i, row = base + r, count = counts[i];
    const float2* states = states_of(row);
    const auto state = [&](int k) { return k < 32 ? firsts[i] : states[k]; };  // maximum, weight
    float largest = -INFINITY, weight = 0;
    for (int k = lane; k < count; k += 32) largest = fmaxf(largest, state(k).x);
    largest = warp_max(largest);
    for (int k = lane; k < count; k += 32) weight += state(k).y * exp2f(state(k).x - largest);
    weight = warp_sum(weight);
    const float inverse = 1.0f / weight;
    for (int k = lane; k < count; k += 32) rows.factors[r][k] = exp2f(state(k).x - largest) * inverse;
    if (lane == 0) {
      rows.splits[r] = count;
      // rows of no segment get zeros, those of prompts are left alone
      rows.live[r] = row < p.rows && (count > 0 || places[i].segment < 0);
    }
  }
}

/// The sums of rows r ... r + kTogether - 1 over their splits, each row's in order. kTogether * kUnroll reads
/// are under way at once: one after the other each would be a way to the memory and back.
template <int kTogether, int kUnroll>
__device__ __forceinline__ void merge_rows(const MlaDecode& p, int head, int base, int r, MergedRows& rows) {
  const int64_t of_row = int64_t{p.shape.heads} * p.splits * kThreads;  // in pairs of columns
  const float2* sums = reinterpret_cast<const float2*>(p.sums) + int64_t{base + r} * of_row +
                       int64_t{head} * p.splits * kThreads + threadIdx.x;
  float2 merged[kTogether] = {};
  int most = 0;
#pragma unroll
  for (int j = 0; j < kTogether; ++j) most = max(most, rows.splits[r + j]);
  for (int from = 0; from < most; from += kUnroll) {
    float2 parts[kTogether][kUnroll] = {};
#pragma unroll
    for (int j = 0; j < kTogether; ++j) {
#pragma unroll
      for (int i = 0; i < kUnroll; ++i)
        if (from + i < rows.splits[r + j]) parts[j][i] = sums[j * of_row + int64_t{from + i} * kThreads];
    }
#pragma unroll
    for (int j = 0; j < kTogether; ++j) {
#pragma unroll
      for (int i = 0; i < kUnroll; ++i) {
        if (from + i >= rows.splits[r + j]) continue;
        const float factor = rows.factors[r + j][from + i];
        merged[j].x += parts[j][i].x * factor;
        merged[j].y += parts[j][i].y * factor;
      }
    }
  }
#pragma unroll
  for (int j = 0; j < kTogether; ++j)
    *reinterpret_cast<uint32_t*>(rows.latents + (r + j) * kLatentPitch + threadIdx.x * 2) =
        pack_bf16(merged[j].x, merged[j].y);
}

/// The latents of all rows that there are; of a last group of four also zeros for those that are not.
__device__ __forceinline__ void merge_splits(const MlaDecode& p, int head, int base, MergedRows& rows) {
  const int there = min(kRows, p.rows - base);
  if (there == 1) return merge_rows<1, 16>(p, head, base, 0, rows);
  for (int r = 0; r < there; r += 4) merge_rows<4, 4>(p, head, base, r, rows);
}

/// A lane's part of eight value rows of kv_b.
using ValueRows = uint4[kMlaLatent / 32];
__device__ __forceinline__ void load_values(const __nv_bfloat16* kv_b, int n, ValueRows& b) {
  const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
  for (int k = 0; k < kMlaLatent / 32; ++k)
    b[k] = *reinterpret_cast<const uint4*>(kv_b + int64_t{n + g} * kMlaLatent + k * 32 + t * 8);
}

// A block: 16 rows of one head. The merged latents go to shared memory as bfloat16 [16][520]; then warp w
// takes columns of 8 from 8 w on. A product's inner index may be permuted if both sides are: lane t of a quad
// takes 8 t ... 8 t + 7 of each 32, so that it reads 16 bytes of kv_b at once. The first columns' are read
// before the latents are there. Latents of rows that do not exist are whatever was in their place.
__global__ void __launch_bounds__(kThreads) output_kernel(const MlaDecode p, int columns) {
  __shared__ MergedRows rows;
  const int head = blockIdx.x, base = static_cast<int>(blockIdx.y) * kRows;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
  const MlaShape& s = p.shape;
  const auto* kv_b =
      static_cast<const __nv_bfloat16*>(p.kv_b) + (int64_t{head} * (s.nope + s.v) + s.nope) * kMlaLatent;
  const int end = min(s.v, (static_cast<int>(blockIdx.z) + 1) * columns);
  const int begin = static_cast<int>(blockIdx.z) * columns + warp * 8;
  let_next_start();
  if (!p.kv_b_is_weight) wait_for_previous();
  ValueRows b;
  if (begin < end) load_values(kv_b, begin, b);
  RowPlace places[kRowsOfWarp];
  find_rows(p, base, places);
  if (p.kv_b_is_weight) wait_for_previous();
  weigh_splits(p, head, base, places, rows);
  __syncthreads();
  merge_splits(p, head, base, rows);
  __syncthreads();
  for (int n = begin; n < end; n += 8 * kWarps) {
    if (n > begin) load_values(kv_b, n, b);
    float d[4] = {}, more[4] = {};  // two sums side by side shorten the chain of dependent products
#pragma unroll
    for (int k = 0; k < kMlaLatent / 32; ++k) {
      const __nv_bfloat16* latents = rows.latents + k * 32 + t * 8;
      const uint4 x = *reinterpret_cast<const uint4*>(latents + g * kLatentPitch);
      const uint4 y = *reinterpret_cast<const uint4*>(latents + (g + 8) * kLatentPitch);
      const uint32_t low[4] = {x.x, y.x, x.y, y.y}, high[4] = {x.z, y.z, x.w, y.w};
      mma_bf16(d, low, b[k].x, b[k].y);
      mma_bf16(more, high, b[k].z, b[k].w);
    }
#pragma unroll
    for (int e = 0; e < 4; ++e) d[e] += more[e];
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const int r = g + e / 2 * 8;
      if (!rows.live[r]) continue;
      store_element(p.out.dtype, p.out.data,
                    int64_t{p.first_row + base + r} * p.out.stride + int64_t{head} * s.v + n + t * 2 + e % 2,
                    d[e]);
    }
  }
}

}  // namespace

cudaError_t launch_mla_output(cudaStream_t stream, const MlaDecode& p) {
  const auto heads = static_cast<unsigned>(p.shape.heads);
  const unsigned row_tiles = static_cast<unsigned>(p.rows + kRows - 1) / kRows;
  // few rows leave the card empty: each block then takes one turn of columns, and merges the splits once more
  constexpr int kTurn = kWarps * 8;
  const unsigned parts = heads * row_tiles < 128 ? static_cast<unsigned>(p.shape.v + kTurn - 1) / kTurn : 1;
  const int columns = parts > 1 ? kTurn : p.shape.v;
  return launch_kernel<output_kernel>(stream, {dim3(heads, row_tiles, parts), kThreads}, p, columns);
}

}  // namespace hadal::cuda
