// The backend that stands in for a GPU in tests: does it notice what it is to notice?
#include "device/testing/deferred_backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

namespace hadal::testing {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class DeferredBackend : public ::testing::Test {
 protected:
  DeferredBackend() : device_(*Device::open(deferred_backend("ref"))) {
    device_values_ = *device_->allocate(kBytes);
    other_values_ = *device_->allocate(kBytes);
    pinned_ = *device_->allocate(kBytes, MemoryKind::kHostPinned);
    for (int i = 0; i < kCount; ++i) pinned_.as<float>()[i] = static_cast<float>(i);
  }
  Status send() {
    return device_->copy(nullptr, device_values_.data(), pinned_.data(), kBytes, CopyKind::kHostToDevice);
  }
  Status receive() {
    return device_->copy(nullptr, pinned_.data(), other_values_.data(), kBytes, CopyKind::kDeviceToHost);
  }
  Status twice() {
    const Mat x = device_values_.mat(DType::kF32, 1, kCount);
    return device_->run(nullptr, OpKind::kAdd, AddArgs{x, x, other_values_.mat(DType::kF32, 1, kCount)});
  }
  std::vector<std::string>& violations() { return deferred_report(*device_).violations; }

  static constexpr int kCount = 4;
  static constexpr uint64_t kBytes = kCount * sizeof(float);
  std::shared_ptr<Device> device_;
  Buffer device_values_, other_values_, pinned_;
};

TEST_F(DeferredBackend, NothingRunsBeforeSomebodyWaits) {
  ASSERT_TRUE(send().ok());
  ASSERT_TRUE(twice().ok());
  ASSERT_TRUE(device_->wait(nullptr).ok());
  ASSERT_TRUE(receive().ok());
  EXPECT_EQ(deferred_queue(*device_), 1);
  EXPECT_NE(pinned_.as<float>()[3], 6.0f);
  ASSERT_TRUE(device_->wait(nullptr).ok());
  EXPECT_EQ(pinned_.as<float>()[3], 6.0f);
  EXPECT_THAT(violations(), IsEmpty());
}

TEST_F(DeferredBackend, AnEventIsPassedWhenWhatWasBeforeItHasRun) {
  auto before = *device_->create_event(), after = *device_->create_event();
  ASSERT_TRUE(device_->record(nullptr, before).ok());
  ASSERT_TRUE(send().ok());
  ASSERT_TRUE(device_->record(nullptr, after).ok());
  ASSERT_TRUE(twice().ok());
  ASSERT_TRUE(device_->wait(after).ok());
  EXPECT_EQ(deferred_queue(*device_), 1) << "what comes behind it has not run";
  EXPECT_TRUE(*device_->passed(after));
  EXPECT_GE(*device_->elapsed(before, after), 0.0);
  ASSERT_TRUE(device_->wait(nullptr).ok());
}

TEST_F(DeferredBackend, AnEarlyWriteToAPinnedSourceIsNoticed) {
  ASSERT_TRUE(send().ok());
  pinned_.as<float>()[0] = 9;
  ASSERT_TRUE(device_->wait(nullptr).ok());
  EXPECT_THAT(violations(), Contains(HasSubstr("changed before their copy")));
}

TEST_F(DeferredBackend, AnEarlyWriteToAPinnedTargetIsNoticed) {
  ASSERT_TRUE(receive().ok());
  pinned_.as<float>()[0] = 9;
  ASSERT_TRUE(device_->wait(nullptr).ok());
  EXPECT_THAT(violations(), Contains(HasSubstr("written before a copy from")));
}

TEST_F(DeferredBackend, PinnedBytesAreGarbageAfterTheirCopy) {
  ASSERT_TRUE(send().ok());
  EXPECT_EQ(pinned_.as<float>()[3], 3.0f);
  ASSERT_TRUE(device_->wait(nullptr).ok());
  EXPECT_NE(pinned_.as<float>()[3], 3.0f);
}

TEST_F(DeferredBackend, AGraphRunsWithTheValuesOfItsReplay) {
  StatusOr<Graph> graph = device_->capture(nullptr, [&] { return twice(); });
  ASSERT_TRUE(graph.ok()) << graph.status();
  for (const float value : {5.0f, 7.0f}) {
    pinned_.as<float>()[1] = value;
    ASSERT_TRUE(send().ok());
    ASSERT_TRUE(device_->replay(nullptr, *graph).ok());
    float result[kCount];
    ASSERT_TRUE(device_->copy(nullptr, result, other_values_.data(), kBytes, CopyKind::kDeviceToHost).ok());
    EXPECT_EQ(result[1], 2 * value);
  }
  EXPECT_EQ(deferred_report(*device_).replays, 2);
  EXPECT_THAT(violations(), IsEmpty());
}

TEST_F(DeferredBackend, ACaptureTakesNoCopiesAndNoWaits) {
  EXPECT_FALSE(device_->capture(nullptr, [&] { return send(); }).ok());
  EXPECT_FALSE(device_->capture(nullptr, [&] { return device_->wait(nullptr); }).ok());
}

TEST_F(DeferredBackend, MemoryOfTheHostInADescriptorIsNoticed) {
  const std::vector<int32_t> rows = {0};
  ASSERT_TRUE(device_
                  ->run(nullptr, OpKind::kGather,
                        GatherArgs{.x = device_values_.mat(DType::kF32, 1, kCount),
                                   .rows = rows.data(),
                                   .count = 1,
                                   .out = other_values_.mat(DType::kF32, 1, kCount)})
                  .ok());
  ASSERT_TRUE(device_->wait(nullptr).ok());
  EXPECT_THAT(violations(), Contains(HasSubstr("rows of gather")));
}

TEST_F(DeferredBackend, AReleaseWithSomethingQueuedIsNoticed) {
  ASSERT_TRUE(send().ok());
  { const Buffer freed = *device_->allocate(64); }
  EXPECT_THAT(violations(), Contains(HasSubstr("released")));
  ASSERT_TRUE(device_->wait(nullptr).ok());
}

TEST_F(DeferredBackend, AnErrorOfAnOpComesBackFromTheWait) {
  const Mat x = device_values_.mat(DType::kF32, 1, kCount);
  ASSERT_TRUE(device_->run(nullptr, OpKind::kAdd, AddArgs{x, x, other_values_.mat(DType::kF32, 1, 2)}).ok());
  EXPECT_FALSE(device_->wait(nullptr).ok());
}

using DeferredBackendDeathTest = DeferredBackend;
TEST_F(DeferredBackendDeathTest, TheHostCannotReadDeviceMemory) {
  EXPECT_DEATH(std::fprintf(stderr, "%f", static_cast<double>(*device_values_.as<volatile float>())), "");
}

}  // namespace
}  // namespace hadal::testing
