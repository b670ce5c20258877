// Beside this test lies a libhadal_cuda.so that finds no GPU (CMakeLists.txt).
#include "server/device_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/log.h"

namespace hadal {
namespace {

using ::testing::HasSubstr;

constexpr const char* kReason = "no GPU is visible";

TEST(DeviceChoice, AutoFallsBackToTheCpuAndSaysWhyInOneLine) {
  const LogLevel before = log_level();
  set_log_level(LogLevel::kInfo);
  ::testing::internal::CaptureStderr();
  const auto device = choose_device({});
  const std::string said = ::testing::internal::GetCapturedStderr();
  set_log_level(before);
  ASSERT_TRUE(device.ok()) << message_of(device.status());
  EXPECT_EQ((*device)->backend_name(), "cpu");
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
  EXPECT_THAT(said, HasSubstr("no GPU is used: "));
  EXPECT_THAT(said, HasSubstr(kReason));
}

TEST(DeviceChoice, ADeviceThatIsNamedIsNotReplaced) {
  const auto device = choose_device({.name = "cuda"});
  ASSERT_FALSE(device.ok());
  EXPECT_THAT(std::string(message_of(device.status())), HasSubstr(kReason));
}

TEST(DeviceChoice, TheCpuIsTakenWithoutLookingForAGpu) {
  ::testing::internal::CaptureStderr();
  const auto device = choose_device({.name = "cpu"});
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  ASSERT_TRUE(device.ok());
  EXPECT_EQ((*device)->backend_name(), "cpu");
}

}  // namespace
}  // namespace hadal
