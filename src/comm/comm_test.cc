#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "comm/communicator.h"
#include "device/device.h"

namespace hadal {
namespace {

TEST(SoloCommunicator, IsTheIdentity) {
  auto device = Device::open("ref");
  ASSERT_TRUE(device.ok());
  SoloCommunicator solo(*device);
  EXPECT_EQ(solo.rank(), 0);
  EXPECT_EQ(solo.size(), 1);
  EXPECT_EQ(solo.native(), nullptr);
  std::vector<float> x = {1, 2, 3, 4}, out(4);
  const Mat mat{x.data(), 2, 2, 2, DType::kF32};
  EXPECT_TRUE(solo.all_reduce(nullptr, mat).ok());
  EXPECT_THAT(x, ::testing::ElementsAre(1, 2, 3, 4));
  EXPECT_TRUE(solo.all_gather_columns(nullptr, mat, Mat{out.data(), 2, 2, 2, DType::kF32}).ok());
  EXPECT_EQ(out, x);
}

TEST(SoloCommunicator, WithoutADeviceOnlyInPlace) {
  SoloCommunicator solo;
  std::vector<float> x = {1}, out(1);
  const Mat mat{x.data(), 1, 1, 1, DType::kF32};
  EXPECT_TRUE(solo.all_gather_columns(nullptr, mat, mat).ok());
  EXPECT_EQ(solo.all_gather_columns(nullptr, mat, Mat{out.data(), 1, 1, 1, DType::kF32}).code(),
            absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace hadal
