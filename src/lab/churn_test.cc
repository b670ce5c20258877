// Requests that come and go through a real engine, on the demo model's first layers.
#include "lab/churn.h"

#include <gtest/gtest.h>

#include "base/log.h"

namespace hadal {
namespace {

TEST(Churn, KeepsABatchGoingForTheStepsAskedForAndLeavesNothing) {
  set_log_level(LogLevel::kWarning);
  EngineConfig config;
  config.model = HADAL_SOURCE_DIR "/models/demo";
  config.device = "cpu";
  config.skip_tokenizer = true;
  config.only_layers = 2;
  config.enable_prefix_caching = false;
  config.max_num_seqs = 8;
  config.kv_cache_bytes = 32 << 20;
  config.measure_step_gaps = true;
  const auto gaps = std::make_shared<GapRecorder>();
  auto loaded = load_engine(config, [&](const LoadedEngine&) { return gaps; });
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const auto report =
      run_churn(*loaded, *gaps, {.steps = 120, .batch = 8, .prompt_tokens = 12, .output_tokens = 16});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_GE(report->idle.seconds.count, 120u);
  EXPECT_GE(report->steps, 120);
  EXPECT_GT(report->joined, 8);
  EXPECT_GT(report->ended, 8);
  EXPECT_GT(report->cancelled, 0);
  EXPECT_LT(report->cancelled, report->ended);
  EXPECT_GT(report->tokens_per_s, 0);
  EXPECT_GT(report->idle.seconds.p50, 0) << "the scheduler's time at least, with one step in flight";
  EXPECT_EQ(report->idle.late, 0u);
  while (!loaded->engine->idle()) {
  }
  EXPECT_EQ(loaded->engine->stats().blocks_used, 0);
}

TEST(Churn, RefusesToDoNothing) {
  LoadedEngine none;
  GapRecorder gaps;
  EXPECT_FALSE(run_churn(none, gaps, {.steps = 0}).ok());
}

}  // namespace
}  // namespace hadal
