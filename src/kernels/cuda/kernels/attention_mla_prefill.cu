#include "kernels/cuda/kernels/attention_common.cuh"
#include "kernels/cuda/kernels/attention_fp8.cuh"
#include "kernels/cuda/kernels/attention_mla_decode.h"
#include "kernels/cuda/kernels/attention_mla_prefill.h"
#include "kernels/cuda/kernels/attention_tile.cuh"
#include "kernels/cuda/kernels/launch.cuh"
#include "kernels/cuda/kernels/ptx.cuh"

namespace hadal::cuda {
namespace {

constexpr float kLog2E = 1.4426950408889634f;
constexpr int kTile = kAttentionTile;
constexpr int kNope = 128, kValue = 128, kQk = kNope + kMlaRope;
constexpr int kKeyPitch = kQk + 8, kValuePitch = kValue + 8;
constexpr int kStageElements = kTile * (kKeyPitch + kValuePitch);
constexpr int kShared = 2 * kStageElements * 2;
constexpr int kStateWidth = kValue + 2;
constexpr int kThreads = 128;

/// Where a segment's contexts begin in the piece's buffers.
__device__ int64_t buffer_row(const MlaPrefill& p, int segment) {
  int64_t row = 0;
  for (int s = p.first_segment; s < segment; ++s) row += max(0, p.batch.context_len[s]);
  return row;
}

/// 32 records a block, eight threads each.
__global__ void __launch_bounds__(256) gather_kernel(const MlaPrefill p) {
  const int segment = p.first_segment + static_cast<int>(blockIdx.y);
  const int position = p.first_key + static_cast<int>(blockIdx.x) * 32 + static_cast<int>(threadIdx.x) / 8;
  let_next_start();
  wait_for_previous();
  if (position >= min(p.last_key, p.batch.context_len[segment])) return;
  const int32_t* table = p.batch.block_table + int64_t{segment} * p.batch.table_stride;
  const char* record = record_of(p.cache, table, position);
  auto* to =
      static_cast<__nv_bfloat16*>(p.latents) + (buffer_row(p, segment) + position - p.first_key) * kMlaWidth;
  const bool fp8 = is_fp8(p.cache.dtype);
  const char* rope = record + kMlaLatent * (fp8 ? 1 : 2);
  for (int c = threadIdx.x % 8 * 8; c < kMlaWidth; c += 64) {
    uint4 values;
    if (c >= kMlaLatent) {
      values = *reinterpret_cast<const uint4*>(rope + (c - kMlaLatent) * 2);
    } else if (!fp8) {
      values = *reinterpret_cast<const uint4*>(record + c * 2);
    } else {
      values = widen_fp8(*reinterpret_cast<const uint2*>(record + c), p.cache.dtype == DType::kF8E4M3);
      auto* pairs = reinterpret_cast<__nv_bfloat162*>(&values);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float2 pair = __bfloat1622float2(pairs[i]);
        pairs[i] = __floats2bfloat162_rn(pair.x * p.cache.k_scale, pair.y * p.cache.k_scale);
      }
    }
    *reinterpret_cast<uint4*>(to + c) = values;
  }
}

/// Keys [tile, tile + 64) of one head; those from `last` on are zeros and not read. `row`: buffer row of key
/// 0.
__device__ void load_tile(const MlaPrefill& p, int64_t row, int head, int tile, int last,
                          __nv_bfloat16* keys) {
  __nv_bfloat16* values = keys + kTile * kKeyPitch;
  const auto* latents = static_cast<const __nv_bfloat16*>(p.latents);
  const auto* expanded = static_cast<const __nv_bfloat16*>(p.expanded);
#pragma unroll
  for (int i = 0; i < kTile / 16; ++i) {
    const int j = i * 16 + threadIdx.x / 8, c = threadIdx.x % 8 * 8;
    const bool there = tile + j < last;
    const int64_t at = there ? row + tile + j : row + last - 1;
    const __nv_bfloat16* both = expanded + (at * p.heads + head) * (kNope + kValue);
    copy_async16(keys + j * kKeyPitch + c, both + c, there);
    copy_async16(keys + j * kKeyPitch + 64 + c, both + 64 + c, there);
    copy_async16(keys + j * kKeyPitch + kNope + c, latents + at * kMlaWidth + kMlaLatent + c, there);
    copy_async16(values + j * kValuePitch + c, both + kNope + c, there);
    copy_async16(values + j * kValuePitch + 64 + c, both + kNope + 64 + c, there);
  }
}

// A block: 64 query rows of one head and segment, 16 a warp. Parts end at multiples of the tile, so the tiles
// a row sees are the same however its context is cut.
__global__ void __launch_bounds__(kThreads, 2) prefill_kernel(const MlaPrefill p) {
  extern __shared__ __align__(16) unsigned char shared[];
  auto* tiles = reinterpret_cast<__nv_bfloat16*>(shared);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
  const int segment = p.first_segment + static_cast<int>(blockIdx.z), head = blockIdx.y;
  const int base = static_cast<int>(gridDim.x - 1 - blockIdx.x) * 64;  // the longest first
  wait_for_previous();
  const int first_row = p.batch.query_start[segment];
  const int count = p.batch.query_start[segment + 1] - first_row, context = p.batch.context_len[segment];
  if (context <= 0 || base >= count) return;
  const int position = context - count;  // of the segment's row 0
  const int last = min(p.last_key, position + min(base + 64, count));
  const int64_t row0 = buffer_row(p, segment) - p.first_key;
  int tile = p.first_key / kTile;
  const int end = (last + kTile - 1) / kTile;
  const auto fetch = [&](int index, int stage) {
    load_tile(p, row0, head, index * kTile, last, tiles + stage * kStageElements);
    copy_async_commit();
  };
  if (tile < end) fetch(tile, 0);
  int oldest[2] = {0, 0}, newest[2];
  uint32_t q[kQk / 16][4];
  Rows<kValue> rows;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int row = base + warp * 16 + g + 8 * r;
    newest[r] = row < count ? position + row : -1;
    const int64_t at = int64_t{first_row + row} * p.q.stride + int64_t{head} * kQk;
#pragma unroll
    for (int i = 0; i < kQk / 8; ++i) {
      const int c = i * 8 + t * 2;
      q[i / 2][i % 2 * 2 + r] = row < count ? pack_bf16(load_element(p.q.dtype, p.q.data, at + c),
                                                        load_element(p.q.dtype, p.q.data, at + c + 1))
                                            : 0u;
    }
    if (!p.first_part && row < count) {
      const float* state = p.state + (int64_t{row} * p.heads + head) * kStateWidth;
#pragma unroll
      for (int n = 0; n < kValue / 8; ++n) {
        rows.sums[n][2 * r] = state[n * 8 + t * 2];
        rows.sums[n][2 * r + 1] = state[n * 8 + t * 2 + 1];
      }
      rows.max[r] = state[kValue];
      rows.weight[r] = t == 0 ? state[kValue + 1] : 0.0f;
    }
  }
  for (int stage = 0; tile < end; ++tile, stage ^= 1) {
    copy_async_wait<0>();
    __syncthreads();
    if (tile + 1 < end) fetch(tile + 1, stage ^ 1);
    const __nv_bfloat16* keys = tiles + stage * kStageElements;
    attend<kQk, kValue, kTile>(q, keys, keys + kTile * kKeyPitch, tile * kTile, oldest, newest,
                               p.scale * kLog2E, rows);
  }
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    rows.weight[r] += __shfl_xor_sync(0xffffffffu, rows.weight[r], 1);
    rows.weight[r] += __shfl_xor_sync(0xffffffffu, rows.weight[r], 2);
    const int row = base + warp * 16 + g + 8 * r;
    if (row >= count) continue;
    float* state = p.state + (int64_t{row} * p.heads + head) * kStateWidth;
    const int64_t at = int64_t{first_row + row} * p.out.stride + int64_t{head} * kValue;
#pragma unroll
    for (int n = 0; n < kValue / 8; ++n) {
      const int c = n * 8 + t * 2;
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const float sum = rows.sums[n][2 * r + e];
        if (p.last_part) {
          store_element(p.out.dtype, p.out.data, at + c + e, sum / rows.weight[r]);
        } else {
          state[c + e] = sum;
        }
      }
    }
    if (!p.last_part && t == 0) {
      state[kValue] = rows.max[r];
      state[kValue + 1] = rows.weight[r];
    }
  }
}

}  // namespace

bool mla_prefill_takes(const MlaShape& s) {
  return s.nope == kNope && s.rope == kMlaRope && s.v == kValue && s.kv_lora == kMlaLatent;
}

cudaError_t launch_mla_gather(cudaStream_t stream, const MlaPrefill& p) {
  const dim3 grid(static_cast<unsigned>(p.last_key - p.first_key + 31) / 32,
                  static_cast<unsigned>(p.segments));
  return launch_kernel<gather_kernel>(stream, {grid, 256}, p);
}

cudaError_t launch_mla_prefill(cudaStream_t stream, const MlaPrefill& p) {
  static const cudaError_t kAllowed =
      cudaFuncSetAttribute(prefill_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kShared);
  if (kAllowed != cudaSuccess) return kAllowed;
  const dim3 grid(static_cast<unsigned>(p.longest_query + 63) / 64, static_cast<unsigned>(p.heads),
                  static_cast<unsigned>(p.segments));
  return launch_kernel<prefill_kernel>(stream, {grid, kThreads, kShared}, p);
}

}  // namespace hadal::cuda
