// The time between two steps in which the device runs nothing: on a device with events (the stand-in of
// device/testing/deferred_backend.h) and on one without.
#include <gtest/gtest.h>

#include <thread>

#include "runner/test_models.h"
#include "runner/test_plans.h"

namespace hadal {
namespace {

using namespace hadal::testing;  // NOLINT: models and plans
constexpr std::chrono::milliseconds kPause{20};

class StepGapsTest : public ::testing::TestWithParam<std::string> {
 protected:
  StepGapsTest() {
    static const TinyModel model = tiny_mla_model();
    DeviceRunnerOptions options = small_options();
    options.measure_gaps = true;
    runner_ = *make_device_runner(model.config, model.checkpoint, open_device(GetParam()), options);
  }
  bool has_events() const { return runner_->info().steps_in_flight > 1; }

  /// The prompt's last token, then one output token after the other.
  StepPlan prompt() {
    StepPlan plan{.id = ++id_};
    plan.rows = {row_of(*runner_, 1, ids_, 0, kPrompt, TokenForm::kPrompt, LogitsWanted::kSampleLast)};
    return plan;
  }
  StepPlan decode() {
    StepPlan plan{.id = ++id_};
    plan.rows = {row_of(*runner_, 1, ids_, at_, at_ + 1, TokenForm::kOutput, LogitsWanted::kSampleLast)};
    ++at_;
    return plan;
  }

  static constexpr int32_t kPrompt = 5;
  const std::vector<int32_t> ids_ = prompt_of(20);
  int32_t at_ = kPrompt;
  StepId id_ = 0;
  std::unique_ptr<Runner> runner_;
};

TEST_P(StepGapsTest, AreBetweenTwoStepsThatDecode) {
  EXPECT_FALSE(run_plan(*runner_, decode()).gap) << "nothing before it";
  EXPECT_TRUE(run_plan(*runner_, decode()).gap);
  EXPECT_FALSE(run_plan(*runner_, prompt()).gap);
  EXPECT_FALSE(run_plan(*runner_, decode()).gap);
  EXPECT_TRUE(run_plan(*runner_, decode()).gap);
}

TEST_P(StepGapsTest, APauseOfTheHostIsInThem) {
  run_plan(*runner_, decode());
  std::this_thread::sleep_for(kPause);
  const auto gap = run_plan(*runner_, decode()).gap;
  ASSERT_TRUE(gap);
  EXPECT_GE(gap->seconds, 0.02);
  EXPECT_LT(gap->seconds, 10.0);
  EXPECT_EQ(gap->late, has_events()) << "the step before had ended long before this one was queued";
}

TEST_P(StepGapsTest, ALaunchThatFailedIsNoStep) {
  run_plan(*runner_, decode());
  StepPlan bad = decode();
  bad.rows[0].first_position = 1000;
  EXPECT_FALSE(runner_->launch(bad).ok());
  EXPECT_TRUE(run_plan(*runner_, decode()).gap);
}

TEST_P(StepGapsTest, AStepQueuedWhileTheOneBeforeRunsIsNotLate) {
  if (!has_events()) return;  // one step at a time
  const auto first = runner_->launch(decode()), second = runner_->launch(decode());
  ASSERT_TRUE(first.ok() && second.ok());
  ASSERT_TRUE(runner_->collect(*first).ok());
  const auto third = runner_->launch(decode());  // takes the memory of the first
  ASSERT_TRUE(third.ok());
  for (const Runner::Ticket ticket : {*second, *third}) {
    const StatusOr<StepResult> result = runner_->collect(ticket);
    ASSERT_TRUE(result.ok()) << result.status();
    ASSERT_TRUE(result->gap);
    EXPECT_FALSE(result->gap->late);
    EXPECT_GE(result->gap->seconds, 0);
    EXPECT_LT(result->gap->seconds, 1.0);
  }
}

TEST(StepGaps, AreNotMeasuredUnlessAskedFor) {
  const TinyModel model = tiny_mla_model();
  const auto runner =
      *make_device_runner(model.config, model.checkpoint, open_device("deferred_cpu"), small_options());
  const std::vector<int32_t> ids = prompt_of(20);
  for (int32_t at = 5; at < 8; ++at) {
    StepPlan plan{.id = static_cast<StepId>(at)};
    plan.rows = {row_of(*runner, 1, ids, at, at + 1, TokenForm::kOutput, LogitsWanted::kSampleLast)};
    EXPECT_FALSE(run_plan(*runner, std::move(plan)).gap);
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, StepGapsTest, ::testing::Values("cpu", "deferred_cpu"),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace hadal
