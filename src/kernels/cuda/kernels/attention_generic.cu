#include "kernels/cuda/kernels/attention_common.cuh"
#include "kernels/cuda/kernels/attention_generic.h"
#include "kernels/cuda/kernels/launch.cuh"
#include "kernels/cuda/kernels/ptx.cuh"
#include "kernels/cuda/kernels/weights.cuh"

namespace hadal::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / 32;

/// Running maximum and sum; every thread of the block holds the same bits.
struct Softmax {
  float max = -INFINITY;
  float sum = 0;
};

/// Turns the tile's scores [count] into weights in place and returns the factor that shrinks what was summed
/// before. Each warp computes the same numbers from shared memory, so no exchange between warps is needed;
/// the caller synchronises before (scores written) and after (weights written by warp 0).
__device__ float absorb_scores(float* scores, float* weights, int count, Softmax& state) {
  const int lane = threadIdx.x % 32;
  const float a = lane < count ? scores[lane] : -INFINITY;
  const float b = lane + 32 < count ? scores[lane + 32] : -INFINITY;
  const float raised = fmaxf(state.max, warp_max(fmaxf(a, b)));
  const float shrink = expf(state.max - raised);  // 0 for the first tile: count > 0, so `raised` is finite
  const float p = lane < count ? expf(a - raised) : 0.0f;
  const float r = lane + 32 < count ? expf(b - raised) : 0.0f;
  state.sum = state.sum * shrink + warp_sum(p + r);
  state.max = raised;
  if (threadIdx.x < 32) {
    weights[lane] = p;
    weights[lane + 32] = r;
  }
  return shrink;
}

/// Sum over a warp's lanes of q[i] times the `count` elements from `record` on.
__device__ __forceinline__ float dot_lanes(const float* q, DType dtype, const void* record, int count) {
  float sum = 0;
  for (int i = threadIdx.x % 32; i < count; i += 32) sum = fmaf(q[i], load_element(dtype, record, i), sum);
  return sum;
}

__global__ void __launch_bounds__(kThreads) gqa_kernel(const GenericGqa p, int32_t first_row) {
  extern __shared__ float shared[];
  float* q = shared;                         // [head_dim]
  float* sums = q + p.head_dim;              // [head_dim]
  float* scores = sums + p.head_dim;         // [tile]
  float* weights = scores + kAttentionTile;  // [tile]
  const int row = first_row + static_cast<int>(blockIdx.x), head = blockIdx.y, warp = threadIdx.x / 32;
  const int64_t column = int64_t{head} * p.head_dim;
  wait_for_previous();
  const RowPlace place = place_of_row(p.batch, row);
  if (place.segment < 0) {
    for (int i = threadIdx.x; i < p.head_dim; i += kThreads)
      store_element(p.out.dtype, p.out.data, row * p.out.stride + column + i, 0.0f);
    return;
  }
  for (int i = threadIdx.x; i < p.head_dim; i += kThreads) {
    q[i] = load_element(p.q.dtype, p.q.data, row * p.q.stride + column + i);
    sums[i] = 0;
  }
  const int32_t* table = p.batch.block_table + int64_t{place.segment} * p.batch.table_stride;
  const int bytes = element_bytes(p.cache.dtype);
  const int64_t key_at = int64_t{head / (p.heads / p.kv_heads)} * p.head_dim * bytes;
  const int64_t value_at = key_at + int64_t{p.kv_heads} * p.head_dim * bytes;
  const float k_scale = (is_fp8(p.cache.dtype) ? p.cache.k_scale : 1.0f) * p.scale;
  const float v_scale = is_fp8(p.cache.dtype) ? p.cache.v_scale : 1.0f;
  const int oldest = p.window > 0 ? max(0, place.position - p.window + 1) : 0;
  Softmax state;
  for (int tile = oldest / kAttentionTile * kAttentionTile; tile <= place.position; tile += kAttentionTile) {
    const int first = max(tile, oldest), count = min(tile + kAttentionTile, place.position + 1) - first;
    __syncthreads();  // q is there; the last tile's weights were used
    for (int j = warp; j < count; j += kWarps) {
      const char* record = record_of(p.cache, table, first + j);
      const float score = warp_sum(dot_lanes(q, p.cache.dtype, record + key_at, p.head_dim));
      if (threadIdx.x % 32 == 0) scores[j] = score * k_scale;
    }
    __syncthreads();
    const float shrink = absorb_scores(scores, weights, count, state);
    __syncthreads();
    for (int i = threadIdx.x; i < p.head_dim; i += kThreads) {
      float sum = 0;
      for (int j = 0; j < count; ++j) {
        const char* record = record_of(p.cache, table, first + j);
        sum = fmaf(weights[j], load_element(p.cache.dtype, record + value_at, i), sum);
      }
      sums[i] = sums[i] * shrink + sum;
    }
  }
  for (int i = threadIdx.x; i < p.head_dim; i += kThreads)
    store_element(p.out.dtype, p.out.data, row * p.out.stride + column + i, sums[i] / state.sum * v_scale);
}

