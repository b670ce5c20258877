#include "kernels/cuda/kernels/attention_common.cuh"
#include "kernels/cuda/kernels/attention_fp8.cuh"
#include "kernels/cuda/kernels/attention_mla_decode.h"
#include "kernels/cuda/kernels/attention_mla_hopper.h"
#include "kernels/cuda/kernels/attention_prefetch.cuh"
#include "kernels/cuda/kernels/launch.cuh"
#include "kernels/cuda/kernels/ptx.cuh"
#include "kernels/cuda/kernels/weights.cuh"

namespace hadal::cuda {
namespace {

constexpr float kLog2E = 1.4426950408889634f;
constexpr int kTile = kAttentionTile;
constexpr int kPitch = kMlaWidth + 8;  // rows 16 (mod 128) bytes apart: matrix loads without bank conflicts
constexpr int kScorePitch = kTile + 4;
constexpr int kAttendThreads = 256;

/// latent[r, c] = sum over i of q[r, i] * kv_b[head's row i, c]: 16 rows, 128 columns a block of four warps.
constexpr int kAbsorbColumns = 128;
constexpr int kAbsorbPitch = kAbsorbColumns + 8;
constexpr int kAbsorbSteps = 8;  // of 16 inner ones, whose queries are read at once

/// The lane's fragments of the queries of 16 rows from `base` on: kAbsorbSteps products from inner `first`
/// on.
template <typename LoadPair>
__device__ __forceinline__ void load_queries(const MlaDecode& p, int base, int head, int first,
                                             uint32_t (&a)[kAbsorbSteps][4], const LoadPair& load_pair) {
  const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
  for (int step = 0; step < kAbsorbSteps; ++step) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int row = base + g + i % 2 * 8, c = first + 16 * step + i / 2 * 8 + t * 2;
      const int64_t at =
          int64_t{p.first_row + row} * p.q.stride + int64_t{head} * (p.shape.nope + p.shape.rope) + c;
      a[step][i] = row < p.rows && c < p.shape.nope ? load_pair(at) : 0u;
    }
  }
}

__global__ void __launch_bounds__(128) absorb_kernel(const MlaDecode p) {
  extern __shared__ __align__(16) unsigned char shared[];
  auto* weights = reinterpret_cast<__nv_bfloat16*>(shared);  // [nope][136]
  const int head = blockIdx.x, base = static_cast<int>(blockIdx.y) * 16;
  const int column = static_cast<int>(blockIdx.z) * kAbsorbColumns;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
  const MlaShape& s = p.shape;
  const auto* kv_b = static_cast<const __nv_bfloat16*>(p.kv_b) + int64_t{head} * (s.nope + s.v) * kMlaLatent;
  let_next_start();
  if (!p.kv_b_is_weight) wait_for_previous();
  for (int i = threadIdx.x; i < s.nope * (kAbsorbColumns / 8); i += 128) {
    const int row = i / (kAbsorbColumns / 8), c = i % (kAbsorbColumns / 8) * 8;
    copy_async16(weights + row * kAbsorbPitch + c, kv_b + int64_t{row} * kMlaLatent + column + c);
  }
  copy_async_commit();
  if (p.kv_b_is_weight) wait_for_previous();
  auto* queries = static_cast<__nv_bfloat16*>(p.queries);
  const auto query = [&](int row, int c) {
    return load_element(p.q.dtype, p.q.data,
                        int64_t{p.first_row + row} * p.q.stride + int64_t{head} * (s.nope + s.rope) + c);
  };
  const auto latent_at = [&](int row) { return (int64_t{row} * s.heads + head) * kMlaWidth; };
  if (blockIdx.z == 0) {
    for (int i = threadIdx.x; i < 16 * kMlaRope; i += 128) {
      const int row = base + i / kMlaRope, c = i % kMlaRope;
      if (row < p.rows)
        queries[latent_at(row) + kMlaLatent + c] = __float2bfloat16_rn(query(row, s.nope + c));
    }
  }
  float sums[4][4] = {};  // 32 columns a warp
  for (int first = 0; first < s.nope; first += 16 * kAbsorbSteps) {
    uint32_t a[kAbsorbSteps][4];
    with_pairs(p.q, [&](const auto& load_pair) { load_queries(p, base, head, first, a, load_pair); });
    if (first == 0) {
      copy_async_wait<0>();
      __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < kAbsorbSteps; ++i) {
      const int k = first + 16 * i;
      if (k >= s.nope) break;
#pragma unroll
      for (int n = 0; n < 2; ++n) {
        uint32_t b[4];
        load_matrix4_transposed(
            b, weights + (k + lane % 16) * kAbsorbPitch + warp * 32 + n * 16 + lane / 16 * 8);
        mma_bf16(sums[2 * n], a[i], b[0], b[1]);
        mma_bf16(sums[2 * n + 1], a[i], b[2], b[3]);
      }
    }
  }
#pragma unroll
  for (int n = 0; n < 4; ++n) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int row = base + g + 8 * r;
      if (row >= p.rows) continue;
      const int64_t at = latent_at(row) + column + warp * 32 + n * 8 + t * 2;
      *reinterpret_cast<uint32_t*>(queries + at) = pack_bf16(sums[n][2 * r], sums[n][2 * r + 1]);
    }
  }
}

