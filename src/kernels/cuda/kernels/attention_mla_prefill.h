// Expanded latent attention on the tensor cores, a piece of context at a time: gather the latents, expand
// them by kv_b (a linear, the caller's), attend. A piece is some whole segments, or a part of one segment
// whose context is longer than a piece; then the softmax is carried from part to part in `state`.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/kernels/attention_params.h"

namespace hadal::cuda {

struct MlaPrefill {
  AttentionBatch batch;
  CacheLayer cache;
  Mat q, out;
  int32_t heads = 0;
  float scale = 0;
  int32_t first_segment = 0,
          segments = 0;   // of the piece, their contexts one behind the other in the buffers
  int32_t first_key = 0;  // of the (single) segment's context; 0 for whole segments
  int32_t last_key = 0;   // exclusive, likewise; whole segments: the longest context
  int32_t longest_query = 0;
  bool first_part = true, last_part = true;
  void* latents = nullptr;         // BF16 [tokens][576]
  const void* expanded = nullptr;  // BF16 [tokens][heads][256]: key 128, value 128
  float* state = nullptr;          // [query][heads][130]: sums, maximum, weight
};

/// Heads of 128 + 64 and values of 128 over latents of 512; caches as mla_decode_takes.
bool mla_prefill_takes(const MlaShape& shape);

cudaError_t launch_mla_gather(cudaStream_t stream, const MlaPrefill& params);
cudaError_t launch_mla_prefill(cudaStream_t stream, const MlaPrefill& params);

}  // namespace hadal::cuda
