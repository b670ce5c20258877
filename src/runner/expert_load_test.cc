#include "runner/expert_load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hadal {
namespace {

using ::testing::ElementsAre;

class ExpertLoadTest : public ::testing::Test {
 protected:
  ExpertLoadTest() : device_(*Device::open("ref")), counters_(*device_->allocate(4 * sizeof(uint32_t))) {
    meter_ = *ExpertLoadMeter::create(*device_, {counters_.as<uint32_t>(), {3, 5}, 2}, 2);
  }
  bool step(double seconds, int32_t slot = 0) {
    now_ += std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
    const bool fetched = *meter_->fetch(*device_, nullptr, slot, now_);
    if (fetched) meter_->take(slot);
    return fetched;
  }
  void count(std::vector<uint32_t> values) {
    std::copy(values.begin(), values.end(), counters_.as<uint32_t>());
  }

  std::shared_ptr<Device> device_;
  Buffer counters_;
  std::unique_ptr<ExpertLoadMeter> meter_;
  MonotonicTime now_ = MonotonicTime() + std::chrono::hours(1);
};

TEST_F(ExpertLoadTest, AddsUpAcrossTheWrapOfTheCounters) {
  EXPECT_THAT(meter_->snapshot().chosen, ElementsAre(0, 0, 0, 0));
  count({1, 2, 0xFFFFFFF0u, 4});
  ASSERT_TRUE(step(2));
  count({11, 2, 0x10u, 5});
  ASSERT_TRUE(step(2, 1));
  const ExpertLoad load = meter_->snapshot();
  EXPECT_EQ(load.experts, 2);
  EXPECT_THAT(load.layers, ElementsAre(3, 5));
  EXPECT_THAT(load.chosen, ElementsAre(11, 2, 0x100000010u, 5));
}

TEST_F(ExpertLoadTest, IsBroughtAlongEverySoManyStepsOrSeconds) {
  ASSERT_TRUE(step(2));
  EXPECT_TRUE(step(0.001)) << "the step behind it, to compare";
  int32_t steps = 1;
  while (!step(0.001)) ++steps;
  EXPECT_EQ(steps, ExpertLoadMeter::kSteps);
  EXPECT_TRUE(step(0.001));
  EXPECT_FALSE(step(0.5));
  EXPECT_TRUE(step(0.6));
}

TEST_F(ExpertLoadTest, ExpertsOfAStepAreThoseThatItChose) {
  count({5, 0, 7, 1});
  ASSERT_TRUE(step(2, 0));
  EXPECT_EQ(meter_->snapshot().sampled_steps, 0u) << "what came before it is not known apart";
  count({5, 3, 9, 2});
  ASSERT_TRUE(step(0.001, 1));
  ExpertLoad load = meter_->snapshot();
  EXPECT_EQ(load.sampled_steps, 1u);
  EXPECT_THAT(load.active, ElementsAre(1, 2));
  count({50, 30, 90, 20});  // many steps
  ASSERT_TRUE(step(2, 0));
  count({50, 30, 90, 20});  // one that chose nobody
  ASSERT_TRUE(step(0.001, 1));
  load = meter_->snapshot();
  EXPECT_EQ(load.sampled_steps, 2u);
  EXPECT_THAT(load.active, ElementsAre(1, 2));
}

TEST_F(ExpertLoadTest, AFetchThatWasLostIsNotTakenForAStep) {
  count({1, 1, 1, 1});
  ASSERT_TRUE(*meter_->fetch(*device_, nullptr, 0, now_));  // its step fails: never taken
  count({9, 9, 9, 9});
  ASSERT_TRUE(step(0.001, 1));
  const ExpertLoad load = meter_->snapshot();
  EXPECT_EQ(load.sampled_steps, 0u);
  EXPECT_THAT(load.chosen, ElementsAre(9, 9, 9, 9));
}

TEST_F(ExpertLoadTest, ImbalanceIsOfRecentSteps) {
  EXPECT_THAT(meter_->snapshot().imbalance, ElementsAre(0, 0));
  count({300, 100, 10, 10});
  ASSERT_TRUE(step(2));
  EXPECT_THAT(meter_->snapshot().imbalance, ElementsAre(1.5, 1));
  // the other expert, for many half-lives: what the first had counts no more
  std::vector<uint32_t> now = {300, 100, 10, 10};
  for (int period = 0; period < 400; ++period) {
    now[1] += 64;
    count(now);
    while (!step(0.001)) {
    }
  }
  EXPECT_NEAR(meter_->snapshot().imbalance[0], 2.0, 0.01);
}

TEST_F(ExpertLoadTest, AModelWithoutExpertsHasNone) {
  const auto none = *ExpertLoadMeter::create(*device_, {}, 2);
  EXPECT_FALSE(*none->fetch(*device_, nullptr, 0, now_));
  EXPECT_EQ(none->snapshot().experts, 0);
}

}  // namespace
}  // namespace hadal
