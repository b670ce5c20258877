// Cases of the composite ops for the twin harness (kernels/testing/twin.h), to be run against the lowering on
// the oracle (lowered_backend.h). What a composite leaves behind is compared, its scratch is not.
#pragma once

#include "kernels/testing/twin.h"

namespace hadal::testing {

/// Of kMlaPrologue, kGqaPrologue, kMoeBlock or kMlp.
Cases composite_cases_of(OpKind kind, CaseSet set);

// by family
Cases mla_prologue_cases(CaseSet set);
Cases gqa_prologue_cases(CaseSet set);
Cases moe_block_cases(CaseSet set);
Cases mlp_cases(CaseSet set);

}  // namespace hadal::testing
