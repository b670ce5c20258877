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
  int32_t steps = 1;
  while (!step(0.001)) ++steps;
  EXPECT_EQ(steps, ExpertLoadMeter::kSteps);
  EXPECT_FALSE(step(0.5));
  EXPECT_TRUE(step(0.6));
}

TEST_F(ExpertLoadTest, AModelWithoutExpertsHasNone) {
  const auto none = *ExpertLoadMeter::create(*device_, {}, 2);
  EXPECT_FALSE(*none->fetch(*device_, nullptr, 0, now_));
  EXPECT_EQ(none->snapshot().experts, 0);
}

}  // namespace
}  // namespace hadal
