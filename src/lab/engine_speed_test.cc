// `hadal bench` through a real engine, on the demo model's first layers.
#include "lab/engine_speed.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <numeric>

#include "base/clock.h"
#include "base/log.h"

namespace hadal {
namespace {

BenchOptions small_bench() {
  BenchOptions options;
  options.engine.model = HADAL_SOURCE_DIR "/models/demo";
  options.engine.device = "cpu";
  options.engine.only_layers = 2;
  options.prompt_tokens = 12;
  options.output_tokens = 16;
  options.rounds = 2;
  return options;
}

double now_s() { return std::chrono::duration<double>(Clock::real().now().time_since_epoch()).count(); }

TEST(EngineSpeed, ListsTheStepsOfEachRoundsWindow) {
  set_log_level(LogLevel::kWarning);
  const double before = now_s();
  const auto report = bench_engine(small_bench());
  const double after = now_s();
  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_EQ(report->rounds.size(), 2u);
  double last_end = before;
  for (const BenchRound& round : report->rounds) {
    ASSERT_EQ(round.steps_s.size(), 15u) << "between 16 tokens";
    EXPECT_GT(*std::min_element(round.steps_s.begin(), round.steps_s.end()), 0);
    EXPECT_NE(std::find(round.steps_s.begin(), round.steps_s.end(), round.step_p50_s), round.steps_s.end());
    EXPECT_EQ(round.step_p99_s, *std::max_element(round.steps_s.begin(), round.steps_s.end()));
    const double seconds = std::accumulate(round.steps_s.begin(), round.steps_s.end(), 0.0);
    EXPECT_NEAR(round.decode_tokens_per_s, 15 / seconds, 1e-6 * round.decode_tokens_per_s);
    EXPECT_GT(round.window_begin_s, last_end) << "rounds follow each other";
    last_end = round.window_begin_s + seconds;
  }
  EXPECT_LT(last_end, after);
}

TEST(EngineSpeed, RefusesToMeasureNothing) {
  for (int32_t BenchOptions::*field : {&BenchOptions::prompt_tokens, &BenchOptions::output_tokens,
                                       &BenchOptions::batch, &BenchOptions::rounds}) {
    BenchOptions options = small_bench();
    options.*field = 0;
    EXPECT_FALSE(bench_engine(options).ok());
  }
}

}  // namespace
}  // namespace hadal
