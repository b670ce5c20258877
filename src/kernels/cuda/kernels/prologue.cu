#include "kernels/cuda/kernels/cache.cuh"
#include "kernels/cuda/kernels/launch.cuh"
#include "kernels/cuda/kernels/prologue.h"

namespace hadal::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kGroups = kMaxPrologueNormCols / (kThreads * kGroup);

/// What a thread needs of a norm's weights.
using NormWeights = float[kGroups][kGroup];

__device__ __forceinline__ void load_norm(const void* weight, DType dtype, int64_t cols, bool vector_row,
                                          NormWeights& weights) {
#pragma unroll
  for (int g = 0; g < kGroups; ++g) {
    const int64_t column = (int64_t{g} * kThreads + threadIdx.x) * kGroup;
    const int count = static_cast<int>(max(int64_t{0}, min(int64_t{kGroup}, cols - column)));
    load_group(dtype, weight, column, count, vector_row && count == kGroup, weights[g]);
  }
}

/// The normalised row `x` (F32) goes to `to`, which may be a cache's record (fp8: divided by `scale`). The
/// sum's order is that of rms_norm_kernel for up to 2,048 columns: the same bits as the op alone.
__device__ __forceinline__ void norm_to(const float* x, int64_t cols, const NormWeights& weights, float eps,
                                        bool vector_row, void* to, int64_t to_first, DType to_dtype,
                                        float scale, float* scratch) {
  float v[kGroups][kGroup];
  float squares = 0;
#pragma unroll
  for (int g = 0; g < kGroups; ++g) {
    const int64_t column = (int64_t{g} * kThreads + threadIdx.x) * kGroup;
    const int count = static_cast<int>(max(int64_t{0}, min(int64_t{kGroup}, cols - column)));
    const bool vector = vector_row && count == kGroup;
    load_group(DType::kF32, x, column, count, vector, v[g]);
#pragma unroll
    for (int i = 0; i < kGroup; ++i) squares = fmaf(v[g][i], v[g][i], squares);
  }
  const float mean = block_sum(squares, scratch) / static_cast<float>(cols);
  const float inverse = __frcp_rn(__fsqrt_rn(mean + eps));
#pragma unroll
  for (int g = 0; g < kGroups; ++g) {
    const int64_t column = (int64_t{g} * kThreads + threadIdx.x) * kGroup;
    const int count = static_cast<int>(max(int64_t{0}, min(int64_t{kGroup}, cols - column)));
#pragma unroll
    for (int i = 0; i < kGroup; ++i) {
      v[g][i] = cache_value(to_dtype, weights[g][i] * (v[g][i] * inverse), scale);
    }
    store_group(to_dtype, to, to_first + column, count, vector_row && count == kGroup, v[g]);
  }
}

struct Pair {
  int a, b;  // columns, from the first of the rotated values
};
__device__ __forceinline__ Pair pair_of(RopeLayout layout, int i, int half) {
  return layout == RopeLayout::kInterleaved ? Pair{2 * i, 2 * i + 1} : Pair{i, i + half};
}

/// Grid (rows, 1 + blocks of q). Block 0 of a row: latent and key into the cache. The others: pairs of q, or,
/// with query compression, block 1: the norm of the query's latent.
__global__ void __launch_bounds__(kThreads)
    mla_prologue_kernel(MlaPrologueArgs p, bool vector_latent, bool vector_query) {
  __shared__ float scratch[32];
  const int64_t row = blockIdx.x;
  const int half = p.shape.rope / 2;
  const bool writes_cache = blockIdx.y == 0, norms_query = !writes_cache && p.q_lora > 0;
  NormWeights weights;
  let_next_start();
  if (writes_cache) load_norm(p.kv_a_norm, p.norm_dtype, p.shape.kv_lora, vector_latent, weights);
  if (norms_query) load_norm(p.q_a_norm, p.norm_dtype, p.q_lora, vector_query, weights);
  // where things are and how far they turn is known before the product is done
  const int index = static_cast<int>((blockIdx.y - 1) * kThreads + threadIdx.x);  // of q's pairs
  const int first = writes_cache ? static_cast<int>(threadIdx.x) : index % half;
  const float* angles = p.rope_table + int64_t{p.positions[row]} * p.shape.rope;
  char* record = writes_cache ? cache_record(p.cache, p.slots[row]) : nullptr;
  const float2 turn = first < half ? make_float2(angles[first], angles[half + first]) : float2{};
  wait_for_previous();
  if (writes_cache) {
    const float* kv = static_cast<const float*>(p.kv.data) + row * p.kv.stride;
    const float* key = kv + p.shape.kv_lora;
    char* rope = record + int64_t{p.shape.kv_lora} * element_bytes(p.cache.dtype);
    for (int i = first; i < half; i += kThreads) {
      const Pair at = pair_of(p.rope_layout, i, half);
      const float2 by = i == first ? turn : make_float2(angles[i], angles[half + i]);
      const float2 turned = rotate_pair(key[at.a], key[at.b], by.x, by.y);
      const DType dtype = p.cache.rope_dtype;
      store_element(dtype, rope, at.a, cache_value(dtype, turned.x, p.cache.k_scale));
      store_element(dtype, rope, at.b, cache_value(dtype, turned.y, p.cache.k_scale));
    }
    norm_to(kv, p.shape.kv_lora, weights, p.norm_eps, vector_latent, record, 0, p.cache.dtype,
            p.cache.k_scale, scratch);
    return;
  }
  if (norms_query) {
    const float* latent = static_cast<const float*>(p.q_latent.data) + row * p.q_latent.stride;
    norm_to(latent, p.q_lora, weights, p.norm_eps, vector_query, p.q_normed.data, row * p.q_normed.stride,
            p.q_normed.dtype, 1.0f, scratch);
    return;
  }
  if (index >= p.shape.heads * half) return;
  const int head = index / half;
  float* q = static_cast<float*>(p.q.data) + row * p.q.stride +
             int64_t{head} * (p.shape.nope + p.shape.rope) + p.shape.nope;
  const Pair at = pair_of(p.rope_layout, first, half);
  const float2 turned = rotate_pair(q[at.a], q[at.b], turn.x, turn.y);
  q[at.a] = turned.x;
  q[at.b] = turned.y;
}

