// The GPU backend against the oracle and against itself, op by op: part of hadal_cuda_test, which needs a
// GPU, its driver, and libhadal_cuda.so beside it. Composites: device/testing/cuda_composites_test.cc.
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <climits>
#include <cstdio>
#include <thread>

#include "kernels/api/op_names.h"
#include "kernels/testing/pinned_pool.h"
#include "kernels/testing/twin.h"

namespace hadal::testing {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

/// The module beside this binary; ends the process without it, as no test could run.
const BackendApi* cuda() {
  static const BackendApi* const kApi = [] {
    char path[PATH_MAX] = "";
    const ssize_t length = readlink("/proc/self/exe", path, sizeof(path));
    const std::string self(path, static_cast<size_t>(std::max<ssize_t>(length, 0)));
    const std::string file = self.substr(0, self.rfind('/')) + "/libhadal_cuda.so";
    void* module = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
    auto* entry =
        module == nullptr ? nullptr : reinterpret_cast<BackendEntry>(dlsym(module, "hadal_backend_v1"));
    const BackendApi* api = entry == nullptr ? nullptr : entry();
    if (api == nullptr || api->abi != kBackendAbi || api->struct_size != sizeof(BackendApi)) {
      const char* why = module == nullptr ? dlerror() : "not a backend of this build";
      std::fprintf(stderr, "%s: %s\n", file.c_str(), why);
      std::exit(1);
    }
    return api;
  }();
  return kApi;
}

std::vector<OpKind> primitive_ops() {
  std::vector<OpKind> kinds;
  for (int32_t kind = 0; kind < static_cast<int32_t>(OpKind::kCount); ++kind) {
    if (!is_composite(static_cast<OpKind>(kind))) kinds.push_back(static_cast<OpKind>(kind));
  }
  return kinds;
}

int oracle_threads() { return static_cast<int>(std::max(1u, std::thread::hardware_concurrency())); }

class CudaTwin : public ::testing::TestWithParam<OpKind> {
 protected:
  TwinReport twins(const Cases& cases) {
    return run_twins(cases, {{.api = cuda(), .tensor_cores = true}}, {.threads = oracle_threads()});
  }
  void expect_same_bits(CaseSet set) {
    const TwinReport report = run_invariance(cases_of(GetParam(), set),
                                             {.api = cuda(), .tensor_cores = true, .batch_invariant = true});
    EXPECT_GT(report.cases, 0);
    EXPECT_THAT(report.failures, IsEmpty());
  }
};

TEST_P(CudaTwin, AgreesWithTheOracleOnOddSizes) {
  const TwinReport report = twins(cases_of(GetParam(), CaseSet::kOdd));
  EXPECT_GT(report.cases, 0);
  EXPECT_THAT(report.failures, IsEmpty());
}

TEST_P(CudaTwin, AgreesWithTheOracleOnPublishedShapes) {
  const TwinReport report = twins(cases_of(GetParam(), CaseSet::kPublished));
  EXPECT_GT(report.cases, 0);
  EXPECT_THAT(report.failures, IsEmpty());
  EXPECT_THAT(report.kernels_used, Not(IsEmpty()));
  EXPECT_THAT(report.kernels_used, Each(StartsWith("cuda.")));
}

/// What a model in bfloat16 runs: activations (of attention: results and the cache) in at most 16 bits,
/// weights in bfloat16 or quantised (others keep their exact values, which tensor cores cannot).
bool is_models_own(const OpCase& one) {
  const std::string& name = one.name();
  switch (one.kind()) {
    case OpKind::kLinear:
      return name.find("] BF16 x") != std::string::npos && name.find("] F32") == std::string::npos &&
             name.find("] F16") == std::string::npos;
    case OpKind::kMoeExperts:
      return name.find("] BF16,") != std::string::npos;
    case OpKind::kMlaAttention:
    case OpKind::kGqaAttention:
      return name.find("cache F32") == std::string::npos;
    default:
      return true;
  }
}

// The kernels meant for the published models run on their shapes, and not those that take everything.
TEST_P(CudaTwin, RunsItsFastKernelsOnPublishedShapes) {
  Cases cases = cases_of(GetParam(), CaseSet::kPublished);
  std::erase_if(cases, [](const auto& one) { return !is_models_own(*one); });
  ASSERT_FALSE(cases.empty());
  auto backend = TestBackend::open(cuda());
  ASSERT_TRUE(backend.ok()) << message_of(backend.status());
  for (const auto& one : cases) {
    const auto outputs = one->run(**backend, {0, one->rows()});
    EXPECT_TRUE(outputs.ok()) << one->name() << ": " << message_of(outputs.status());
  }
  EXPECT_THAT((*backend)->kernels_used(), Not(IsEmpty()));
  EXPECT_THAT((*backend)->kernels_used(), Each(Not(HasSubstr("generic"))));
}

TEST_P(CudaTwin, BatchInvariantGivesTheSameBitsInAnyBatchOfOddSizes) { expect_same_bits(CaseSet::kOdd); }
TEST_P(CudaTwin, BatchInvariantGivesTheSameBitsInAnyBatchOfPublishedShapes) {
  expect_same_bits(CaseSet::kPublished);
}

INSTANTIATE_TEST_SUITE_P(Ops, CudaTwin, ::testing::ValuesIn(primitive_ops()),
                         [](const auto& one) { return std::string(op_name(one.param)); });

}  // namespace

/// Called by main before the first case is made.
Status use_pinned_memory_of_cuda() { return install_pinned_memory(cuda()); }

}  // namespace hadal::testing

int main(int argc, char** argv) {
  ::testing::InitGoogleMock(&argc, argv);
  if (GTEST_FLAG_GET(list_tests)) return RUN_ALL_TESTS();  // wanted on machines without a GPU too
  const hadal::Status installed = hadal::testing::use_pinned_memory_of_cuda();
  if (!installed.ok()) {
    std::fprintf(stderr, "%s\n", std::string(hadal::message_of(installed)).c_str());
    return 1;
  }
  return RUN_ALL_TESTS();
}
