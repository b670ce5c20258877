// The CPU backend, every instruction set of this machine, against the oracle and against itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <ostream>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/testing/twin.h"

namespace hadal::testing {
namespace {

using ::testing::Each;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

constexpr const char* kIsas[] = {"portable", "avx2", "avx512", "avx512bf16"};

struct OpName {
  OpKind kind;
  const char* name;
  friend void PrintTo(const OpName& op, std::ostream* stream) { *stream << op.name; }
};
constexpr OpName kOps[] = {
    {OpKind::kEmbed, "embed"},
    {OpKind::kRmsNorm, "rms_norm"},
    {OpKind::kLinear, "linear"},
    {OpKind::kRope, "rope"},
    {OpKind::kSiluMul, "silu_mul"},
    {OpKind::kAdd, "add"},
    {OpKind::kConvert, "convert"},
    {OpKind::kGather, "gather"},
    {OpKind::kWriteKvMla, "write_kv_mla"},
    {OpKind::kWriteKvGqa, "write_kv_gqa"},
    {OpKind::kMlaAttention, "mla_attention"},
    {OpKind::kGqaAttention, "gqa_attention"},
    {OpKind::kRouteExperts, "route_experts"},
    {OpKind::kMoeExperts, "moe_experts"},
    {OpKind::kSample, "sample"},
    {OpKind::kCopyBlocks, "copy_blocks"},
};

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

class CpuTwin : public ::testing::TestWithParam<OpName> {};

TEST_P(CpuTwin, AgreesWithTheOracleOnOddSizes) {
  const TwinReport report = run_twins(cases_of(GetParam().kind, CaseSet::kOdd), targets());
  EXPECT_GT(report.cases, 0);
  EXPECT_THAT(report.failures, IsEmpty());
}

// The kernels meant for the published models run on their shapes, and not the oracle behind the backend's name.
TEST_P(CpuTwin, RunsItsOwnKernelsOnPublishedShapes) {
  const TwinReport report = run_twins(cases_of(GetParam().kind, CaseSet::kPublished), targets());
  EXPECT_THAT(report.failures, IsEmpty());
  EXPECT_THAT(report.kernels_used, Not(IsEmpty()));
  EXPECT_THAT(report.kernels_used, Each(Not(StartsWith("ref."))));
}

TEST_P(CpuTwin, GivesTheSameBitsInAnyBatchAndOnAnyThreads) {
  for (CaseSet set : {CaseSet::kOdd, CaseSet::kPublished}) {
    const Cases cases = cases_of(GetParam().kind, set);
    for (const TwinTarget& target : targets()) {
      EXPECT_THAT(run_invariance(cases, target).failures, IsEmpty()) << target.isa;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, CpuTwin, ::testing::ValuesIn(kOps),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(CpuIsas, PortableIsEverywhere) {
  ASSERT_FALSE(targets().empty());
  EXPECT_EQ(targets()[0].isa, "portable");
}

}  // namespace
}  // namespace hadal::testing
