#include "kernels/cuda/kernels/attention_common.cuh"
#include "kernels/cuda/kernels/attention_flash.h"
#include "kernels/cuda/kernels/attention_flash_keys.cuh"
#include "kernels/cuda/kernels/attention_fp8.cuh"
#include "kernels/cuda/kernels/attention_prefetch.cuh"
#include "kernels/cuda/kernels/attention_tile.cuh"
#include "kernels/cuda/kernels/launch.cuh"
#include "kernels/cuda/kernels/ptx.cuh"

namespace hadal::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kTile = kAttentionTile;
constexpr float kLog2E = 1.4426950408889634f;

/// Keys and values of one tile lie in shared memory as [64][kDim + 8]: rows 16 (mod 128) bytes apart, so that
/// the eight rows of a matrix load fall into different banks.
template <int kDim>
struct Tiles {
  static constexpr int kPitch = kDim + 8;
  static constexpr int kElements = kTile * kPitch;
  static constexpr size_t kBytes = size_t{4} * kElements * sizeof(__nv_bfloat16);  // 2 stages of K and V
};

/// Brings the keys [tile, tile + 64) in; those outside [first, last) are zeros and not read, nor are columns
/// behind head_dim. Eight threads a key.
template <int kDim>
__device__ void load_tile(const FlashGqa& p, const int32_t* table, int kv_head, int tile, int first, int last,
                          __nv_bfloat16* keys, __nv_bfloat16* values) {
  constexpr int kPitch = Tiles<kDim>::kPitch;
  const bool wide = p.cache.dtype == DType::kBF16, e4m3 = p.cache.dtype == DType::kF8E4M3;
  const int bytes = wide ? 2 : 1;
  const int64_t key_at = int64_t{kv_head} * p.head_dim * bytes;
  const int64_t value_at = key_at + int64_t{p.kv_heads} * p.head_dim * bytes;
#pragma unroll
  for (int i = 0; i < kTile / (kThreads / 8); ++i) {
    const int j = i * (kThreads / 8) + threadIdx.x / 8, position = tile + j;
    const bool there = position >= first && position < last;
    const char* record = there ? record_of(p.cache, table, position) : static_cast<const char*>(p.cache.base);
#pragma unroll
    for (int c = threadIdx.x % 8 * 8; c < kDim; c += 64) {
      const bool valid = there && c < p.head_dim;
      const int64_t at = valid ? int64_t{c} * bytes : 0;
      __nv_bfloat16* k = keys + j * kPitch + c;
      __nv_bfloat16* v = values + j * kPitch + c;
      if (wide) {
        copy_async16(k, record + key_at + at, valid);
        copy_async16(v, record + value_at + at, valid);
      } else {
        uint4 key{}, value{};
        if (valid) {
          key = widen_fp8(*reinterpret_cast<const uint2*>(record + key_at + at), e4m3);
          value = widen_fp8(*reinterpret_cast<const uint2*>(record + value_at + at), e4m3);
        }
        *reinterpret_cast<uint4*>(k) = key;
        *reinterpret_cast<uint4*>(v) = value;
      }
    }
  }
}

/// The keys and values [first, last) of this KV head into L2; two threads a key.
__device__ void prefetch_keys(const FlashGqa& p, const int32_t* table, int kv_head, int first, int last) {
  const int bytes = p.head_dim * element_bytes(p.cache.dtype), half = static_cast<int>(threadIdx.x) % 2;
  const int64_t at = (int64_t{half} * p.kv_heads + kv_head) * bytes;
  for (int position = first + static_cast<int>(threadIdx.x) / 2; position < last; position += kThreads / 2) {
    const char* from = record_of(p.cache, table, position) + at;
    for (int piece = 0; piece < bytes; piece += kPrefetchPiece) prefetch_piece(from + piece);
  }
}

/// Zeros in this KV head's columns of out's rows [first, last).
__device__ void clear_rows(const FlashGqa& p, int kv_head, int64_t first, int64_t last, int step) {
  const int width = p.heads / p.kv_heads * p.head_dim;
  for (int64_t row = first; row < last; row += step) {
    for (int c = threadIdx.x; c < width; c += kThreads)
      store_element(p.out.dtype, p.out.data, row * p.out.stride + int64_t{kv_head} * width + c, 0.0f);
  }
}

