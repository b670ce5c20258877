// Flash attention on the tensor cores (mma.sync) over a paged cache of keys and values. bfloat16 products,
// float32 sums; fp8 caches are converted exactly to bfloat16 and their scales applied in float32.
//
// Rows of the products are (query token, head of the KV head's group), so a group shares every key it reads.
//   decode   16 rows a block; the four warps take 16 of a tile's 64 keys each and are merged at the end; the
//   keys
//            of a sequence may be split over blocks, whose partial results a second kernel merges in order
//   prefill  64 rows a block, 16 a warp
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/kernels/attention_params.h"

namespace hadal::cuda {

inline constexpr int32_t kMaxGqaSplits = 512;

struct FlashGqa {
  AttentionBatch batch;
  CacheLayer cache;
  Mat q, out;
  int32_t heads = 0, kv_heads = 0, head_dim = 0, window = 0;
  float scale = 0;
  int32_t first_segment = 0, segments = 0;  // of this launch
  int32_t row_tiles = 0;                    // of 16 (decode) or 64 (prefill) rows in the longest segment
  int32_t splits = 1;                       // kMaxGqaSplits at most
  float* partial = nullptr;  // splits > 1: [out rows, heads, splits][head_dim + 2]: sums, maximum, weight
  int32_t partial_rows = 0;
  int32_t stages = 2;  // decode: tiles of keys and values in shared memory, 2 or 3; the same in every launch
};

/// Head sizes that are a multiple of 16 up to 256, caches of bfloat16 and fp8 whose records are 16-byte
/// aligned.
bool flash_gqa_takes(const CacheLayer& cache, int32_t head_dim);

/// Shared memory of one stage.
size_t flash_gqa_stage_bytes(int32_t head_dim);

cudaError_t launch_flash_gqa_decode(cudaStream_t stream, const FlashGqa& params);
/// Its second kernel, where there are splits (attention_flash_merge.cu).
cudaError_t launch_flash_gqa_merge(cudaStream_t stream, const FlashGqa& params);
cudaError_t launch_flash_gqa_prefill(cudaStream_t stream, const FlashGqa& params);

}  // namespace hadal::cuda
