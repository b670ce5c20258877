// The GPU backend's composites (its own, or lowered to its ops) against the lowering on the oracle, and
// against themselves: part of hadal_cuda_test.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "device/testing/composite_cases.h"
#include "device/testing/lowered_backend.h"
#include "kernels/api/op_names.h"

namespace hadal::testing {
namespace {

using ::testing::IsEmpty;

class CudaComposites : public ::testing::TestWithParam<OpKind> {
 protected:
  void expect_agreement(CaseSet set) {
    const int threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
    const TwinReport report =
        run_twins(composite_cases_of(GetParam(), set), {{.api = lowered_cuda(), .tensor_cores = true}},
                  {.api = lowered_ref(), .threads = threads});
    EXPECT_GT(report.cases, 0);
    EXPECT_THAT(report.failures, IsEmpty());
  }
  void expect_same_bits(CaseSet set) {
    const TwinReport report =
        run_invariance(composite_cases_of(GetParam(), set),
                       {.api = lowered_cuda(), .tensor_cores = true, .batch_invariant = true});
    EXPECT_GT(report.cases, 0);
    EXPECT_THAT(report.failures, IsEmpty());
  }
};

TEST_P(CudaComposites, AgreeWithTheOraclesLoweringOnOddSizes) { expect_agreement(CaseSet::kOdd); }
TEST_P(CudaComposites, AgreeWithTheOraclesLoweringOnPublishedShapes) {
  expect_agreement(CaseSet::kPublished);
}

TEST_P(CudaComposites, RunFastKernelsOnPublishedShapes) {
  Cases cases = composite_cases_of(GetParam(), CaseSet::kPublished);
  std::erase_if(cases, [](const auto& one) { return one->name().find("] BF16,") == std::string::npos; });
  ASSERT_FALSE(cases.empty());
  auto backend = TestBackend::open(lowered_cuda());
  ASSERT_TRUE(backend.ok()) << message_of(backend.status());
  for (const auto& one : cases) {
    const auto outputs = one->run(**backend, {0, one->rows()});
    EXPECT_TRUE(outputs.ok()) << one->name() << ": " << message_of(outputs.status());
  }
  // a router in float32 keeps its exact weights, which tensor cores cannot
  for (const std::string& kernel : (*backend)->kernels_used()) {
    const bool router = GetParam() == OpKind::kMoeBlock && kernel == "cuda.linear.generic.rows";
    EXPECT_TRUE(router || kernel.find("generic") == std::string::npos) << kernel;
  }
}

TEST_P(CudaComposites, BatchInvariantGivesTheSameBitsInAnyBatch) {
  expect_same_bits(CaseSet::kOdd);
  expect_same_bits(CaseSet::kPublished);
}

INSTANTIATE_TEST_SUITE_P(Ops, CudaComposites,
                         ::testing::Values(OpKind::kMlaPrologue, OpKind::kGqaPrologue, OpKind::kMoeBlock,
                                           OpKind::kMlp),
                         [](const auto& one) { return std::string(op_name(one.param)); });

}  // namespace
}  // namespace hadal::testing
