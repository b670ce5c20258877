// A block takes one row, 16 heads and one split of the row's keys, in tiles of 64 keys. A record's 576 values
// are nine columns of 64, each [64 keys][64 values] in shared memory: a ring of such columns is filled by the
// copy engine and emptied by one warpgroup:
//   scores     keys x heads: the keys are the instruction's 64-row side, so that 16 heads waste nothing
//   softmax    online; weights go to shared memory as [head][key] in bfloat16
//   values     latents x heads: each column transposed by the instruction, times the weights
// Sums over keys: tiles rising, within a tile in steps of 16 keys; the scores' over the rotary values, then
// the latents.
#include "kernels/cuda/kernels/attention_common.cuh"
#include "kernels/cuda/kernels/attention_mla_hopper.h"
#include "kernels/cuda/kernels/attention_prefetch.cuh"
#include "kernels/cuda/kernels/hopper.cuh"
#include "kernels/cuda/kernels/launch.cuh"
#include "kernels/cuda/kernels/tensor_map.h"

namespace hadal::cuda {
namespace {

constexpr float kLog2E = 1.4426950408889634f;
constexpr int kTile = kAttentionTile;  // keys
constexpr int kHeads = 16;
constexpr int kColumn = 64;                    // values
constexpr int kColumns = kMlaWidth / kColumn;  // of a record; the rotary one is taken first
constexpr int kLatents = kMlaLatent / kColumn;
constexpr int kColumnBytes = kTile * kColumn * 2;
constexpr int kPlaces = 24;  // of the ring
constexpr int kQueryBytes = kHeads * kColumn * 2;
constexpr int kWarps = 4;
constexpr int kThreads = 32 * (kWarps + 1);
constexpr int kAlignment = 1024;
static_assert(kTile == 64 && kMlaRope == kColumn);

/// Shared memory of a block.
struct Shared {
  alignas(kAlignment) char ring[kPlaces][kColumnBytes];
  alignas(kAlignment) char queries[kColumns][kQueryBytes];
  alignas(kAlignment) __nv_bfloat16 weights[kHeads * kTile];  // [16 heads][64 keys], swizzled
  float maxima[kWarps][kHeads];
  float totals[kWarps][kHeads];
  uint64_t filled[kPlaces], emptied[kPlaces], queried;
};

using Place = RingPlace<kPlaces>;

/// What a block works on.
struct Work {
  int32_t segment, last;  // keys [0, last)
  int32_t tile, end;
  int64_t query;  // of the first head, in rows of queries
  int32_t heads, split;
};

__device__ __forceinline__ bool find_work(const MlaDecode& p, Work& work) {
  const int head = static_cast<int>(blockIdx.y) * kHeads, row = blockIdx.z;
  work.split = blockIdx.x;
  work.heads = min(kHeads, p.shape.heads - head);
  work.query = int64_t{row} * p.shape.heads + head;
  const RowPlace place = place_of_row(p.batch, p.first_row + row);
  if (place.segment < 0 || place.segment >= p.batch.num_output_segments) return false;
  work.segment = place.segment;
  work.last = place.position + 1;
  const int all = (work.last + kTile - 1) / kTile, share = mla_tiles_of_split(all, p.splits);
  work.tile = work.split * share;
  work.end = min(all, work.tile + share);
  return work.tile < work.end;  // the output kernel knows how many splits have keys
}

/// One thread: has the queries and all tiles copied, columns as places become free. Boxes of keys that do not
/// exist are left out: their blocks may not exist either.
__device__ __forceinline__ void fill(const MlaDecode& p, const Work& work, Shared& shared,
                                     const CUtensorMap& queries, const CUtensorMap& cache) {
  barrier_arrive_expecting(&shared.queried, kColumns * kQueryBytes);
  for (int c = 0; c < kColumns; ++c)
    copy_box(shared.queries[c], queries, static_cast<int32_t>(work.query), c * kColumn, &shared.queried);
  const int32_t* table = p.batch.block_table + int64_t{work.segment} * p.batch.table_stride;
  const int32_t box = min(kTile, p.cache.block_tokens), box_bytes = box * kColumn * 2;
  Place place;
  for (int32_t tile = work.tile; tile < work.end; ++tile) {
    const int32_t first = tile * kTile;
    const int32_t boxes = min(kTile / box, (work.last - first + box - 1) / box);
    for (int c = 0; c < kColumns; ++c) {
      const int32_t column = c == 0 ? kMlaLatent : (c - 1) * kColumn;
      barrier_wait(&shared.emptied[place.stage], place.parity ^ 1);
      barrier_arrive_expecting(&shared.filled[place.stage], static_cast<uint32_t>(boxes * box_bytes));
      for (int32_t b = 0; b < boxes; ++b) {
        const int32_t key = first + b * box, index = key / p.cache.block_tokens;
        copy_box(shared.ring[place.stage] + b * box_bytes, cache, table[index],
                 key - index * p.cache.block_tokens, column, &shared.filled[place.stage]);
      }
      place.advance();
    }
  }
}

__device__ __forceinline__ void group_sync() {
  asm volatile("bar.sync 1, %0;\n" ::"n"(32 * kWarps) : "memory");
}

/// Keys behind the last of a tile hold anything, which a weight of 0 does not make 0: zeros in their place.
__device__ __forceinline__ void clear_missing(Shared& shared, Place place, int32_t there) {
  for (int c = 0; c < kColumns; ++c) {
    barrier_wait(&shared.filled[place.stage], place.parity);
    auto* const rows = reinterpret_cast<uint4*>(shared.ring[place.stage]);
    for (int i = there * 8 + static_cast<int>(threadIdx.x); i < kTile * 8; i += 32 * kWarps)
      rows[i] = make_uint4(0, 0, 0, 0);
    place.advance();
  }
  fence_shared_writes();
  group_sync();
}

/// The heads of a thread's four values of a row: 2 t, 2 t + 1, 8 + 2 t, 9 + 2 t.
__device__ __forceinline__ int head_of(int i) { return i / 2 * 8 + threadIdx.x % 4 * 2 + i % 2; }

/// scores[4 j + 2 h + c]: key 16 w + 8 h + g, head 8 j + 2 t + c. Frees the rotary column.
__device__ __forceinline__ void score_tile(Shared& shared, Place place, float (&scores)[8]) {
  uint64_t* const rotary = &shared.emptied[place.stage];
#pragma unroll
  for (int c = 0; c < kColumns; ++c) {
    barrier_wait(&shared.filled[place.stage], place.parity);
    const uint64_t keys = swizzled_tile(shared.ring[place.stage]);
    const uint64_t queries = swizzled_tile(shared.queries[c == 0 ? kColumns - 1 : c - 1]);
    products_begin();
#pragma unroll
    for (int k = 0; k < kColumn / 16; ++k)
      multiply_async16<false>(scores, keys + 2 * k, queries + 2 * k, c > 0 || k > 0 ? 1 : 0);
    products_commit();
    place.advance();
  }
  products_wait<0>();
  if (threadIdx.x % 32 == 0) barrier_arrive(rotary);
}

/// The online softmax of a thread's four heads; every thread of the warpgroup knows all maxima.
struct Softmax {
  float top[4] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
  float weight[4] = {0, 0, 0, 0};  // over this thread's keys