// (128, 2): 64 sums, 32 scores and 32 query registers a lane at a head of 128.
template <int kDim, bool kDecode>
__global__ void __launch_bounds__(kThreads, kDim > 128 ? 1 : 2) flash_kernel(const FlashGqa p) {
  extern __shared__ __align__(16) unsigned char shared[];
  constexpr int kElements = Tiles<kDim>::kElements;
  constexpr int kRows = kDecode ? 16 : 64;
  auto* tiles = reinterpret_cast<__nv_bfloat16*>(shared);  // stage s: keys at 2 s, values at 2 s + 1
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
  const int split = kDecode ? static_cast<int>(blockIdx.x) % p.splits : 0;
  // long rows of blocks first: the last tiles of a prompt see the most keys
  const int row_tile =
      kDecode ? static_cast<int>(blockIdx.x) / p.splits : p.row_tiles - 1 - static_cast<int>(blockIdx.x);
  const int kv_head = blockIdx.y, segment = p.first_segment + static_cast<int>(blockIdx.z);
  const int group = p.heads / p.kv_heads;
  const int first_row = p.batch.query_start[segment];
  const int tokens = p.batch.query_start[segment + 1] - first_row, context = p.batch.context_len[segment];
  const int count = tokens * group, base = row_tile * kRows;
  const bool sees_keys = context > 0 && base < count;

  // the keys that any row of the block sees, then this split's share of their tiles
  const KeyRange keys_seen = keys_of(p, context, tokens, base, kRows);
  const int first = keys_seen.first, last = keys_seen.last;
  int tile = keys_seen.tile, end = keys_seen.end;
  if (kDecode && p.splits > 1) {
    const int share = tiles_of_split(keys_seen, p.splits);
    tile += split * share;
    end = min(end, tile + share);
  }
  const int32_t* table = p.batch.block_table + int64_t{segment} * p.batch.table_stride;
  if constexpr (kDecode) {
    constexpr int kTilesAhead = 2;
    if (sees_keys)
      prefetch_keys(p, table, kv_head, max(first, tile * kTile),
                    min(last, min(end, tile + kTilesAhead) * kTile));
    let_next_start();
  }
  wait_for_previous();
  if (blockIdx.x == 0) {  // rows of no segment
    clear_rows(p, kv_head, int64_t{p.batch.query_start[p.batch.num_segments]} + blockIdx.z, p.out.rows,
               gridDim.z);
    if (context <= 0) clear_rows(p, kv_head, first_row, first_row + tokens, 1);
  }
  if (!sees_keys || tile >= end) return;  // what merges knows how many splits have keys
  const auto fetch = [&](int index, int stage) {
    load_tile<kDim>(p, table, kv_head, index * kTile, first, last, tiles + 2 * stage * kElements,
                    tiles + (2 * stage + 1) * kElements);
    copy_async_commit();
  };
  // decode waits for memory alone: it keeps more tiles under way
  const int ahead = kDecode ? p.stages - 1 : 1;
  for (int i = 0; i < ahead; ++i) {
    if (tile + i < end) {
      fetch(tile + i, i);
    } else {
      copy_async_commit();
    }
  }

  int oldest[2], newest[2];
  uint32_t q[kDim / 16][4];
  const int warp_row = base + (kDecode ? 0 : warp * 16);
  with_pairs(p.q, [&](const auto& load_pair) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int row = warp_row + g + 8 * r;
      newest[r] = row < count ? context - tokens + row / group : -1;  // a row too many sees nothing
      oldest[r] = p.window > 0 ? newest[r] - p.window + 1 : 0;
      const int64_t at =
          (first_row + row / group) * p.q.stride + (kv_head * group + row % group) * p.head_dim;
#pragma unroll
      for (int k = 0; k < kDim / 16; ++k) {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          const int c = k * 16 + h * 8 + t * 2;
          q[k][h * 2 + r] = row < count && c < p.head_dim ? load_pair(at + c) : 0;
        }
      }
    }
  });
  const bool fp8 = is_fp8(p.cache.dtype);
  const float scale = p.scale * kLog2E * (fp8 ? p.cache.k_scale : 1.0f);
  const float v_scale = fp8 ? p.cache.v_scale : 1.0f;
  Rows<kDim> rows;
  for (int stage = 0; tile < end; ++tile) {
    if (kDecode && ahead == 2) {
      copy_async_wait<1>();
    } else {
      copy_async_wait<0>();
    }
    __syncthreads();  // the tile is there for all, and nobody reads the stage before it any more
    const int free_stage = stage == 0 ? ahead : stage - 1;
    if (tile + ahead < end) {
      fetch(tile + ahead, free_stage);
    } else {
      copy_async_commit();
    }
    const __nv_bfloat16* keys = tiles + 2 * stage * kElements;
    const __nv_bfloat16* values = keys + kElements;
    if constexpr (kDecode) {
      constexpr int kSkip = 16 * Tiles<kDim>::kPitch;
      attend<kDim, kDim, 16>(q, keys + warp * kSkip, values + warp * kSkip, tile * kTile + warp * 16, oldest,
                             newest, scale, rows);
    } else {
      attend<kDim, kDim, kTile>(q, keys, values, tile * kTile, oldest, newest, scale, rows);
    }
    stage = stage == ahead ? 0 : stage + 1;
  }
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    rows.weight[r] += __shfl_xor_sync(0xffffffffu, rows.weight[r], 1);
    rows.weight[r] += __shfl_xor_sync(0xffffffffu, rows.weight[r], 2);
  }
  const auto out_at = [&](int row) {
    return (first_row + row / group) * p.out.stride + (kv_head * group + row % group) * p.head_dim;
  };
  if constexpr (!kDecode) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int row = warp_row + g + 8 * r;
      if (row >= count) continue;
      const float factor = v_scale / rows.weight[r];
