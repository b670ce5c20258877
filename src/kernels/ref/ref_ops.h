// The oracle's kernels, one function per op of kernels/api/ops.h: plain loops over one thread, sums in
// double, with the rounding points that ops.h names and no others. What is fast is checked against what is
// plain.
//
// A function checks the descriptor's shapes and dtypes (an error names what is wrong) but not pointers, ids
// or slots.
// `*_workspace` gives the bytes that the op cuts from its workspace; it reads shapes only.
#pragma once

#include <cstdint>

#include "base/status.h"
#include "kernels/api/ops.h"

namespace hadal::ref {

Status embed(const EmbedArgs& args);
Status gather(const GatherArgs& args);
Status convert(const ConvertArgs& args);
Status add(const AddArgs& args);
Status silu_mul(const SiluMulArgs& args);
Status rms_norm(const RmsNormArgs& args);
Status rope(const RopeArgs& args);

Status linear(const LinearArgs& args);
uint64_t linear_workspace(const LinearArgs& args);

Status write_kv_mla(const WriteKvMlaArgs& args);
Status write_kv_gqa(const WriteKvGqaArgs& args);
Status copy_blocks(const CopyBlocksArgs& args);
Status take_tokens(const TakeTokensArgs& args);

Status mla_attention(const MlaAttentionArgs& args);
uint64_t mla_attention_workspace(const MlaAttentionArgs& args);
Status gqa_attention(const GqaAttentionArgs& args);
uint64_t gqa_attention_workspace(const GqaAttentionArgs& args);

Status route_experts(const RouteExpertsArgs& args);
Status moe_experts(const MoeExpertsArgs& args);
uint64_t moe_experts_workspace(const MoeExpertsArgs& args);

Status sample(const SampleArgs& args);
uint64_t sample_workspace(const SampleArgs& args);

}  // namespace hadal::ref