/// The records [tile, tile + 64) of a sequence as bfloat16; those from `last` on are zeros and not read. Four
/// threads a record.
__device__ void load_records(const CacheLayer& cache, const int32_t* table, int tile, int last,
                             __nv_bfloat16* to) {
  const bool wide = cache.dtype == DType::kBF16, e4m3 = cache.dtype == DType::kF8E4M3;
  const int j = threadIdx.x / 4;
  const bool there = tile + j < last;
  const char* record = there ? record_of(cache, table, tile + j) : static_cast<const char*>(cache.base);
  __nv_bfloat16* row = to + j * kPitch;
  if (wide) {
#pragma unroll
    for (int c = 0; c < kMlaWidth / 32; ++c) {
      const int at = c * 32 + threadIdx.x % 4 * 8;
      copy_async16(row + at, record + (there ? at * 2 : 0), there);
    }
    return;
  }
#pragma unroll
  for (int c = 0; c < kMlaLatent / 32; ++c) {
    const int at = c * 32 + threadIdx.x % 4 * 8;
    uint4 values{};
    if (there) values = widen_fp8(*reinterpret_cast<const uint2*>(record + at), e4m3);
    *reinterpret_cast<uint4*>(row + at) = values;
  }
#pragma unroll
  for (int c = 0; c < kMlaRope / 32; ++c) {
    const int at = c * 32 + threadIdx.x % 4 * 8;
    copy_async16(row + kMlaLatent + at, record + (there ? kMlaLatent + at * 2 : 0), there);
  }
}

