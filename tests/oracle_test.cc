// Whole models against recorded logits, through the scheduler, cache and runner that serve uses.
//
// Cases are the folders of $HADAL_ORACLE_DIR/checkpoints (default ../shared/oracle beside the source tree)
// and those of tests/data/checkpoints, which are always there ($HADAL_SOURCE_DIR, default where this was
// compiled).
//
// $HADAL_TEST_DEVICE (default cpu) is the device under test; with cuda, libhadal_cuda.so must lie beside the
// binary.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "lab/logits_eval.h"
#include "tensor/safetensors.h"

namespace hadal {
namespace {

namespace fs = std::filesystem;

struct Case {
  std::string name;
  std::string folder;
};

void PrintTo(const Case& value, std::ostream* out) { *out << value.name; }

std::string setting(const char* name, const std::string& otherwise) {
  const char* set = std::getenv(name);
  return set != nullptr && *set != '\0' ? set : otherwise;
}

std::string source_folder() { return setting("HADAL_SOURCE_DIR", HADAL_SOURCE_DIR); }
std::string oracle_folder() { return setting("HADAL_ORACLE_DIR", source_folder() + "/../shared/oracle"); }
std::string device_under_test() { return setting("HADAL_TEST_DEVICE", "cpu"); }

void add_cases(const fs::path& folder, const std::string& prefix, std::vector<Case>& cases) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (fs::exists(entry.path() / "expected.safetensors")) {
      cases.push_back({prefix + entry.path().filename().string(), entry.path().string()});
    }
  }
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  const fs::path oracle = fs::path(oracle_folder()) / "checkpoints";
  if (fs::is_directory(oracle)) {
    add_cases(oracle, "", cases);
  } else {
    std::cout << "no oracle at " << oracle
              << " (set HADAL_ORACLE_DIR): only tests/data/checkpoints are run\n";
  }
  add_cases(source_folder() + "/tests/data/checkpoints", "own-", cases);
  std::sort(cases.begin(), cases.end(), [](const Case& a, const Case& b) { return a.name < b.name; });
  return cases;
}

std::string test_name(const testing::TestParamInfo<Case>& info) {
  std::string name = info.param.name;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
}

struct Run {
  std::string dtype = "float32";
  std::string cache = "auto";
  std::string device = device_under_test();
  int32_t chunk = 0;
  int32_t threads = 0;
  bool batch_invariant = false;  // a CPU always is
};

LogitsReport evaluate(const Case& test, const Run& run) {
  EngineConfig config;
  config.model = test.folder;
  config.dtype = run.dtype;
  config.kv_cache_dtype = run.cache;
  config.device = run.device;
  config.chunk = run.chunk;
  config.threads = run.threads;
  config.batch_invariant = run.batch_invariant;
  auto report = evaluate_logits(config, test.folder + "/expected.safetensors");
  EXPECT_TRUE(report.ok()) << message_of(report.status());
  return report.ok() ? std::move(*report) : LogitsReport{};
}

void expect_right(const LogitsReport& report) {
  EXPECT_LT(report.max_error_in_std, 2e-4);
  EXPECT_GT(report.greedy_total, 0);
  EXPECT_EQ(report.greedy_equal, report.greedy_total);
}

/// Bit equality without a megabyte of output when it fails.
void expect_same_bits(const LogitsReport& a, const LogitsReport& b, const std::string& what) {
  ASSERT_FALSE(a.logits.empty());
  ASSERT_EQ(a.logits.size(), b.logits.size()) << what;
  EXPECT_TRUE(std::equal(a.logits.begin(), a.logits.end(), b.logits.begin())) << "logits differ: " << what;
}

class Oracle : public testing::TestWithParam<Case> {};

