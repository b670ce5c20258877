// The middle kernel of absorbed latent attention (attention_mla_decode.h: attend) on Hopper's own
// instructions, for caches in bfloat16. Private to kernels/cuda.
#pragma once

#include "kernels/cuda/kernels/attention_mla_decode.h"

namespace hadal::cuda {

/// bfloat16 records on 16 bytes in blocks whose size divides 64 or is a multiple of it.
bool mla_hopper_takes(const CacheLayer& cache);
int32_t mla_hopper_shared_bytes();

cudaError_t launch_mla_attend_hopper(cudaStream_t stream, const MlaDecode& params);

}  // namespace hadal::cuda
