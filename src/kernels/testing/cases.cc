#include "kernels/testing/case_lists.h"

namespace hadal::testing {

Cases cases_of(OpKind kind, CaseSet set) {
  switch (kind) {
    case OpKind::kEmbed:
      return embed_cases(set);
    case OpKind::kRmsNorm:
      return rms_norm_cases(set);
    case OpKind::kLinear:
      return linear_cases(set);
    case OpKind::kRope:
      return rope_cases(set);
    case OpKind::kSiluMul:
      return silu_mul_cases(set);
    case OpKind::kAdd:
      return add_cases(set);
    case OpKind::kConvert:
      return convert_cases(set);
    case OpKind::kGather:
      return gather_cases(set);
    case OpKind::kWriteKvMla:
      return write_kv_mla_cases(set);
    case OpKind::kWriteKvGqa:
      return write_kv_gqa_cases(set);
    case OpKind::kMlaAttention:
      return mla_attention_cases(set);
    case OpKind::kGqaAttention:
      return gqa_attention_cases(set);
    case OpKind::kRouteExperts:
      return route_experts_cases(set);
    case OpKind::kMoeExperts:
      return moe_experts_cases(set);
    case OpKind::kSample:
      return sample_cases(set);
    case OpKind::kCopyBlocks:
      return copy_blocks_cases(set);
    case OpKind::kTakeTokens:
      return take_tokens_cases(set);
    default:
      return {};  // composites
  }
}

}  // namespace hadal::testing