#pragma unroll
      for (int n = 0; n < kDim / 8; ++n) {
        const int c = n * 8 + t * 2;
        if (c >= p.head_dim) continue;
        store_element(p.out.dtype, p.out.data, out_at(row) + c, rows.sums[n][2 * r] * factor);
        store_element(p.out.dtype, p.out.data, out_at(row) + c + 1, rows.sums[n][2 * r + 1] * factor);
      }
    }
  } else {
    __syncthreads();                                // the tiles are done with; no copy is under way
    auto* sums = reinterpret_cast<float*>(shared);  // [4 warps][16][kDim]
    float* states = sums + 4 * 16 * kDim;           // [4 warps][16][2]
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int row = warp * 16 + g + 8 * r;
#pragma unroll
      for (int n = 0; n < kDim / 8; ++n) {
        sums[row * kDim + n * 8 + t * 2] = rows.sums[n][2 * r];
        sums[row * kDim + n * 8 + t * 2 + 1] = rows.sums[n][2 * r + 1];
      }
      if (t == 0) {
        states[row * 2] = rows.max[r];
        states[row * 2 + 1] = rows.weight[r];
      }
    }
    __syncthreads();
    for (int i = threadIdx.x; i < 16 * p.head_dim; i += kThreads) {
      const int r = i / p.head_dim, c = i % p.head_dim, row = base + r;
      if (row >= count) break;
      float top = -INFINITY, sum = 0, weight = 0;
      for (int w = 0; w < 4; ++w) top = fmaxf(top, states[(w * 16 + r) * 2]);
      const float zero = top == -INFINITY ? 0.0f : top;
      for (int w = 0; w < 4; ++w) {
        const float factor = exp2f(states[(w * 16 + r) * 2] - zero);
        sum += sums[(w * 16 + r) * kDim + c] * factor;
        weight += states[(w * 16 + r) * 2 + 1] * factor;
      }
      if (p.splits == 1) {
        store_element(p.out.dtype, p.out.data, out_at(row) + c, sum / weight * v_scale);
        continue;
      }
      const int64_t query = int64_t{first_row + row / group} * p.heads + kv_head * group + row % group;
      float* partial = p.partial + (query * p.splits + split) * (p.head_dim + 2);
      partial[c] = sum * v_scale;
      if (c == 0) {
        partial[p.head_dim] = top;
        partial[p.head_dim + 1] = weight;
      }
    }
  }
}

template <int kDim, bool kDecode>
cudaError_t launch(cudaStream_t stream, const FlashGqa& p) {
  const size_t bytes =
      kDecode ? Tiles<kDim>::kBytes / 2 * static_cast<size_t>(p.stages) : Tiles<kDim>::kBytes;
  static const cudaError_t kAllowed = cudaFuncSetAttribute(
      flash_kernel<kDim, kDecode>, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
  if (kAllowed != cudaSuccess) return kAllowed;
  const dim3 grid(static_cast<unsigned>(p.row_tiles * p.splits), static_cast<unsigned>(p.kv_heads),
                  static_cast<unsigned>(p.segments));
  return launch_kernel<flash_kernel<kDim, kDecode>>(stream, {grid, kThreads, bytes}, p);
}

template <bool kDecode>
cudaError_t launch_dim(cudaStream_t stream, const FlashGqa& p) {
  if (p.segments == 0) return cudaSuccess;
  if (p.head_dim <= 64) return launch<64, kDecode>(stream, p);
  if (p.head_dim <= 128) return launch<128, kDecode>(stream, p);
  return launch<256, kDecode>(stream, p);
}

}  // namespace

bool flash_gqa_takes(const CacheLayer& cache, int32_t head_dim) {
  const bool dtype =
      cache.dtype == DType::kBF16 || cache.dtype == DType::kF8E4M3 || cache.dtype == DType::kF8E5M2;
  const auto bits = reinterpret_cast<uintptr_t>(cache.base) | static_cast<uintptr_t>(cache.block_stride) |
                    static_cast<uintptr_t>(cache.token_bytes);
  return dtype && head_dim > 0 && head_dim % 16 == 0 && head_dim <= 256 && bits % 16 == 0;
}

size_t flash_gqa_stage_bytes(int32_t head_dim) {
  return (head_dim <= 64 ? Tiles<64>::kBytes : head_dim <= 128 ? Tiles<128>::kBytes : Tiles<256>::kBytes) / 2;
}

cudaError_t launch_flash_gqa_decode(cudaStream_t stream, const FlashGqa& p) {
  const cudaError_t error = launch_dim<true>(stream, p);
  if (error != cudaSuccess || p.splits == 1 || p.segments == 0) return error;
  return launch_flash_gqa_merge(stream, p);
}

cudaError_t launch_flash_gqa_prefill(cudaStream_t stream, const FlashGqa& p) {
  return launch_dim<false>(stream, p);
}

}  // namespace hadal::cuda