  /// Scores to weights in shared memory; what earlier sums shrink by. The first key of a tile is always seen.
  __device__ __forceinline__ void take(Shared& shared, float (&scores)[8], float scale, int32_t there,
                                       float (&shrink)[4]) {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4;
    float best[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        float& score = scores[i / 2 * 4 + 2 * h + i % 2];
        score = 16 * warp + 8 * h + g < there ? score * scale : -INFINITY;
      }
      best[i] = fmaxf(scores[i / 2 * 4 + i % 2], scores[i / 2 * 4 + 2 + i % 2]);
#pragma unroll
      for (int apart = 4; apart < 32; apart *= 2)
        best[i] = fmaxf(best[i], __shfl_xor_sync(0xffffffffu, best[i], apart));
      if (g == 0) shared.maxima[warp][head_of(i)] = best[i];
    }
    group_sync();  // also: the products of the tile before have read its weights
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      float raised = top[i];
#pragma unroll
      for (int w = 0; w < kWarps; ++w) raised = fmaxf(raised, shared.maxima[w][head_of(i)]);
      shrink[i] = exp2f(top[i] - raised);
      top[i] = raised;
      weight[i] *= shrink[i];
      char* const row = reinterpret_cast<char*>(shared.weights) + head_of(i) * (kTile * 2);
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int key = 16 * warp + 8 * h + g;
        const float value = exp2f(scores[i / 2 * 4 + 2 * h + i % 2] - raised);
        weight[i] += value;
        const int at = ((key / 8 ^ (head_of(i) & 7)) << 4) + key % 8 * 2;
        *reinterpret_cast<__nv_bfloat16*>(row + at) = __float2bfloat16_rn(value);
      }
    }
    fence_shared_writes();
    group_sync();
  }

  /// The weights' totals over all keys, in the order of warps; after the last tile.
  __device__ __forceinline__ void finish(Shared& shared) {
    const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
      for (int apart = 4; apart < 32; apart *= 2) weight[i] += __shfl_xor_sync(0xffffffffu, weight[i], apart);
      if (g == 0) shared.totals[warp][head_of(i)] = weight[i];
    }
    group_sync();
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      weight[i] = 0;
#pragma unroll
      for (int w = 0; w < kWarps; ++w) weight[i] += shared.totals[w][head_of(i)];
    }
  }
};

