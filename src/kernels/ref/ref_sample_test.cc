// The oracle's sampling: known random numbers, shares of many draws, each setting by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/api/philox.h"
#include "kernels/ref/ref_test_util.h"

namespace hadal::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::Pointwise;

// Known answers of the authors' Random123 library.
TEST(Philox, KnownAnswers) {
  EXPECT_THAT(philox4x32_10(0, {0, 0, 0, 0}),
              ElementsAre(0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u));
  const uint32_t f = 0xffffffffu;
  EXPECT_THAT(philox4x32_10(~uint64_t{0}, {f, f, f, f}),
              ElementsAre(0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu));
  EXPECT_THAT(philox4x32_10(0x299f31d0a4093822u, {0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}),
              ElementsAre(0xd16cfe09u, 0x94fdcceb, 0x5001e420u, 0x24126ea1u));
}

struct Sampled {
  int32_t token = -7, rank = -7;
  float logprob = 0;
  std::vector<int32_t> top_ids = std::vector<int32_t>(4, -7);
  std::vector<float> top_logprobs = std::vector<float>(4);
};

SampleRow plain_row(float temperature) {
  SampleRow row{};
  row.temperature = temperature;
  row.top_p = 1;
  row.repetition_penalty = 1;
  row.top_logprobs = -1;
  return row;
}

Sampled draw(std::vector<float> logits, const SampleRow& row) {
  Sampled sampled;
  const Status status = open_ref()->run(
      OpKind::kSample, SampleArgs{.logits = matrix(logits, 1, static_cast<int64_t>(logits.size())),
                                  .rows = &row,
                                  .tokens = &sampled.token,
                                  .token_logprobs = &sampled.logprob,
                                  .token_ranks = &sampled.rank,
                                  .top_ids = sampled.top_ids.data(),
                                  .top_logprobs = sampled.top_logprobs.data(),
                                  .top_stride = 4});
  EXPECT_TRUE(status.ok()) << status;
  return sampled;
}

/// How often each token comes in 4000 draws, in percent.
std::vector<int> shares(const std::vector<float>& logits, SampleRow row) {
  std::vector<int> counts(logits.size());
  for (row.position = 0; row.position < 4000; ++row.position)
    ++counts[static_cast<size_t>(draw(logits, row).token)];
  for (int& count : counts) count = (count + 20) / 40;
  return counts;
}

const std::vector<float> kHalves = {std::log(0.125f), std::log(0.5f), std::log(0.25f), std::log(0.125f)};

TEST(RefSample, GreedyTakesTheLowerOfEqualOnes) { EXPECT_EQ(draw({1, 3, 3, 2}, plain_row(0)).token, 1); }

TEST(RefSample, DrawsByProbabilityAndTemperature) {
  EXPECT_THAT(shares(kHalves, plain_row(1)),
              Pointwise(::testing::Truly([](const auto& pair) {
                          return std::abs(std::get<0>(pair) - std::get<1>(pair)) <= 2;
                        }),
                        std::vector<int>{12, 50, 25, 12}));
  // temperature 0.5 squares: 1, 16, 4, 1 of 22
  EXPECT_THAT(shares(kHalves, plain_row(0.5f)),
              Pointwise(::testing::Truly([](const auto& pair) {
                          return std::abs(std::get<0>(pair) - std::get<1>(pair)) <= 2;
                        }),
                        std::vector<int>{5, 73, 18, 5}));
}

TEST(RefSample, IsAFunctionOfSeedChoiceAndPosition) {
  SampleRow row = plain_row(1);
  row.seed = 5;
  row.position = 9;
  // u is known, so the token is: candidates in the order 1, 2, 0, 3 with 1/2, 1/4, 1/8, 1/8
  const double u = sampling_uniform(5, 0, 9);
  EXPECT_EQ(draw(kHalves, row).token, u < 0.5 ? 1 : u < 0.75 ? 2 : u < 0.875 ? 0 : 3);
  EXPECT_NE(sampling_uniform(5, 0, 9), sampling_uniform(5, 1, 9));
  EXPECT_NE(sampling_uniform(5, 0, 9), sampling_uniform(5, 0, 10));
  EXPECT_NE(sampling_uniform(5, 0, 9), sampling_uniform(5 + (uint64_t{1} << 32), 0, 9));
}