// A block: one row, 16 heads (8 where there are no more), one split. Scores: warp w takes keys 8 w ... 8 w
// + 7. Values: warp w takes columns 64 w ... 64 w + 63. Every warp works the softmax out for itself, so all
// hold the same maxima and weights. An fp8 cache: latent scores are summed apart from the rotary ones and
// scaled.
__global__ void __launch_bounds__(kAttendThreads, 1) attend_kernel(const MlaDecode p, int stages) {
  extern __shared__ __align__(16) unsigned char shared[];
  auto* queries = reinterpret_cast<__nv_bfloat16*>(shared);                   // [16][584]
  auto* scores = reinterpret_cast<float*>(queries + 16 * kPitch);             // [16][68]
  auto* tiles = reinterpret_cast<__nv_bfloat16*>(scores + 16 * kScorePitch);  // stages of [64][584]
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
  const int split = blockIdx.x, head = static_cast<int>(blockIdx.y) * 16, row = blockIdx.z;
  const int heads = min(16, p.shape.heads - head);
  let_next_start();
  const RowPlace place = place_of_row(p.batch, p.first_row + row);
  const bool attends = place.segment >= 0 && place.segment < p.batch.num_output_segments;
  const int last = place.position + 1;
  const int all = (last + kTile - 1) / kTile;
  const int share = mla_tiles_of_split(all, p.splits);
  int tile = split * share;
  const int end = attends ? min(all, tile + share) : 0;
  const int64_t query = (int64_t{row} * p.shape.heads + head);
  const int32_t* table = p.batch.block_table + int64_t{max(place.segment, 0)} * p.batch.table_stride;
  if (tile < end) prefetch_latents(p.cache, table, tile * kTile, min(last, min(end, tile + 2) * kTile));
  wait_for_previous();
  if (tile >= end) return;  // the output kernel knows how many splits have keys
  const auto* from = static_cast<const __nv_bfloat16*>(p.queries) + query * kMlaWidth;
  for (int i = threadIdx.x; i < 16 * (kMlaWidth / 8); i += kAttendThreads) {
    const int h = i / (kMlaWidth / 8), c = i % (kMlaWidth / 8) * 8;
    copy_async16(queries + h * kPitch + c, h < heads ? from + h * kMlaWidth + c : from, h < heads);
  }
  load_records(p.cache, table, tile * kTile, last, tiles);
  copy_async_commit();

  const bool fp8 = is_fp8(p.cache.dtype);
  const float latent_scale = p.scale * kLog2E * (fp8 ? p.cache.k_scale : 1.0f), rope_scale = p.scale * kLog2E;
  float sums[8][4] = {};
  float top[2] = {-INFINITY, -INFINITY}, weight[2] = {0, 0};
  for (int stage = 0; tile < end; ++tile) {
    copy_async_wait<0>();
    __syncthreads();
    const __nv_bfloat16* records = tiles + stage * kTile * kPitch;
    if (stages > 1 && tile + 1 < end) {
      load_records(p.cache, table, (tile + 1) * kTile, last, tiles + (stage ^ 1) * kTile * kPitch);
      copy_async_commit();
    }
    // 16 heads x this warp's 8 keys; two sums side by side shorten the chain of dependent products
    float s[2][4] = {}, r[4] = {};
#pragma unroll 4
    for (int k = 0; k < kMlaWidth; k += 32) {
      uint32_t a0[4], a1[4], b[4];
      load_matrix4(a0, queries + lane % 16 * kPitch + k + lane / 16 * 8);
      load_matrix4(a1, queries + lane % 16 * kPitch + k + 16 + lane / 16 * 8);
      load_matrix4(b, records + (warp * 8 + lane % 8) * kPitch + k + lane / 8 * 8);
      if (k < kMlaLatent) {
        mma_bf16(s[0], a0, b[0], b[1]);
        mma_bf16(s[1], a1, b[2], b[3]);
      } else {
        mma_bf16(r, a0, b[0], b[1]);
        mma_bf16(r, a1, b[2], b[3]);
      }
    }
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const int key = warp * 8 + t * 2 + e % 2;
      const float score = (s[0][e] + s[1][e]) * latent_scale + r[e] * rope_scale;
      scores[(g + e / 2 * 8) * kScorePitch + key] = tile * kTile + key < last ? score : -INFINITY;
    }
    __syncthreads();
    // the first key of a tile is always seen, so maxima are finite from here on
    float w[8][4];
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      float raised = top[h];
#pragma unroll
      for (int n = 0; n < 8; ++n) {
        const float2 pair =
            *reinterpret_cast<const float2*>(scores + (g + h * 8) * kScorePitch + n * 8 + t * 2);
        w[n][2 * h] = pair.x;
        w[n][2 * h + 1] = pair.y;
        raised = fmaxf(raised, fmaxf(pair.x, pair.y));
      }
      raised = fmaxf(raised, __shfl_xor_sync(0xffffffffu, raised, 1));
      raised = fmaxf(raised, __shfl_xor_sync(0xffffffffu, raised, 2));
      const float shrink = exp2f(top[h] - raised);
      top[h] = raised;
      weight[h] *= shrink;
#pragma unroll
      for (int n = 0; n < 8; ++n) {
        sums[n][2 * h] *= shrink;
        sums[n][2 * h + 1] *= shrink;
        w[n][2 * h] = exp2f(w[n][2 * h] - raised);
        w[n][2 * h + 1] = exp2f(w[n][2 * h + 1] - raised);
        weight[h] += w[n][2 * h] + w[n][2 * h + 1];
      }
    }
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const uint32_t a[4] = {pack_bf16(w[2 * k][0], w[2 * k][1]), pack_bf16(w[2 * k][2], w[2 * k][3]),
                             pack_bf16(w[2 * k + 1][0], w[2 * k + 1][1]),
                             pack_bf16(w[2 * k + 1][2], w[2 * k + 1][3])};
#pragma unroll
      for (int n = 0; n < 4; ++n) {
        uint32_t b[4];
        load_matrix4_transposed(b,
                                records + (k * 16 + lane % 16) * kPitch + warp * 64 + n * 16 + lane / 16 * 8);
        mma_bf16(sums[2 * n], a, b[0], b[1]);
        mma_bf16(sums[2 * n + 1], a, b[2], b[3]);
      }
    }
    if (stages > 1) {
      stage ^= 1;
    } else if (tile + 1 < end) {
      __syncthreads();  // all have read the only stage
      load_records(p.cache, table, (tile + 1) * kTile, last, tiles);
      copy_async_commit();
    }
  }
  const float value_scale = fp8 ? p.cache.k_scale : 1.0f;
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    weight[h] += __shfl_xor_sync(0xffffffffu, weight[h], 1);
    weight[h] += __shfl_xor_sync(0xffffffffu, weight[h], 2);
    if (g + h * 8 >= heads) continue;
    const int64_t at = (query + g + h * 8) * p.splits + split;
