// Attention in float32 arithmetic for every dtype, weight format and shape: one block of threads for a query
// row and head. For float32 compute and for shapes that the tensor-core kernels do not take.
//
// Rows of no segment and of padding segments get zeros. A row's sums run over its own keys in tiles of
// kAttentionTile absolute positions in rising order, so they depend on nothing else in the batch.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/kernels/attention_params.h"

namespace hadal::cuda {

struct GenericGqa {
  AttentionBatch batch;
  CacheLayer cache;
  Mat q, out;
  int32_t heads = 0, kv_heads = 0, head_dim = 0, window = 0;
  float scale = 0;
};
struct GenericMla {
  AttentionBatch batch;
  CacheLayer cache;
  Mat q, out;
  WeightRef kv_b;
  MlaShape shape;
  bool round_weights = false;  // quantised values to bfloat16
  float scale = 0;
  bool prompts_only = false;  // leaves rows of output segments alone
};

/// Shared memory that a block needs; a shape whose block needs more than the device has is not taken.
size_t generic_gqa_shared(int32_t head_dim);
size_t generic_mla_shared(const MlaShape& shape);

/// Rows [first_row, first_row + rows).
cudaError_t launch_generic_gqa(cudaStream_t stream, const GenericGqa& params, int32_t first_row,
                               int32_t rows);
cudaError_t launch_generic_mla(cudaStream_t stream, const GenericMla& params, int32_t first_row,
                               int32_t rows);

}  // namespace hadal::cuda