TEST(RefSample, FiltersCutTheTail) {
  SampleRow row = plain_row(1);
  row.top_k = 3;  // of the two with 1/8 the lower id stays
  std::vector<int> counts = shares(kHalves, row);
  EXPECT_GT(counts[0], 10);
  EXPECT_EQ(counts[3], 0);
  row = plain_row(1);
  row.top_p = 0.5f;  // the first reaches it alone
  EXPECT_EQ(shares(kHalves, row)[1], 100);
  row.top_p = 0.6f;
  counts = shares(kHalves, row);
  EXPECT_EQ(counts[1] + counts[2], 100);
  row = plain_row(1);
  row.min_p = 0.3f;  // of the largest: 0.15
  counts = shares(kHalves, row);
  EXPECT_EQ(counts[1] + counts[2], 100);
  EXPECT_GT(counts[2], 28);
}

// top_p counts what top_k left: of {1/2, 1/4} the first has 2/3.
TEST(RefSample, TopPComesAfterTopK) {
  SampleRow row = plain_row(1);
  row.top_k = 2;
  row.top_p = 0.66f;
  EXPECT_EQ(shares(kHalves, row)[1], 100);
}

TEST(RefSample, PenaltiesBiasAndMask) {
  const int32_t prompt[] = {0}, output[] = {1, 1};
  SampleRow row = plain_row(0);
  row.prompt_ids = prompt;
  row.prompt_count = 1;
  row.output_ids = output;
  row.output_count = 2;
  row.repetition_penalty = 2;  // 4 -> 2, 3 -> 1.5, -1 -> -2
  EXPECT_EQ(draw({4, 3, 1.9f}, row).token, 0);
  EXPECT_EQ(draw({4, 3, 2.1f}, row).token, 2);
  EXPECT_EQ(draw({-1, -5, -1.9f}, row).token, 2);
  row.repetition_penalty = 1;
  row.frequency_penalty = 1;  // 3 - 2 = 1
  EXPECT_EQ(draw({0, 3, 1.1f}, row).token, 2);
  row.frequency_penalty = 0;
  row.presence_penalty = 1;  // 3 - 1 = 2, the prompt does not count
  EXPECT_EQ(draw({1.9f, 3, 1.8f}, row).token, 1);
  EXPECT_EQ(draw({2.1f, 3, 1.8f}, row).token, 0);

  const int32_t bias_id = 2;
  const float bias = 10;
  const uint32_t mask = 0b011;
  row = plain_row(0);
  row.bias_ids = &bias_id;
  row.bias_values = &bias;
  row.bias_count = 1;
  EXPECT_EQ(draw({1, 2, 0}, row).token, 2);
  row.allowed_mask = &mask;
  EXPECT_EQ(draw({1, 2, 0}, row).token, 1);
}

TEST(RefSample, LogprobsAreOfTheRawLogits) {
  SampleRow row = plain_row(0.1f);
  row.top_k = 1;
  row.top_logprobs = 3;
  const Sampled sampled = draw(kHalves, row);
  EXPECT_EQ(sampled.token, 1);
  EXPECT_EQ(sampled.rank, 1);
  EXPECT_FLOAT_EQ(sampled.logprob, std::log(0.5f));
  EXPECT_THAT(sampled.top_ids, ElementsAre(1, 2, 0, -7));
  EXPECT_FLOAT_EQ(sampled.top_logprobs[1], std::log(0.25f));
  const uint32_t only3 = 0b1000;
  row.allowed_mask = &only3;
  const Sampled forced = draw(kHalves, row);
  EXPECT_EQ(forced.token, 3);
  EXPECT_EQ(forced.rank, 4);
  EXPECT_FLOAT_EQ(forced.logprob, std::log(0.125f));
}

TEST(RefSample, RowsWithoutAnAnswerSayMinusOne) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(draw({1, nan, 2}, plain_row(0)).token, -1);
  EXPECT_EQ(draw({1, nan, 2}, plain_row(1)).token, -1);
  EXPECT_EQ(draw({-inf, -inf}, plain_row(1)).token, -1);
  const uint32_t none = 0;
  SampleRow row = plain_row(1);
  row.allowed_mask = &none;
  EXPECT_EQ(draw({1, 2}, row).token, -1);
}

}  // namespace
}  // namespace hadal::testing
