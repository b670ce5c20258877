// The ops of this backend: a function that checks a descriptor, picks a kernel and launches it; where it
// needs scratch, a function that says how much; where it does not take every descriptor, one that says which.
// Private to kernels/cuda.
//
// All pointers in descriptors are device memory (or memory the device can read); BatchMeta and GroupMeta
// themselves and the host mirrors in them are host memory. Nothing here waits for the device or allocates.
//
// Two families: `generic` kernels take every dtype, format and shape in float32 arithmetic without tensor
// cores (float32 compute, odd shapes); the fast ones take bfloat16 compute and the shapes that models have.
#pragma once

#include "kernels/cuda/cuda_device.h"

namespace hadal::cuda {

// linear.cc
Status linear(CudaDevice& device, cudaStream_t stream, const LinearArgs& args);
uint64_t linear_workspace(const CudaDevice& device, const LinearArgs& args);

// feed_forward_mlp.cc: an MLP; feed_forward_moe.cc: the routed experts, and a whole MoE block; route.cc
Status mlp(CudaDevice& device, cudaStream_t stream, const MlpArgs& args);
uint64_t mlp_workspace(const CudaDevice& device, const MlpArgs& args);
bool mlp_supports(const CudaDevice& device, const MlpArgs& args);
Status moe_experts(CudaDevice& device, cudaStream_t stream, const MoeExpertsArgs& args);
uint64_t moe_experts_workspace(const CudaDevice& device, const MoeExpertsArgs& args);
Status moe_block(CudaDevice& device, cudaStream_t stream, const MoeBlockArgs& args);
uint64_t moe_block_workspace(const CudaDevice& device, const MoeBlockArgs& args);
bool moe_block_supports(const CudaDevice& device, const MoeBlockArgs& args);
Status route_experts(CudaDevice& device, cudaStream_t stream, const RouteExpertsArgs& args);

// attention_mla.cc, attention_gqa.cc
Status mla_attention(CudaDevice& device, cudaStream_t stream, const MlaAttentionArgs& args);
uint64_t mla_attention_workspace(const CudaDevice& device, const MlaAttentionArgs& args);
Status gqa_attention(CudaDevice& device, cudaStream_t stream, const GqaAttentionArgs& args);
uint64_t gqa_attention_workspace(const CudaDevice& device, const GqaAttentionArgs& args);

// prologues.cc: projections that share an input as one product, then norm, rope and cache write in one kernel
Status mla_prologue(CudaDevice& device, cudaStream_t stream, const MlaPrologueArgs& args);
uint64_t mla_prologue_workspace(const CudaDevice& device, const MlaPrologueArgs& args);
bool mla_prologue_supports(const CudaDevice& device, const MlaPrologueArgs& args);
Status gqa_prologue(CudaDevice& device, cudaStream_t stream, const GqaPrologueArgs& args);
uint64_t gqa_prologue_workspace(const CudaDevice& device, const GqaPrologueArgs& args);
bool gqa_prologue_supports(const CudaDevice& device, const GqaPrologueArgs& args);

// cache_ops.cc
Status write_kv_mla(CudaDevice& device, cudaStream_t stream, const WriteKvMlaArgs& args);
Status write_kv_gqa(CudaDevice& device, cudaStream_t stream, const WriteKvGqaArgs& args);
Status copy_blocks(CudaDevice& device, cudaStream_t stream, const CopyBlocksArgs& args);

// row_ops.cc
Status embed(CudaDevice& device, cudaStream_t stream, const EmbedArgs& args);
Status rms_norm(CudaDevice& device, cudaStream_t stream, const RmsNormArgs& args);
Status rope(CudaDevice& device, cudaStream_t stream, const RopeArgs& args);
Status silu_mul(CudaDevice& device, cudaStream_t stream, const SiluMulArgs& args);
Status add(CudaDevice& device, cudaStream_t stream, const AddArgs& args);
Status convert(CudaDevice& device, cudaStream_t stream, const ConvertArgs& args);
Status gather(CudaDevice& device, cudaStream_t stream, const GatherArgs& args);
Status take_tokens(CudaDevice& device, cudaStream_t stream, const TakeTokensArgs& args);

// sample.cc
Status sample(CudaDevice& device, cudaStream_t stream, const SampleArgs& args);
uint64_t sample_workspace(const CudaDevice& device, const SampleArgs& args);

}  // namespace hadal::cuda