// Both forms in the absorbed order of multiplication, whose float32 rounding errors are of the same size as
// the expanded one's: which form a token has then makes no difference at all.
__global__ void __launch_bounds__(kThreads) mla_kernel(const GenericMla p, int32_t first_row) {
  extern __shared__ float shared[];
  const MlaShape& s = p.shape;
  float* q = shared;                         // [nope + rope]
  float* latent = q + s.nope + s.rope;       // [kv_lora]: the query as latents see it
  float* sums = latent + s.kv_lora;          // [kv_lora]
  float* scores = sums + s.kv_lora;          // [tile]
  float* weights = scores + kAttentionTile;  // [tile]
  const int row = first_row + static_cast<int>(blockIdx.x), head = blockIdx.y;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int64_t out_at = row * p.out.stride + int64_t{head} * s.v;
  wait_for_previous();
  const RowPlace place = place_of_row(p.batch, row);
  if (p.prompts_only && place.segment >= 0 && place.segment < p.batch.num_output_segments) return;
  if (place.segment < 0) {
    for (int i = threadIdx.x; i < s.v; i += kThreads)
      store_element(p.out.dtype, p.out.data, out_at + i, 0.0f);
    return;
  }
  for (int i = threadIdx.x; i < s.nope + s.rope; i += kThreads)
    q[i] = load_element(p.q.dtype, p.q.data, row * p.q.stride + int64_t{head} * (s.nope + s.rope) + i);
  __syncthreads();
  const int64_t head_row = int64_t{head} * (s.nope + s.v);
  for (int c = threadIdx.x; c < s.kv_lora; c += kThreads) {
    float sum = 0;
    for (int i = 0; i < s.nope; ++i)
      sum = fmaf(q[i], weight_value(p.kv_b, head_row + i, c, p.round_weights), sum);
    latent[c] = sum;
    sums[c] = 0;
  }
  const int32_t* table = p.batch.block_table + int64_t{place.segment} * p.batch.table_stride;
  const int64_t rope_at = int64_t{s.kv_lora} * element_bytes(p.cache.dtype);
  const float latent_scale = is_fp8(p.cache.dtype) ? p.cache.k_scale : 1.0f;
  const float rope_scale = is_fp8(p.cache.rope_dtype) ? p.cache.k_scale : 1.0f;
  Softmax state;
  for (int tile = 0; tile <= place.position; tile += kAttentionTile) {
    const int count = min(kAttentionTile, place.position + 1 - tile);
    __syncthreads();
    for (int j = warp; j < count; j += kWarps) {
      const char* record = record_of(p.cache, table, tile + j);
      const float score = dot_lanes(latent, p.cache.dtype, record, s.kv_lora) * latent_scale +
                          dot_lanes(q + s.nope, p.cache.rope_dtype, record + rope_at, s.rope) * rope_scale;
      const float whole = warp_sum(score);
      if (lane == 0) scores[j] = whole * p.scale;
    }
    __syncthreads();
    const float shrink = absorb_scores(scores, weights, count, state);
    __syncthreads();
    for (int c = threadIdx.x; c < s.kv_lora; c += kThreads) {
      float sum = 0;
      for (int j = 0; j < count; ++j)
        sum = fmaf(weights[j], load_element(p.cache.dtype, record_of(p.cache, table, tile + j), c), sum);
      sums[c] = sums[c] * shrink + sum;
    }
  }
  __syncthreads();
  for (int c = warp; c < s.v; c += kWarps) {
    float sum = 0;
    for (int k = lane; k < s.kv_lora; k += 32)
      sum = fmaf(weight_value(p.kv_b, head_row + s.nope + c, k, p.round_weights), sums[k], sum);
    const float whole = warp_sum(sum);
    if (lane == 0) store_element(p.out.dtype, p.out.data, out_at + c, whole / state.sum * latent_scale);
  }
}

/// Lets a kernel have as much shared memory as the device gives.
template <typename Kernel>
cudaError_t allow_shared(Kernel* kernel) {
  int device = 0, bytes = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
}

}  // namespace

size_t generic_gqa_shared(int32_t head_dim) {
  return (2 * static_cast<size_t>(head_dim) + 2 * kAttentionTile) * sizeof(float);
}
size_t generic_mla_shared(const MlaShape& s) {
  return (static_cast<size_t>(s.nope + s.rope) + 2 * static_cast<size_t>(s.kv_lora) + 2 * kAttentionTile) *
         sizeof(float);
}

cudaError_t launch_generic_gqa(cudaStream_t stream, const GenericGqa& params, int32_t first_row,
                               int32_t rows) {
  static const cudaError_t kAllowed = allow_shared(gqa_kernel);
  if (kAllowed != cudaSuccess || rows <= 0) return kAllowed;
  const dim3 grid(static_cast<unsigned>(rows), static_cast<unsigned>(params.heads));
  const LaunchShape shape{grid, kThreads, generic_gqa_shared(params.head_dim)};
  return launch_kernel<gqa_kernel>(stream, shape, params, first_row);
}

cudaError_t launch_generic_mla(cudaStream_t stream, const GenericMla& params, int32_t first_row,
                               int32_t rows) {
  static const cudaError_t kAllowed = allow_shared(mla_kernel);
  if (kAllowed != cudaSuccess || rows <= 0) return kAllowed;
  const dim3 grid(static_cast<unsigned>(rows), static_cast<unsigned>(params.shape.heads));
  const LaunchShape shape{grid, kThreads, generic_mla_shared(params.shape)};
  return launch_kernel<mla_kernel>(stream, shape, params, first_row);
}

}  // namespace hadal::cuda
