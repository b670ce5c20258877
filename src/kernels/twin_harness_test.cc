// The twin harness itself: the oracle is its own twin, and a backend with a planted error is caught.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "kernels/ref/elements.h"
#include "kernels/ref/ref_backend.h"
#include "kernels/testing/pinned_pool.h"
#include "kernels/testing/twin.h"

namespace hadal::testing {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const BackendApi* oracle = ref_backend();

/// ref with `run` replaced; its name and everything else stay.
BackendApi planted(decltype(BackendApi::run) run) {
  BackendApi api = *oracle;
  api.run = run;
  return api;
}

TwinReport twins_of(OpKind kind, const BackendApi& api) {
  return run_twins(cases_of(kind, CaseSet::kOdd), {{&api, ""}});
}

TEST(TwinHarness, OracleKeepsBitsInPartsOfABatch) {
  for (OpKind kind :
       {OpKind::kRmsNorm, OpKind::kGqaAttention, OpKind::kMlaAttention, OpKind::kRouteExperts}) {
    Cases cases = cases_of(kind, CaseSet::kOdd);
    cases.resize(2);
    EXPECT_THAT(run_invariance(cases, {oracle, ""}).failures, IsEmpty());
  }
}

TEST(TwinHarness, CatchesASmallErrorOfALinear) {
  const BackendApi api = planted(
      [](BackendDevice* device, BackendStream* stream, OpKind kind, const void* args, BackendError* error) {
        const int32_t code = oracle->run(device, stream, kind, args, error);
        const Mat& out = static_cast<const LinearArgs*>(args)->out;
        const float last = ref::get(out, out.rows - 1, out.cols - 1);
        ref::set(out, out.rows - 1, out.cols - 1, last + 0.02f * std::abs(last) + 0.02f);
        return code;
      });
  const TwinReport report = twins_of(OpKind::kLinear, api);
  EXPECT_EQ(report.failures.size(), static_cast<size_t>(report.cases));
}

TEST(TwinHarness, CatchesTruncationInsteadOfRounding) {
  const BackendApi api = planted(
      [](BackendDevice* device, BackendStream* stream, OpKind kind, const void* args, BackendError* error) {
        AddArgs add = *static_cast<const AddArgs*>(args);
        if (add.out.dtype != DType::kBF16) return oracle->run(device, stream, kind, args, error);
        for (int64_t r = 0; r < add.out.rows; ++r) {
          for (int64_t c = 0; c < add.out.cols; ++c) {
            const auto bits = std::bit_cast<uint32_t>(ref::get(add.a, r, c) + ref::get(add.b, r, c));
            ref::set(add.out, r, c, std::bit_cast<float>(bits & 0xFFFF0000u));
          }
        }
        return 0;
      });
  EXPECT_THAT(twins_of(OpKind::kAdd, api).failures, Contains(HasSubstr("are rounded otherwise")));
}

TEST(TwinHarness, CatchesAWriteBesideTheRows) {
  const BackendApi api = planted(
      [](BackendDevice* device, BackendStream* stream, OpKind kind, const void* args, BackendError* error) {
        const int32_t code = oracle->run(device, stream, kind, args, error);
        Mat out = static_cast<const AddArgs*>(args)->out;
        ref::set(out, 0, out.cols, 1.0f);
        return code;
      });
  EXPECT_THAT(twins_of(OpKind::kAdd, api).failures[0], HasSubstr("wrote outside its rows"));
}

TEST(TwinHarness, CatchesAWorkspaceOverrun) {
  const BackendApi api = planted(
      [](BackendDevice* device, BackendStream* stream, OpKind kind, const void* args, BackendError* error) {
        const Workspace& workspace = static_cast<const LinearArgs*>(args)->workspace;
        static_cast<char*>(workspace.data)[workspace.bytes] = 0;
        return oracle->run(device, stream, kind, args, error);
      });
  EXPECT_THAT(twins_of(OpKind::kLinear, api).failures[0], HasSubstr("beyond its workspace"));
}

/// ref as a backend with memory of its own, which counts what goes there.
int g_to_device = 0;
int g_finished = 0;
int g_batch_invariant = 0;
BackendApi with_device_memory() {
  BackendApi api = *oracle;
  g_to_device = g_finished = g_batch_invariant = 0;
  api.open = [](const BackendOptions* options, BackendDevice** device, BackendError* error) {
    g_batch_invariant += options->batch_invariant;
    return oracle->open(options, device, error);
  };
  api.facts = [](BackendDevice* device, BackendFacts* facts) {
    oracle->facts(device, facts);
    facts->host_memory = 0;
  };
  api.copy = [](BackendDevice* device, BackendStream* stream, void* to, const void* from, uint64_t bytes,
                CopyKind kind, BackendError* error) {
    g_to_device += kind == CopyKind::kHostToDevice ? 1 : 0;
    return oracle->copy(device, stream, to, from, bytes, kind, error);
  };
  api.finish_prepare = [](BackendDevice*, BackendLoadReport*, BackendError*) {
    ++g_finished;
    return 0;
  };
  return api;
}

TEST(TwinHarness, WorkspaceOfADeviceIsItsOwnMemory) {
  BackendApi api = with_device_memory();
  const Cases cases = cases_of(OpKind::kLinear, CaseSet::kOdd);
  EXPECT_THAT(run_twins(cases, {{.api = &api, .batch_invariant = true}}).failures, IsEmpty());
  EXPECT_EQ(g_to_device, static_cast<int>(cases.size()));
  EXPECT_EQ(g_finished, static_cast<int>(cases.size()));
  EXPECT_EQ(g_batch_invariant, 1);
}

TEST(TwinHarness, CatchesAnOverrunInDeviceMemory) {
  BackendApi api = with_device_memory();
  api.run = [](BackendDevice* device, BackendStream* stream, OpKind kind, const void* args,
               BackendError* error) {
    const Workspace& workspace = static_cast<const LinearArgs*>(args)->workspace;
    static_cast<char*>(workspace.data)[workspace.bytes] = 0;
    return oracle->run(device, stream, kind, args, error);
  };
  EXPECT_THAT(twins_of(OpKind::kLinear, api).failures[0], HasSubstr("beyond its workspace"));
}

TEST(TwinHarness, OracleOnSeveralThreadsIsTheSame) {
  const Cases cases = cases_of(OpKind::kRouteExperts, CaseSet::kOdd);
  const TwinReport report = run_twins(cases, {{.api = oracle}}, {.threads = 3});
  EXPECT_EQ(report.cases, static_cast<int>(cases.size()));
  EXPECT_THAT(report.failures, IsEmpty());
}

TEST(PinnedPool, ReusesPiecesOfASizeAndKnowsItsOwn) {
  BackendOptions options;
  BackendDevice* device = nullptr;
  BackendError error{};
  ASSERT_EQ(oracle->open(&options, &device, &error), 0);
  auto pool_owned = std::make_unique<PinnedPool>(oracle, device);
  PinnedPool& pool = *pool_owned;
  void* small = pool.allocate(1);
  void* other = pool.allocate(64);
  void* large = pool.allocate(100 << 20);  // more than a chunk
  EXPECT_EQ(reinterpret_cast<uintptr_t>(small) % 64, 0u);
  EXPECT_EQ(static_cast<char*>(other), static_cast<char*>(small) + 64);
  ASSERT_NE(large, nullptr);
  static_cast<char*>(large)[(100 << 20) - 1] = 1;
  EXPECT_TRUE(pool.release(small, 1));
  EXPECT_EQ(pool.allocate(33), small);
  EXPECT_FALSE(pool.release(&options, 8));
  pool_owned.reset();
  oracle->close(device);
}

TEST(TwinHarness, CatchesADependenceOnTheBatch) {
  const BackendApi api = planted(
      [](BackendDevice* device, BackendStream* stream, OpKind kind, const void* args, BackendError* error) {
        const int32_t code = oracle->run(device, stream, kind, args, error);
        const Mat& out = static_cast<const RmsNormArgs*>(args)->out;
        if (out.rows == 1) ref::set(out, 0, 0, ref::get(out, 0, 0) * (1 + 0x1p-23f));
        return code;
      });
  EXPECT_FALSE(run_invariance(cases_of(OpKind::kRmsNorm, CaseSet::kOdd), {&api, ""}).failures.empty());
}

TEST(TwinHarness, EveryPrimitiveOpHasCases) {
  for (int32_t kind = 0; kind < static_cast<int32_t>(OpKind::kMlaPrologue); ++kind) {
    for (CaseSet set : {CaseSet::kOdd, CaseSet::kPublished}) {
      EXPECT_FALSE(cases_of(static_cast<OpKind>(kind), set).empty()) << kind;
    }
  }
}

}  // namespace
}  // namespace hadal::testing