/// sums[column][4 j + 2 h + c] of latent 64 column + 16 w + 8 h + g, head 8 j + 2 t + c. `place`: of the
/// first latent column; frees them in order.
__device__ __forceinline__ void add_values(Shared& shared, Place place, float (&sums)[kLatents][8]) {
  const uint64_t weights = swizzled_tile(shared.weights);
  uint64_t* emptied[kLatents];
  products_begin();
#pragma unroll
  for (int c = 0; c < kLatents; ++c) {
    const uint64_t values = swizzled_tile(shared.ring[place.stage]);
    emptied[c] = &shared.emptied[place.stage];
#pragma unroll
    for (int k = 0; k < kTile / 16; ++k)
      multiply_async16<true>(sums[c], values + 128 * k, weights + 2 * k, 1);
    products_commit();
    place.advance();
  }
  products_wait<kLatents / 2>();
  if (threadIdx.x % 32 == 0) {
#pragma unroll
    for (int c = 0; c < kLatents / 2; ++c) barrier_arrive(emptied[c]);
  }
  products_wait<0>();
  if (threadIdx.x % 32 == 0) {
#pragma unroll
    for (int c = kLatents / 2; c < kLatents; ++c) barrier_arrive(emptied[c]);
  }
}

__device__ __forceinline__ void store(const MlaDecode& p, const Work& work, const Softmax& softmax,
                                      const float (&sums)[kLatents][8]) {
  const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (head_of(i) >= work.heads) continue;
    const int64_t at = (work.query + head_of(i)) * p.splits + work.split;
    float* const to = p.sums + at * kMlaLatent + 16 * warp + g;
#pragma unroll
    for (int c = 0; c < kLatents; ++c) {
      to[c * kColumn] = sums[c][i / 2 * 4 + i % 2];
      to[c * kColumn + 8] = sums[c][i / 2 * 4 + 2 + i % 2];
    }
    if (warp == 0 && g == 0) {
      p.states[at * 2] = softmax.top[i];
      p.states[at * 2 + 1] = softmax.weight[i];
    }
  }
}

