// The case lists by family (twin.cc puts them together).
#pragma once

#include "kernels/testing/twin.h"

namespace hadal::testing {

Cases embed_cases(CaseSet set);
Cases rms_norm_cases(CaseSet set);
Cases rope_cases(CaseSet set);
Cases silu_mul_cases(CaseSet set);
Cases add_cases(CaseSet set);
Cases convert_cases(CaseSet set);
Cases gather_cases(CaseSet set);
Cases linear_cases(CaseSet set);
Cases write_kv_mla_cases(CaseSet set);
Cases write_kv_gqa_cases(CaseSet set);
Cases copy_blocks_cases(CaseSet set);
Cases take_tokens_cases(CaseSet set);
Cases mla_attention_cases(CaseSet set);
Cases gqa_attention_cases(CaseSet set);
Cases route_experts_cases(CaseSet set);
Cases moe_experts_cases(CaseSet set);
Cases sample_cases(CaseSet set);

/// Sizes around the widths of vectors and tiles.
inline constexpr int64_t kOddSizes[] = {1, 3, 17, 63, 64, 65, 577};

}  // namespace hadal::testing
