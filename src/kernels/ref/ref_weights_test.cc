// The oracle's reading of weights against specification vectors and values by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/ref/elements.h"
#include "kernels/ref/ref_test_util.h"
#include "kernels/ref/weights.h"

namespace hadal::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<float> decoded(const WeightRef& weight, int64_t row, ref::Decode decode = ref::Decode::kExact) {
  std::vector<float> values(static_cast<size_t>(weight.cols));
  ref::decode_row(weight, row, decode, values.data());
  return values;
}

// Bytes and values of a published checkpoint (specs: V4 formats).
TEST(RefWeights, Fp8WithE8m0ScaleDecodesThePublishedVector) {
  const uint8_t values[] = {0xd8, 0x71, 0xf2, 0x79}, scale[] = {0x73};
  const WeightRef weight{.format = WeightFormat::kFp8Block,
                         .dtype = DType::kF8E4M3,
                         .rows = 1,
                         .cols = 4,
                         .data = values,
                         .scales = scale,
                         .scale_dtype = DType::kF8E8M0,
                         .block_rows = 128,
                         .block_cols = 128};
  EXPECT_THAT(decoded(weight, 0), ElementsAre(-.00390625f, .03515625f, -.0390625f, .0703125f));
}

// 3 x 5 in blocks of 2 x 2: the last block row has one row, the last block column one column.
TEST(RefWeights, Fp8RaggedEdgesTakeTheirOwnScale) {
  const std::vector<uint8_t> ones(15, e4m3_from_float(1.0f));
  const float scales[] = {1, 2, 3, 4, 5, 6};  // [2, 3]
  const WeightRef weight{.format = WeightFormat::kFp8Block,
                         .dtype = DType::kF8E4M3,
                         .rows = 3,
                         .cols = 5,
                         .data = ones.data(),
                         .scales = scales,
                         .scale_dtype = DType::kF32,
                         .block_rows = 2,
                         .block_cols = 2};
  EXPECT_THAT(decoded(weight, 0), ElementsAre(1, 1, 2, 2, 3));
  EXPECT_THAT(decoded(weight, 1), ElementsAre(1, 1, 2, 2, 3));
  EXPECT_THAT(decoded(weight, 2), ElementsAre(4, 4, 5, 5, 6));
}

TEST(RefWeights, QuantisedValuesAreRoundedForBfloat16AndDenseOnesAreNot) {
  const uint8_t value[] = {e4m3_from_float(1.0f)};
  const float fine = 1.0f + 0x1p-12f;
  const WeightRef fp8{.format = WeightFormat::kFp8Block,
                      .dtype = DType::kF8E4M3,
                      .rows = 1,
                      .cols = 1,
                      .data = value,
                      .scales = &fine,
                      .scale_dtype = DType::kF32,
                      .block_rows = 1,
                      .block_cols = 1};
  EXPECT_EQ(decoded(fp8, 0)[0], fine);
  EXPECT_EQ(decoded(fp8, 0, ref::Decode::kToBfloat16)[0], 1.0f);
  const WeightRef dense{
      .format = WeightFormat::kDense, .dtype = DType::kF32, .rows = 1, .cols = 1, .data = &fine};
  EXPECT_EQ(decoded(dense, 0, ref::Decode::kToBfloat16)[0], fine);
}

// Nibble i of word (k, c) holds output 8c + {0, 2, 4, 6, 1, 3, 5, 7}[i]; W = (q - z) * s, nothing added to z.
TEST(RefWeights, AwqUnpacksInItsOwnOrder) {
  const uint32_t word = 0x76543210;  // nibble i holds i
  const uint32_t zero = 0x11111111;
  std::vector<Float16> scales;
  for (int n = 0; n < 8; ++n) scales.push_back(float16_from_float(static_cast<float>(n + 1)));
  const WeightRef weight{.format = WeightFormat::kAwqGemm,
                         .rows = 8,
                         .cols = 1,
                         .data = &word,
                         .scales = scales.data(),
                         .scale_dtype = DType::kF16,
                         .zeros = &zero,
                         .group = 1};
  const int order[8] = {0, 2, 4, 6, 1, 3, 5, 7};
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(decoded(weight, order[i])[0], static_cast<float>((i - 1) * (order[i] + 1))) << order[i];
  }
}

TEST(RefWeights, AwqGroupsRunAlongTheInput) {
  const uint32_t words[] = {0x3, 0x5, 0x9, 0x7},
                 zeros[] = {0x1, 0x2};  // [in 4, 1], [groups 2, 1]: output 0 only
  std::vector<Float16> scales(16, float16_from_float(0));
  scales[0] = float16_from_float(0.5f);
  scales[8] = float16_from_float(2.0f);
  const WeightRef weight{.format = WeightFormat::kAwqGemm,
                         .rows = 8,
                         .cols = 4,
                         .data = words,
                         .scales = scales.data(),
                         .scale_dtype = DType::kF16,
                         .zeros = zeros,
                         .group = 2};
  EXPECT_THAT(decoded(weight, 0), ElementsAre(1, 2, 14, 10));
}

TEST(RefWeights, RefusesWhatItCannotRead) {
  auto backend = open_ref();
  const float value = 1;
  const auto error_of = [&](WeightRef weight, DType compute = DType::kF32) {
    const auto group = backend->prepare({.members = &weight, .count = 1, .compute = compute});
    return group.ok() ? std::string("accepted") : std::string(message_of(group.status()));
  };
  const WeightRef dense{
      .format = WeightFormat::kDense, .dtype = DType::kF32, .rows = 1, .cols = 1, .data = &value};
  EXPECT_EQ(error_of(dense), "accepted");
  EXPECT_THAT(error_of(dense, DType::kF16), HasSubstr("compute dtype"));
  WeightRef bad = dense;
  bad.dtype = DType::kI8;
  EXPECT_THAT(error_of(bad), HasSubstr("dense weights must be"));
  bad = dense;
  bad.format = WeightFormat::kFp8Block;
  EXPECT_THAT(error_of(bad), HasSubstr("F8_E4M3"));
  bad = dense;
  bad.format = WeightFormat::kAwqGemm;
  EXPECT_THAT(error_of(bad), HasSubstr("without scales or zeros"));
}

}  // namespace
}  // namespace hadal::testing