__global__ void __launch_bounds__(kThreads, 1)
    attend_hopper_kernel(const __grid_constant__ MlaDecode p, const __grid_constant__ CUtensorMap queries,
                         const __grid_constant__ CUtensorMap cache) {
#if HADAL_SM90A
  extern __shared__ char memory[];
  auto& shared =
      *reinterpret_cast<Shared*>(memory + (kAlignment - shared_address(memory) % kAlignment) % kAlignment);
  Work work;
  let_next_start();
  if (!find_work(p, work)) {
    wait_for_previous();
    return;
  }
  prefetch_latents(p.cache, p.batch.block_table + int64_t{work.segment} * p.batch.table_stride,
                   work.tile * kTile, min(work.last, min(work.end, work.tile + 2) * kTile));
  if (threadIdx.x == 0) {
    for (int i = 0; i < kPlaces; ++i) {
      barrier_init(&shared.filled[i], 1);
      barrier_init(&shared.emptied[i], kWarps);
    }
    barrier_init(&shared.queried, 1);
    barrier_init_done();
  }
  __syncthreads();
  wait_for_previous();
  if (threadIdx.x / 32 == kWarps) {
    if (threadIdx.x % 32 == 0) fill(p, work, shared, queries, cache);
    return;
  }
  const float scale = p.scale * kLog2E;
  float sums[kLatents][8] = {};
  Softmax softmax;
  Place place;
  barrier_wait(&shared.queried, 0);
  for (int32_t tile = work.tile; tile < work.end; ++tile) {
    const int32_t there = min(kTile, work.last - tile * kTile);
    float scores[8], shrink[4];
    if (there < kTile) clear_missing(shared, place, there);
    score_tile(shared, place, scores);
    softmax.take(shared, scores, scale, there, shrink);
#pragma unroll
    for (int c = 0; c < kLatents; ++c) {
#pragma unroll
      for (int e = 0; e < 8; ++e) sums[c][e] *= shrink[e / 4 * 2 + e % 2];
    }
    place.advance();  // over the rotary column
    add_values(shared, place, sums);
    for (int c = 0; c < kLatents; ++c) place.advance();
  }
  softmax.finish(shared);
  store(p, work, softmax, sums);
#endif
}

}  // namespace

bool mla_hopper_takes(const CacheLayer& cache) {
  const auto bits = reinterpret_cast<uintptr_t>(cache.base) | static_cast<uintptr_t>(cache.block_stride) |
                    static_cast<uintptr_t>(cache.token_bytes);
  return cache.dtype == DType::kBF16 && cache.rope_dtype == DType::kBF16 && bits % 16 == 0 &&
         cache.block_tokens >= 8 && (kTile % cache.block_tokens == 0 || cache.block_tokens % kTile == 0);
}

int32_t mla_hopper_shared_bytes() { return static_cast<int32_t>(sizeof(Shared)) + kAlignment; }

cudaError_t launch_mla_attend_hopper(cudaStream_t stream, const MlaDecode& p) {
  static const cudaError_t kAllowed = cudaFuncSetAttribute(
      attend_hopper_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, mla_hopper_shared_bytes());
  if (kAllowed != cudaSuccess || p.rows <= 0) return kAllowed;
  constexpr int64_t kManyBlocks = int64_t{1} << 30;  // how many there are is nobody's business here
  const int64_t rows = int64_t{p.rows} * p.shape.heads;
  CUtensorMap queries, cache;
  cudaError_t made = describe_rows(p.queries, rows, kMlaWidth, kMlaWidth, kHeads, queries);
  if (made == cudaSuccess) {
    made = describe_pile({p.cache.base, kManyBlocks, p.cache.block_tokens, kMlaWidth, p.cache.block_stride,
                          p.cache.token_bytes},
                         p.cache.block_tokens < kTile ? p.cache.block_tokens : kTile, cache);
  }
  if (made != cudaSuccess) return made;
  const dim3 grid(static_cast<unsigned>(p.splits),
                  static_cast<unsigned>((p.shape.heads + kHeads - 1) / kHeads),
                  static_cast<unsigned>(p.rows));
  const LaunchShape shape{grid, kThreads, static_cast<size_t>(mla_hopper_shared_bytes())};
  return launch_kernel<attend_hopper_kernel>(stream, shape, p, queries, cache);
}

}  // namespace hadal::cuda
