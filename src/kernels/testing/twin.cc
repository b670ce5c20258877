#include "kernels/testing/twin.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <set>
#include <thread>

#include "kernels/ref/ref_backend.h"

namespace hadal::testing {
namespace {

/// A case reports its first few differences, not all.
constexpr int kMaxFailuresPerCase = 3;

/// Collects what goes wrong under one label.
class Judge {
 public:
  Judge(TwinReport& report, std::string label) : report_(report), label_(std::move(label)) {}
  void fail(std::string_view what) {
    if (++failures_ <= kMaxFailuresPerCase) report_.failures.push_back(fmt::format("{}: {}", label_, what));
  }
  bool take(const StatusOr<Outputs>& outputs) {
    if (!outputs.ok()) fail(message_of(outputs.status()));
    return outputs.ok();
  }

 private:
  TwinReport& report_;
  std::string label_;
  int failures_ = 0;
};

bool close(float actual, float expected, const Output& tolerance) {
  if (std::isinf(expected)) return actual == expected;
  const double allowed = tolerance.absolute + tolerance.relative * std::abs(double{expected});
  return std::abs(double{actual} - double{expected}) <= allowed;  // false for NaN
}

constexpr size_t kFewApart = 3;

/// Of a rounded output most values must be the very same.
void compare_roundings(const Output& got, const Output& want, Judge& judge) {
  if (!got.rounded) return;
  size_t apart = 0;
  for (size_t k = 0; k < want.values.size(); ++k) apart += got.values[k] != want.values[k] ? 1 : 0;
  if (apart > kFewApart + want.values.size() / 5) {
    judge.fail(
        fmt::format("{}: {} of {} values are rounded otherwise", want.name, apart, want.values.size()));
  }
}

/// By the tolerances that the backend under test (`actual`) has.
void compare(const Outputs& actual, const Outputs& expected, Judge& judge) {
  for (size_t i = 0; i < expected.size(); ++i) {
    const Output& want = expected[i];
    const Output& got = actual[i];
    compare_roundings(got, want, judge);
    if (!got.margins_intact) judge.fail(fmt::format("{}: wrote outside its rows", want.name));
    for (size_t k = 0; k < want.values.size(); ++k) {
      if (close(got.values[k], want.values[k], got)) continue;
      judge.fail(fmt::format("{} [{}, {}]: {} instead of {} (difference {}, allowed {} + {} relative)",
                             want.name, k / static_cast<size_t>(want.width),
                             k % static_cast<size_t>(want.width), got.values[k], want.values[k],
                             std::abs(got.values[k] - want.values[k]), got.absolute, got.relative));
    }
  }
}

/// `part` holds the rows of `whole` from `slice.first` on, bit for bit.
void compare_bits(const Outputs& part, const Outputs& whole, Slice slice, Judge& judge) {
  for (size_t i = 0; i < whole.size(); ++i) {
    const auto width = static_cast<size_t>(whole[i].width);
    const size_t offset = static_cast<size_t>(slice.first) * width;
    for (size_t k = 0; k < part[i].values.size(); ++k) {
      const float a = part[i].values[k], b = whole[i].values[offset + k];
      if (std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b)) continue;
      judge.fail(fmt::format("{} [{}, {}]: {} in rows {}+{}, {} in the whole", whole[i].name,
                             slice.first + static_cast<int64_t>(k / width), k % width, a, slice.first,
                             slice.count, b));
    }
  }
}

std::vector<Slice> slices_of(int64_t rows) {
  std::vector<Slice> slices;
  for (int64_t row : std::set<int64_t>{0, 1, rows / 2, rows - 1}) {
    if (row < rows) slices.push_back({row, 1});
  }
  for (int64_t first = 0; first < rows; first += 7)
    slices.push_back({first, std::min<int64_t>(7, rows - first)});
  if (rows > 1) slices.push_back({0, rows / 2});
  if (rows > 1) slices.push_back({rows / 2, rows - rows / 2});
  return slices;
}

void add_kernels(const TestBackend& backend, TwinReport& report) {
  for (const std::string& name : backend.kernels_used()) report.kernels_used.push_back(name);
  std::sort(report.kernels_used.begin(), report.kernels_used.end());
  const auto last = std::unique(report.kernels_used.begin(), report.kernels_used.end());
  report.kernels_used.erase(last, report.kernels_used.end());
}

std::unique_ptr<TestBackend> open_or_report(const TwinTarget& target, int32_t threads, TwinReport& report) {
  auto backend = TestBackend::open(target.api, target.isa, threads, target.batch_invariant);
  if (backend.ok()) {
    (*backend)->tensor_cores = target.tensor_cores;
    return std::move(*backend);
  }
  report.failures.push_back(
      fmt::format("{} ({}): {}", target.api->name, target.isa, message_of(backend.status())));
  return nullptr;
}

/// What the oracle says of every case.
std::vector<StatusOr<Outputs>> expected_of(const Cases& cases, const TwinOracle& oracle) {
  std::vector<StatusOr<Outputs>> expected(cases.size(), StatusOr<Outputs>(internal_error("not run")));
  std::atomic<size_t> next{0};
  const auto work = [&] {
    auto backend = TestBackend::open(oracle.api == nullptr ? ref_backend() : oracle.api);
    for (size_t i = next++; i < cases.size(); i = next++) {
      if (!backend.ok()) {
        expected[i] = backend.status();
        continue;
      }
      expected[i] = cases[i]->run(**backend, {0, cases[i]->rows()});
    }
  };
  std::vector<std::thread> others;
  for (int i = 1; i < oracle.threads; ++i) others.emplace_back(work);
  work();
  for (std::thread& other : others) other.join();
  return expected;
}

}  // namespace

