// Absorbed latent attention on the tensor cores: a query row's 16 heads are the 16 rows of a product, so each
// latent is read once for all of them.
//   absorb   latent query = q_nope times the head's key rows of kv_b, then q_rope; bfloat16
//   attend   scores, online softmax and weighted latents over one split of the row's keys; float32 partials
//   output   merges the splits in order and applies the head's value rows of kv_b
// Works on output rows [first_row, first_row + rows) with scratch of that many rows.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/kernels/attention_params.h"

namespace hadal::cuda {

inline constexpr int32_t kMlaWidth = 576;  // of a record: latent 512, rotary key 64
inline constexpr int32_t kMlaLatent = 512;
inline constexpr int32_t kMlaRope = 64;
inline constexpr int32_t kMaxMlaSplits = 256;

/// Tiles of keys that a split of a row takes; what attends and what merges agree on it.
constexpr int32_t mla_tiles_of_split(int32_t all, int32_t splits) {
  const int32_t share = (all + splits - 1) / splits;
  return share > 1 ? share : 1;
}

struct MlaDecode {
  AttentionBatch batch;
  CacheLayer cache;
  Mat q, out;
  MlaShape shape;
  float scale = 0;
  const void* kv_b = nullptr;   // BF16 [heads * (nope + v), 512]
  bool kv_b_is_weight = false;  // as prepared; else launch_decode_weight writes it in the same stream
  int32_t first_row = 0, rows = 0;
  int32_t splits = 1;
  void* queries = nullptr;  // BF16 [rows, heads, 576]
  float* sums = nullptr;    // [rows, heads, splits, 512]
  float* states = nullptr;  // [rows, heads, splits, 2]: maximum, weight
};

/// Latents of 512 and rotary keys of 64, heads a multiple of 8, caches of bfloat16 or fp8 (rotary keys
/// bfloat16) whose records are 16-byte aligned; nope and v a multiple of 16.
bool mla_decode_takes(const CacheLayer& cache, const MlaShape& shape);
/// Shared memory of the attend kernel with one stage; with two it is faster.
size_t mla_decode_shared(int32_t stages);

/// In place of a number of stages: attention_mla_hopper.h attends.
inline constexpr int32_t kMlaHopper = 0;
cudaError_t launch_mla_decode(cudaStream_t stream, const MlaDecode& params, int32_t stages);
/// The last of its three kernels (attention_mla_output.cu).
cudaError_t launch_mla_output(cudaStream_t stream, const MlaDecode& params);

/// kv_b of any format as BF16 [rows, cols].
cudaError_t launch_decode_weight(cudaStream_t stream, const WeightRef& weight, void* out);

}  // namespace hadal::cuda
