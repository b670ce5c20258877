// Composites through their lowering on the CPU backend against the oracle's. A GPU backend runs the same
// cases in hadal_cuda_test.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "device/testing/composite_cases.h"
#include "device/testing/lowered_backend.h"
#include "kernels/api/op_names.h"
#include "kernels/ref/cache.h"

namespace hadal::testing {
namespace {

using ::testing::IsEmpty;

class Composites : public ::testing::TestWithParam<OpKind> {};

TEST_P(Composites, AgreeWithTheOraclesLowering) {
  for (CaseSet set : {CaseSet::kOdd, CaseSet::kPublished}) {
    const TwinReport report =
        run_twins(composite_cases_of(GetParam(), set), {{.api = lowered_cpu()}}, {.api = lowered_ref()});
    EXPECT_GT(report.cases, 0);
    EXPECT_THAT(report.failures, IsEmpty());
  }
}

TEST_P(Composites, GiveTheSameBitsInAnyBatchAndOnAnyThreads) {
  EXPECT_THAT(run_invariance(composite_cases_of(GetParam(), CaseSet::kOdd), {.api = lowered_cpu()}).failures,
              IsEmpty());
}

/// lowered_cpu() whose last row ends a little off: in `out`, or in the first value of its record.
int32_t run_wrongly(BackendDevice* device, BackendStream* stream, OpKind kind, const void* args,
                    BackendError* error) {
  const int32_t code = lowered_cpu()->run(device, stream, kind, args, error);
  const auto spoil_record = [](const CacheLayer& cache, int32_t slot) {
    void* record = ref::cache_record(cache, slot);
    const float value = ref::load(cache.dtype, record, 0);
    ref::store(cache.dtype, record, 0, value > 0 ? -1.0f : 1.0f);
  };
  const auto spoil_first = [](const Mat& out) { ref::set(out, 0, out.cols - 1, 20 + ref::get(out, 0, 0)); };
  switch (kind) {
    case OpKind::kMlaPrologue: {
      const auto& mla = *static_cast<const MlaPrologueArgs*>(args);
      spoil_record(mla.cache, mla.slots[mla.x.rows - 1]);
      break;
    }
    case OpKind::kGqaPrologue: {
      const auto& gqa = *static_cast<const GqaPrologueArgs*>(args);
      spoil_record(gqa.cache, gqa.slots[gqa.x.rows - 1]);
      break;
    }
    case OpKind::kMoeBlock:
      spoil_first(static_cast<const MoeBlockArgs*>(args)->out);
      break;
    default:
      spoil_first(static_cast<const MlpArgs*>(args)->out);
  }
  return code;
}

TEST_P(Composites, CasesCatchAWrongValue) {
  BackendApi wrong = *lowered_cpu();
  wrong.run = &run_wrongly;
  const TwinReport report =
      run_twins(composite_cases_of(GetParam(), CaseSet::kOdd), {{.api = &wrong}}, {.api = lowered_ref()});
  EXPECT_EQ(report.failures.size(), static_cast<size_t>(report.cases));
}

INSTANTIATE_TEST_SUITE_P(Ops, Composites,
                         ::testing::Values(OpKind::kMlaPrologue, OpKind::kGqaPrologue, OpKind::kMoeBlock,
                                           OpKind::kMlp),
                         [](const auto& one) { return std::string(op_name(one.param)); });

}  // namespace
}  // namespace hadal::testing