/// Grid (rows, blocks of pairs): the pairs of q's heads, then k's, then v's (which are not turned).
__global__ void __launch_bounds__(kThreads) gqa_prologue_kernel(GqaPrologueArgs p) {
  let_next_start();
  const int64_t row = blockIdx.x;
  const int half = p.head_dim / 2;
  const int index = static_cast<int>(blockIdx.y * kThreads + threadIdx.x);
  int head = index / half;
  const int i = index - head * half;
  const Pair at = pair_of(p.rope_layout, i, half);
  const float* angles = p.rope_table + int64_t{p.positions[row]} * p.head_dim;
  const float2 turn = make_float2(angles[i], angles[half + i]);
  char* record = cache_record(p.cache, p.slots[row]);
  wait_for_previous();
  if (head < p.heads) {
    float* q = static_cast<float*>(p.q.data) + row * p.q.stride + int64_t{head} * p.head_dim;
    const float2 turned = rotate_pair(q[at.a], q[at.b], turn.x, turn.y);
    q[at.a] = turned.x;
    q[at.b] = turned.y;
    return;
  }
  head -= p.heads;
  if (head >= 2 * p.kv_heads) return;
  const bool is_key = head < p.kv_heads;
  const Mat& from = is_key ? p.k : p.v;
  const int first = (is_key ? head : head - p.kv_heads) * p.head_dim;
  const float* x = static_cast<const float*>(from.data) + row * from.stride + first;
  float2 pair = make_float2(x[at.a], x[at.b]);
  if (is_key) pair = rotate_pair(pair.x, pair.y, turn.x, turn.y);
  const DType dtype = p.cache.dtype;
  const float scale = is_key ? p.cache.k_scale : p.cache.v_scale;
  const int to = (is_key ? 0 : p.kv_heads * p.head_dim) + first;  // keys first, then values
  store_element(dtype, record, to + at.a, cache_value(dtype, pair.x, scale));
  store_element(dtype, record, to + at.b, cache_value(dtype, pair.y, scale));
}

unsigned blocks_for(int64_t items) { return static_cast<unsigned>((items + kThreads - 1) / kThreads); }

}  // namespace

void launch_mla_prologue(cudaStream_t stream, const MlaPrologueArgs& args, bool vector_latent,
                         bool vector_query) {
  const int64_t pairs = int64_t{args.shape.heads} * (args.shape.rope / 2);
  const unsigned query_blocks = args.q_lora > 0 ? 1 : blocks_for(pairs);
  const dim3 grid(static_cast<unsigned>(args.x.rows), 1 + query_blocks);
  launch_kernel<mla_prologue_kernel>(stream, {grid, kThreads}, args, vector_latent, vector_query);
}

void launch_gqa_prologue(cudaStream_t stream, const GqaPrologueArgs& args) {
  const int64_t pairs = int64_t{args.heads + 2 * args.kv_heads} * (args.head_dim / 2);
  const dim3 grid(static_cast<unsigned>(args.x.rows), blocks_for(pairs));
  launch_kernel<gqa_prologue_kernel>(stream, {grid, kThreads}, args);
}

}  // namespace hadal::cuda
