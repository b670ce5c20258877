// The CPU backend, every instruction set of this machine, against the oracle and against itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>

#include "kernels/api/op_names.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/testing/twin.h"

namespace hadal::testing {
namespace {

using ::testing::Each;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

constexpr const char* kIsas[] = {"portable", "avx2", "avx512", "avx512bf16"};

std::vector<OpKind> primitive_ops() {
  std::vector<OpKind> kinds;
  for (int32_t kind = 0; kind < static_cast<int32_t>(OpKind::kCount); ++kind) {
    if (!is_composite(static_cast<OpKind>(kind))) kinds.push_back(static_cast<OpKind>(kind));
  }
  return kinds;
}

/// Those of kIsas that open here; the others are named, once.
const std::vector<TwinTarget>& targets() {
  static const std::vector<TwinTarget> kTargets = [] {
    std::vector<TwinTarget> found;
    for (const char* isa : kIsas) {
      auto backend = TestBackend::open(cpu_backend(), isa);
      if (backend.ok()) {
        found.push_back({cpu_backend(), isa});
      } else {
        std::printf("not on this machine: %s\n", std::string(message_of(backend.status())).c_str());
      }
    }
    return found;
  }();
  return kTargets;
}

class CpuTwin : public ::testing::TestWithParam<OpKind> {};

TEST_P(CpuTwin, AgreesWithTheOracleOnOddSizes) {
  const TwinReport report = run_twins(cases_of(GetParam(), CaseSet::kOdd), targets());
  EXPECT_GT(report.cases, 0);
  EXPECT_THAT(report.failures, IsEmpty());
}

// The kernels meant for the published models run on their shapes, and not the oracle behind the backend's
// name.
TEST_P(CpuTwin, RunsItsOwnKernelsOnPublishedShapes) {
  const TwinReport report = run_twins(cases_of(GetParam(), CaseSet::kPublished), targets());
  EXPECT_THAT(report.failures, IsEmpty());
  EXPECT_THAT(report.kernels_used, Not(IsEmpty()));
  EXPECT_THAT(report.kernels_used, Each(Not(StartsWith("ref."))));
}

TEST_P(CpuTwin, GivesTheSameBitsInAnyBatchAndOnAnyThreads) {
  for (CaseSet set : {CaseSet::kOdd, CaseSet::kPublished}) {
    const Cases cases = cases_of(GetParam(), set);
    for (const TwinTarget& target : targets()) {
      EXPECT_THAT(run_invariance(cases, target).failures, IsEmpty()) << target.isa;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, CpuTwin, ::testing::ValuesIn(primitive_ops()),
                         [](const auto& info) { return std::string(op_name(info.param)); });

TEST(CpuIsas, PortableIsEverywhere) {
  ASSERT_FALSE(targets().empty());
  EXPECT_EQ(targets()[0].isa, "portable");
}

}  // namespace
}  // namespace hadal::testing