TEST_P(Oracle, Float32InOnePieceInChunksAndTokenByToken) {
  if (device_under_test() != "cpu") expect_right(evaluate(GetParam(), {}));
  const LogitsReport whole = evaluate(GetParam(), {.batch_invariant = true});
  expect_right(whole);
  for (const int32_t chunk : {7, 1}) {
    const LogitsReport pieces = evaluate(GetParam(), {.chunk = chunk, .batch_invariant = true});
    expect_right(pieces);
    expect_same_bits(whole, pieces, "chunks of " + std::to_string(chunk));
  }
}

/// On a GPU: two runs do.
TEST_P(Oracle, OneThreadAndTwoGiveTheSameBits) {
  expect_same_bits(evaluate(GetParam(), {.threads = 1}), evaluate(GetParam(), {.threads = 2}),
                   "1 and 2 threads");
}

TEST_P(Oracle, NoKernelFallsBackToRef) {
  for (const char* dtype : {"float32", "bfloat16"}) {
    const LogitsReport report = evaluate(GetParam(), {.dtype = dtype});
    EXPECT_FALSE(report.kernels.empty());
    EXPECT_THAT(report.kernels, testing::Each(testing::StartsWith(device_under_test() + "."))) << dtype;
  }
}

/// Half of all logits are nearer to the recorded ones than this.
double median_error(const LogitsReport& report, const std::string& folder) {
  const auto file = SafetensorsFile::open(folder + "/expected.safetensors");
  if (!file.ok() || (*file)->find("logits") == nullptr) return -1;
  std::vector<float> errors = to_floats(*(*file)->find("logits"));
  if (errors.size() != report.logits.size()) return -1;
  for (size_t index = 0; index < errors.size(); ++index)
    errors[index] = std::abs(errors[index] - report.logits[index]);
  const auto middle = errors.begin() + static_cast<std::ptrdiff_t>(errors.size() / 2);
  std::nth_element(errors.begin(), middle, errors.end());
  return *middle;
}

/// `run` on the device under test against the same on ref.
void expect_no_worse_than_twin(const Case& test, Run run) {
  const LogitsReport fast = evaluate(test, run);
  run.device = "ref";
  const LogitsReport slow = evaluate(test, run);
  EXPECT_GT(slow.max_error_in_std, 0.0);
  EXPECT_LE(fast.max_error_in_std, 1.5 * slow.max_error_in_std);
  const double fast_median = median_error(fast, test.folder), slow_median = median_error(slow, test.folder);
  EXPECT_GT(slow_median, 0.0);
  EXPECT_GT(fast_median, 0.0);
  EXPECT_LE(fast_median, 1.5 * slow_median);
}

/// By the largest error, and by the median: a bfloat16 rounding that falls the other way can send a token to
/// another expert, and the largest error of a small random model may be that one token's on both sides,
/// hiding all others.
TEST_P(Oracle, Bfloat16IsNoWorseThanItsTwin) { expect_no_worse_than_twin(GetParam(), {.dtype = "bfloat16"}); }

INSTANTIATE_TEST_SUITE_P(Checkpoints, Oracle, testing::ValuesIn(all_cases()), test_name);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Oracle);

/// Every kind of attention with caches of 8 bits; the wide cases would only repeat it slowly.
class CacheOracle : public testing::TestWithParam<Case> {};

TEST_P(CacheOracle, E4m3IsNoWorseThanItsTwin) {
  expect_no_worse_than_twin(GetParam(), {.dtype = "bfloat16", .cache = "fp8_e4m3"});
}
TEST_P(CacheOracle, E5m2IsNoWorseThanItsTwin) {
  expect_no_worse_than_twin(GetParam(), {.dtype = "bfloat16", .cache = "fp8_e5m2"});
}

std::vector<Case> small_cases() {
  std::vector<Case> cases = all_cases();
  std::erase_if(cases, [](const Case& one) { return one.name.find("wide") != std::string::npos; });
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, CacheOracle, testing::ValuesIn(small_cases()), test_name);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(CacheOracle);

/// Without a single case the suite above is empty, which must not pass for success.
TEST(OracleCases, ThereAreSome) { EXPECT_FALSE(all_cases().empty()); }

}  // namespace
}  // namespace hadal
