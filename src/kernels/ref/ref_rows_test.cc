// The oracle's row ops against values by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/ref/ref_test_util.h"
#include "kernels/testing/host_mat.h"

namespace hadal::testing {
namespace {

using ::testing::ElementsAre;

TEST(RefRows, LinearWithBiasAndAccumulation) {
  auto backend = open_ref();
  const float w[] = {1, 2, 3, 4, 5, 6}, bias[] = {10, 20};
  const WeightRef weight{.format = WeightFormat::kDense,
                         .dtype = DType::kF32,
                         .rows = 2,
                         .cols = 3,
                         .data = w,
                         .bias = bias,
                         .bias_dtype = DType::kF32};
  auto group = backend->prepare({.members = &weight, .count = 1});
  ASSERT_TRUE(group.ok());
  std::vector<float> x = {1, 0, 1, 0, 1, 0}, out = {100, 100, 100, 100};
  LinearArgs args{.x = matrix(x, 2, 3), .weight = group->member(0), .out = matrix(out, 2, 2)};
  ASSERT_TRUE(backend->run(OpKind::kLinear, args).ok());
  EXPECT_THAT(out, ElementsAre(14, 30, 12, 25));
  args.accumulate = 1;
  ASSERT_TRUE(backend->run(OpKind::kLinear, args).ok());
  EXPECT_THAT(out, ElementsAre(28, 60, 24, 50));
}

TEST(RefRows, RmsNormKeepsTheResidualInItsDtype) {
  auto backend = open_ref();
  HostMat x(DType::kF32, 1, 2), residual(DType::kBF16, 1, 2), out(DType::kF32, 1, 2);
  x.put(0, 0, 0x1p-12f);  // lost in the residual's rounding
  x.put(0, 1, 3);
  residual.put(0, 0, 3);
  residual.put(0, 1, 1);
  const float weight[] = {1, 10};
  const RmsNormArgs args{x.mat(), residual.mat(), weight, DType::kF32, 0.0f, out.mat()};
  ASSERT_TRUE(backend->run(OpKind::kRmsNorm, args).ok());
  EXPECT_EQ(residual.at(0, 0), 3);
  EXPECT_EQ(residual.at(0, 1), 4);
  EXPECT_FLOAT_EQ(out.at(0, 0), 3 / std::sqrt(12.5f));
  EXPECT_FLOAT_EQ(out.at(0, 1), 40 / std::sqrt(12.5f));
}

TEST(RefRows, RopeTurnsPairsOfBothLayouts) {
  auto backend = open_ref();
  // position 1: the first pair by 90 degrees, the second by 180
  const std::vector<float> table = {1, 1, 0, 0, 0, -1, 1, 0};
  const int32_t position = 1;
  std::vector<float> x = {9, 1, 2, 3, 4};
  RopeArgs args{matrix(x, 1, 5), 1, 4, 1, 4, RopeLayout::kInterleaved, &position, table.data()};
  ASSERT_TRUE(backend->run(OpKind::kRope, args).ok());
  EXPECT_THAT(x, ElementsAre(9, -2, 1, -3, -4));
  x = {9, 1, 2, 3, 4};
  args.layout = RopeLayout::kHalfSplit;  // pairs (1, 3) and (2, 4)
  ASSERT_TRUE(backend->run(OpKind::kRope, args).ok());
  EXPECT_THAT(x, ElementsAre(9, -3, -2, 1, -4));
}

}  // namespace
}  // namespace hadal::testing