#pragma unroll
    for (int n = 0; n < 8; ++n) {
      *reinterpret_cast<float2*>(p.sums + at * kMlaLatent + warp * 64 + n * 8 + t * 2) =
          make_float2(sums[n][2 * h] * value_scale, sums[n][2 * h + 1] * value_scale);
    }
    if (warp == 0 && t == 0) {
      p.states[at * 2] = top[h];
      p.states[at * 2 + 1] = weight[h];
    }
  }
}

__global__ void decode_weight_kernel(const WeightRef weight, __nv_bfloat16* out) {
  wait_for_previous();
  const int64_t row = blockIdx.x;
  for (int64_t c = threadIdx.x; c < weight.cols; c += blockDim.x)
    out[row * weight.cols + c] = __float2bfloat16_rn(weight_value(weight, row, c, true));
}

size_t absorb_shared(const MlaShape& s) {
  return static_cast<size_t>(s.nope) * kAbsorbPitch * sizeof(__nv_bfloat16);
}

cudaError_t launch_attend(cudaStream_t stream, const MlaDecode& p, int32_t stages) {
  if (stages == kMlaHopper) return launch_mla_attend_hopper(stream, p);
  static const cudaError_t kAllowed =
      cudaFuncSetAttribute(attend_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                           static_cast<int>(mla_decode_shared(stages)));
  if (kAllowed != cudaSuccess) return kAllowed;
  const dim3 grid(static_cast<unsigned>(p.splits), static_cast<unsigned>(p.shape.heads + 15) / 16,
                  static_cast<unsigned>(p.rows));
  const LaunchShape shape{grid, kAttendThreads, mla_decode_shared(stages)};
  return launch_kernel<attend_kernel>(stream, shape, p, stages);
}

}  // namespace

bool mla_decode_takes(const CacheLayer& cache, const MlaShape& s) {
  const bool fp8 = cache.dtype == DType::kF8E4M3 || cache.dtype == DType::kF8E5M2;
  const auto bits = reinterpret_cast<uintptr_t>(cache.base) | static_cast<uintptr_t>(cache.block_stride) |
                    static_cast<uintptr_t>(cache.token_bytes);
  return (fp8 || cache.dtype == DType::kBF16) && cache.rope_dtype == DType::kBF16 && bits % 16 == 0 &&
         s.kv_lora == kMlaLatent && s.rope == kMlaRope && s.heads % 8 == 0 && s.nope % 16 == 0 &&
         s.nope > 0 && s.nope <= 256 && s.v % 16 == 0 && s.v > 0;
}

size_t mla_decode_shared(int32_t stages) {
  return (static_cast<size_t>(16 + stages * kTile) * kPitch) * sizeof(__nv_bfloat16) +
         size_t{16} * kScorePitch * sizeof(float);
}

cudaError_t launch_mla_decode(cudaStream_t stream, const MlaDecode& p, int32_t stages) {
  static const cudaError_t kAllowed = cudaFuncSetAttribute(
      absorb_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 256 * kAbsorbPitch * 2);
  if (kAllowed != cudaSuccess || p.rows <= 0) return kAllowed;
  const auto rows = static_cast<unsigned>(p.rows), heads = static_cast<unsigned>(p.shape.heads);
  const LaunchShape absorb{dim3(heads, (rows + 15) / 16, kMlaLatent / kAbsorbColumns), 128,
                           absorb_shared(p.shape)};
  cudaError_t error = launch_kernel<absorb_kernel>(stream, absorb, p);
  if (error == cudaSuccess) error = launch_attend(stream, p, stages);
  return error == cudaSuccess ? launch_mla_output(stream, p) : error;
}

cudaError_t launch_decode_weight(cudaStream_t stream, const WeightRef& weight, void* out) {
  return launch_kernel<decode_weight_kernel>(stream, {static_cast<unsigned>(weight.rows), 256}, weight,
                                             static_cast<__nv_bfloat16*>(out));
}

}  // namespace hadal::cuda
