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
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

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

/// |difference| to the recorded logits, [rows, vocab] as they lie in the file; empty if that cannot be said.
struct LogitErrors {
  std::vector<float> all;
  size_t vocab = 0;

  /// The share `at` of all logits are nearer to the recorded ones than this.
  double quantile(double at) const {
    std::vector<float> sorted = all;
    const auto place = sorted.begin() + static_cast<std::ptrdiff_t>(at * static_cast<double>(all.size() - 1));
    std::nth_element(sorted.begin(), place, sorted.end());
    return *place;
  }
  double of_row(size_t row) const {
    const auto first = all.begin() + static_cast<std::ptrdiff_t>(row * vocab);
    return *std::max_element(first, first + static_cast<std::ptrdiff_t>(vocab));
  }
};

LogitErrors errors_of(const LogitsReport& report, const std::string& folder) {
  const auto file = SafetensorsFile::open(folder + "/expected.safetensors");
  if (!file.ok() || (*file)->find("logits") == nullptr) return {};
  const TensorView& recorded = *(*file)->find("logits");
  LogitErrors errors{to_floats(recorded), static_cast<size_t>(recorded.shape[recorded.shape.rank() - 1])};
  if (errors.all.size() != report.logits.size()) return {};
  for (size_t index = 0; index < errors.all.size(); ++index)
    errors.all[index] = std::abs(errors.all[index] - report.logits[index]);
  return errors;
}

/// For a person: where the two err, row by row and in all.
std::string described(const LogitErrors& fast, const LogitErrors& slow) {
  std::string text = "errors of the device and of ref\n";
  for (const double at : {0.5, 0.9, 0.99, 0.999, 1.0}) {
    text += "  quantile " + std::to_string(at) + ": " + std::to_string(fast.quantile(at)) + " " +
            std::to_string(slow.quantile(at)) + "\n";
  }
  for (size_t row = 0; row < fast.all.size() / fast.vocab; ++row) {
    text += "  row " + std::to_string(row) + ": " + std::to_string(fast.of_row(row)) + " " +
            std::to_string(slow.of_row(row)) + "\n";
  }
  return text;
}

/// The checkpoint with a larger rms_norm_eps, by links to its files, as long as this lives.
class NudgedCheckpoint {
 public:
  NudgedCheckpoint(const Case& test, double more)
      : folder_(fs::path(testing::TempDir()) / ("nudged_" + std::to_string(getpid()) + "_" + test.name)) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    for (const auto& entry : fs::directory_iterator(test.folder)) {
      if (entry.path().filename() != "config.json")
        fs::create_symlink(fs::absolute(entry.path()), folder_ / entry.path().filename());
    }
    std::ifstream from(fs::path(test.folder) / "config.json");
    nlohmann::json config = nlohmann::json::parse(from);
    config["rms_norm_eps"] = more + config.at("rms_norm_eps").get<double>();
    std::ofstream(folder_ / "config.json") << config;
  }
  ~NudgedCheckpoint() { fs::remove_all(folder_); }
  NudgedCheckpoint(const NudgedCheckpoint&) = delete;
  NudgedCheckpoint& operator=(const NudgedCheckpoint&) = delete;

  Case as_case() const { return {folder_.filename().string(), folder_.string()}; }

 private:
  fs::path folder_;
};

constexpr double kNudge = 3e-6;

/// `run` on the device under test against the same on ref.
///
/// By quantiles that rare rows do not decide, and by the largest error. Where a router's two best groups or
/// experts lie nearer to each other than float32 sums in another order do, a token goes one way or the other,
/// and the largest error is that one token's. So the twin may show that such a row is one: it is run once
/// more with rms_norm_eps larger by 3e-6, which moves what norms give by 1.5 millionths where the squares'
/// mean is one (bfloat16 tells them apart from four thousandths on), and its larger error of the two runs
/// counts.
void expect_no_worse_than_twin(const Case& test, Run run) {
  const LogitsReport fast = evaluate(test, run);
  run.device = "ref";
  const LogitsReport slow = evaluate(test, run);
  const LogitErrors fast_errors = errors_of(fast, test.folder), slow_errors = errors_of(slow, test.folder);
  ASSERT_FALSE(fast_errors.all.empty() || slow_errors.all.empty());
  for (const double at : {0.5, 0.9}) {
    EXPECT_GT(slow_errors.quantile(at), 0.0);
    EXPECT_GT(fast_errors.quantile(at), 0.0);
    EXPECT_LE(fast_errors.quantile(at), 1.5 * slow_errors.quantile(at))
        << described(fast_errors, slow_errors);
  }
  EXPECT_GT(slow.max_error_in_std, 0.0);
  double twin = slow.max_error_in_std;
  if (fast.max_error_in_std > 1.5 * twin) {
    const NudgedCheckpoint nudged(test, kNudge);
    twin = std::max(twin, evaluate(nudged.as_case(), run).max_error_in_std);
    std::cout << "largest error " << fast.max_error_in_std << ", of ref " << slow.max_error_in_std
              << ", of ref nudged " << twin << "\n";
  }
  EXPECT_LE(fast.max_error_in_std, 1.5 * twin) << described(fast_errors, slow_errors);
}

TEST_P(Oracle, Bfloat16IsNoWorseThanItsTwin) { expect_no_worse_than_twin(GetParam(), {.dtype = "bfloat16"}); }

INSTANTIATE_TEST_SUITE_P(Checkpoints, Oracle, testing::ValuesIn(all_cases()), test_name);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Oracle);

/// Every kind of attention with caches of 8 bits; the wide cases would only repeat it slowly.
class CacheOracle : public testing::TestWithParam<Case> {};

/// What the largest error may lean on above: a nudge is felt, and is small beside a bfloat16 rounding.
TEST_P(CacheOracle, ANudgedTwinIsNearlyTheTwin) {
  const LogitsReport twin = evaluate(GetParam(), {.device = "ref"});
  const NudgedCheckpoint nudged(GetParam(), kNudge);
  const LogitsReport other = evaluate(nudged.as_case(), {.device = "ref"});
  ASSERT_FALSE(twin.logits.empty());
  EXPECT_NE(twin.logits, other.logits);
  EXPECT_LT(other.max_error_in_std, 4e-3);
}
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
