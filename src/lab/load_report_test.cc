#include "lab/load_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <random>

namespace hadal {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// ---- percentiles ----

/// numpy.percentile, by its definition: the value at rank (n - 1) p / 100 of the order statistics.
double naive_percentile(std::vector<double> values, double p) {
  const double rank = (static_cast<double>(values.size()) - 1) * p / 100.0;
  const auto order_statistic = [&](size_t k) {
    for (const double candidate : values) {
      size_t below = 0, equal = 0;
      for (const double value : values) {
        below += value < candidate ? 1 : 0;
        equal += value == candidate ? 1 : 0;
      }
      if (below <= k && k < below + equal) return candidate;
    }
    return std::nan("");
  };
  const double low = order_statistic(static_cast<size_t>(std::floor(rank)));
  const double high = order_statistic(static_cast<size_t>(std::ceil(rank)));
  return low + (high - low) * (rank - std::floor(rank));
}

TEST(Percentiles, AgreeWithANaiveTwin) {
  std::mt19937 random(11);
  for (int round = 0; round < 200; ++round) {
    std::vector<double> values(1 + random() % 40);
    for (double& value : values) value = static_cast<double>(random() % 20);  // with ties
    const Summary summary = summarize(values);
    EXPECT_NEAR(summary.p50, naive_percentile(values, 50), 1e-9);
    EXPECT_NEAR(summary.p90, naive_percentile(values, 90), 1e-9);
    EXPECT_NEAR(summary.p99, naive_percentile(values, 99), 1e-9);
  }
}

TEST(Percentiles, OfFewAndOfNone) {
  EXPECT_EQ(summarize({}).p99, 0.0);
  const Summary one = summarize({7.0});
  EXPECT_EQ(one.p50, 7.0);
  EXPECT_EQ(one.p99, 7.0);
  EXPECT_EQ(one.deviation, 0.0);
  const Summary four = summarize({4.0, 1.0, 3.0, 2.0});
  EXPECT_DOUBLE_EQ(four.mean, 2.5);
  EXPECT_DOUBLE_EQ(four.p50, 2.5);
  EXPECT_DOUBLE_EQ(four.max, 4.0);
  EXPECT_DOUBLE_EQ(four.deviation, std::sqrt(1.25));
}

// ---- objectives ----

TEST(Objectives, ReadAndRefused) {
  const auto read = parse_objectives({"ttft:200", "e2el:1e4"});
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->ttft, 200.0);
  EXPECT_EQ(read->e2el, 10'000.0);
  EXPECT_FALSE(read->tpot.has_value());
  EXPECT_FALSE(parse_objectives({})->any());
  for (const char* wrong : {"", "ttft", "ttft:", "ttft:x", "ttft:-1", "ttft:1s", "itl:5", "ttft:nan"}) {
    EXPECT_FALSE(parse_objectives({wrong}).ok()) << wrong;
  }
  EXPECT_FALSE(parse_objectives({"ttft:1", "ttft:2"}).ok());
}

// ---- reports ----

RequestOutcome answer(double start, std::vector<double> tokens, int64_t output_tokens) {
  RequestOutcome outcome{.planned_s = start, .start_s = start, .end_s = tokens.back() + 0.001};
  outcome.token_s = std::move(tokens);
  outcome.input_tokens = 100;
  outcome.output_tokens = output_tokens;
  outcome.cached_tokens = 10;
  outcome.counted_by = CountedBy::kUsage;
  return outcome;
}

RequestOutcome failure(std::string kind, std::string text) {
  RequestOutcome outcome{.planned_s = 1.0, .start_s = 1.0, .end_s = 1.1};
  outcome.input_tokens = 100;
  outcome.error_kind = std::move(kind);
  outcome.error_text = std::move(text);
  return outcome;
}

LoadRun some_run() {
  LoadRun run{.duration_s = 2.0};
  run.outcomes.push_back(answer(0.0, {0.1, 0.2, 0.4}, 4));  // TTFT 100, TPOT 100, E2E 400
  run.outcomes.push_back(answer(0.2, {0.7}, 1));            // TTFT 500, no TPOT
  run.outcomes.back().planned_s = 0.15;
  run.outcomes.push_back(failure("HTTP 429", "full"));
  run.outcomes.push_back(failure("HTTP 429", "still full"));
  run.outcomes.push_back(failure("timeout", ""));
  return run;
}

TEST(LoadReport, Arithmetic) {
  const LoadReport report = report_of(some_run(), {});
  EXPECT_EQ(report.completed, 2);
  EXPECT_EQ(report.failed, 3);
  EXPECT_EQ(report.input_tokens, 200);  // of successes alone
  EXPECT_EQ(report.cached_tokens, 20);
  EXPECT_EQ(report.output_tokens, 5);
  EXPECT_DOUBLE_EQ(report.request_rate, 1.0);
  EXPECT_DOUBLE_EQ(report.output_rate, 2.5);
  EXPECT_DOUBLE_EQ(report.total_rate, 102.5);
  EXPECT_NEAR(report.ttft_ms.mean, 300.0, 1e-9);
  EXPECT_EQ(report.tpot_ms.count, 1u);
  EXPECT_NEAR(report.tpot_ms.p50, 100.0, 1e-9);
  EXPECT_EQ(report.itl_ms.count, 2u);
  EXPECT_NEAR(report.itl_ms.mean, 150.0, 1e-9);
  EXPECT_NEAR(report.e2el_ms.max, 500.0, 1e-9);
  EXPECT_NEAR(report.latest_start_s, 0.05, 1e-9);
  EXPECT_EQ(report.peak_concurrency, 3);  // the three failures
  EXPECT_EQ(report.errors.at("HTTP 429").count, 2);
  EXPECT_EQ(report.errors.at("HTTP 429").example, "full");
  EXPECT_EQ(report.errors.at("timeout").count, 1);
}

TEST(LoadReport, GoodputNeedsEveryObjective) {
  const auto good = [](const Objectives& objectives) { return report_of(some_run(), objectives).good; };
  EXPECT_EQ(good({}), 2);
  EXPECT_EQ(good({.ttft = 200}), 1);
  EXPECT_EQ(good({.tpot = 50}), 1);  // the answer of one token has none and meets it
  EXPECT_EQ(good({.e2el = 450}), 1);
  EXPECT_EQ(good({.ttft = 200, .tpot = 50}), 0);
  EXPECT_DOUBLE_EQ(report_of(some_run(), {.ttft = 200}).goodput, 0.5);
}

TEST(LoadReport, RequestsThatFollowEachOtherAreNotAtOnce) {
  LoadRun run{.duration_s = 3.0};
  for (const double start : {0.0, 1.0, 2.0}) {
    run.outcomes.push_back(answer(start, {start + 0.5}, 1));
    run.outcomes.back().end_s = start + 1.0;
  }
  EXPECT_EQ(report_of(run, {}).peak_concurrency, 1);
}

TEST(LoadReport, NothingSucceeded) {
  LoadRun run;
  run.outcomes.push_back(failure("connection failed", "refused\x1b[2J"));
  const LoadReport report = report_of(run, {});
  EXPECT_EQ(report.completed, 0);
  EXPECT_EQ(report.request_rate, 0.0);
  const std::string table = load_table(report, {});
  EXPECT_THAT(table, HasSubstr("connection failed:"));
  EXPECT_THAT(table, Not(HasSubstr("\x1b")));  // a server's words do not steer the terminal
}

TEST(LoadReport, TableAndJsonSayTheSame) {
  const Objectives objectives{.ttft = 200};
  const LoadReport report = report_of(some_run(), objectives);
  const auto json = nlohmann::json::parse(load_json(report, objectives));
  EXPECT_EQ(json["completed"], 2);
  EXPECT_EQ(json["total_output_tokens"], 5);
  EXPECT_NEAR(json["mean_ttft_ms"].get<double>(), 300.0, 1e-9);
  EXPECT_EQ(json["errors"]["HTTP 429"]["count"], 2);
  EXPECT_DOUBLE_EQ(json["request_goodput"].get<double>(), 0.5);
  const std::string table = load_table(report, objectives);
  EXPECT_THAT(table, HasSubstr("Mean TTFT (ms):                                   300.00"));
  EXPECT_THAT(table, HasSubstr("Request goodput (req/s):                            0.50"));
  EXPECT_THAT(load_table(report, {}), Not(HasSubstr("goodput")));
}

}  // namespace
}  // namespace hadal
