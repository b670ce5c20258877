// Prompt segments of latent attention in pieces of bounded size (kernels/attention_mla_prefill.h). Private to
// kernels/cuda.
#pragma once

#include "kernels/cuda/ops.h"

namespace hadal::cuda {

/// For calls that the tensor-core decode takes: may the prompt segments run here too? Needs the host mirrors.
bool mla_prefill_supports(const MlaAttentionArgs& args);
uint64_t mla_prefill_workspace(const CudaDevice& device, const MlaAttentionArgs& args);
Status mla_prefill(CudaDevice& device, cudaStream_t stream, const MlaAttentionArgs& args);

}  // namespace hadal::cuda