TwinReport run_twins(const Cases& cases, const std::vector<TwinTarget>& targets, const TwinOracle& oracle) {
  TwinReport report;
  std::vector<std::unique_ptr<TestBackend>> backends;
  for (const TwinTarget& target : targets) {
    auto backend = open_or_report(target, 2, report);
    if (backend == nullptr) return report;
    backends.push_back(std::move(backend));
  }
  const auto expected = expected_of(cases, oracle);
  for (size_t i = 0; i < cases.size(); ++i) {
    const OpCase& one = *cases[i];
    Judge oracle_judge(report, "ref: " + one.name());
    if (!oracle_judge.take(expected[i])) continue;
    for (const auto& backend : backends) {
      ++report.cases;
      Judge judge(report, backend->name() + ": " + one.name());
      const StatusOr<Outputs> actual = one.run(*backend, {0, one.rows()});
      if (judge.take(actual)) compare(*actual, *expected[i], judge);
    }
  }
  for (const auto& backend : backends) add_kernels(*backend, report);
  return report;
}

TwinReport run_invariance(const Cases& cases, const TwinTarget& target) {
  TwinReport report;
  const auto one_thread = open_or_report(target, 1, report);
  const auto two_threads = open_or_report(target, 2, report);
  if (one_thread == nullptr || two_threads == nullptr) return report;
  for (const auto& one : cases) {
    ++report.cases;
    Judge judge(report, two_threads->name() + ": " + one->name());
    const Slice all{0, one->rows()};
    const StatusOr<Outputs> whole = one->run(*two_threads, all);
    if (!judge.take(whole)) continue;
    const StatusOr<Outputs> single = one->run(*one_thread, all);
    if (judge.take(single)) compare_bits(*single, *whole, all, judge);
    for (const Slice slice : slices_of(one->rows())) {
      const StatusOr<Outputs> part = one->run(*two_threads, slice);
      if (judge.take(part)) compare_bits(*part, *whole, slice, judge);
    }
  }
  add_kernels(*two_threads, report);
  return report;
}

}  // namespace hadal::testing
