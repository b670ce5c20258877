// The oracle against values computed by hand, specification vectors and direct formulas. What it answers is
// what all other backends are held to.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/api/philox.h"
#include "kernels/ref/elements.h"
#include "kernels/ref/ref_backend.h"
#include "kernels/ref/weights.h"
#include "kernels/testing/host_mat.h"
#include "kernels/testing/test_backend.h"

namespace hadal::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatEq;
using ::testing::HasSubstr;
using ::testing::Pointwise;

std::unique_ptr<TestBackend> open_ref() {
  auto backend = TestBackend::open(ref_backend());
  EXPECT_TRUE(backend.ok());
  return std::move(*backend);
}

Mat matrix(std::vector<float>& values, int64_t rows, int64_t cols) {
  return {values.data(), rows, cols, cols, DType::kF32};
}

std::vector<float> decoded(const WeightRef& weight, int64_t row, ref::Decode decode = ref::Decode::kExact) {
  std::vector<float> values(static_cast<size_t>(weight.cols));
  ref::decode_row(weight, row, decode, values.data());
  return values;
}

// ---- weights
// --------------------------------------------------------------------------------------------------------

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

// ---- rows
// -----------------------------------------------------------------------------------------------------------

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

// ---- cache and attention
// --------------------------------------------------------------------------------------------

TEST(RefCache, Fp8RecordsHoldTheQuotientAndSaturate) {
  auto backend = open_ref();
  std::vector<float> latent = {1, 5000}, rope = {3};
  std::vector<uint8_t> bytes(2 * 8, 0xEE);
  const CacheLayer cache{bytes.data(), 8, 8, 1, DType::kF8E4M3, DType::kBF16, 2.0f, 1.0f};
  const int32_t slot = 1;
  ASSERT_TRUE(
      backend
          ->run(OpKind::kWriteKvMla, WriteKvMlaArgs{matrix(latent, 1, 2), matrix(rope, 1, 1), cache, &slot})
          .ok());
  EXPECT_EQ(bytes[7], 0xEE);
  EXPECT_EQ(e4m3_to_float(bytes[8]), 0.5f);
  EXPECT_EQ(e4m3_to_float(bytes[9]), 448.0f);
  EXPECT_EQ(ref::load(DType::kBF16, &bytes[10], 0), 3.0f);
  EXPECT_EQ(bytes[12], 0xEE);
}

/// One sequence over blocks of 2 tokens in the order 3, 1, 2.
struct TinyBatch {
  TinyBatch(int32_t rows, int32_t context, TokenForm token_form) : start{0, rows}, length{context} {
    form[0] = static_cast<uint8_t>(token_form);
    batch.num_tokens = rows;
    batch.num_segments = 1;
    batch.num_output_segments = token_form == TokenForm::kOutput ? 1 : 0;
    batch.max_query_len = rows;
    batch.max_context = context;
    batch.query_start = start;
    batch.context_len = length;
    batch.form = form;
    group.block_table = table;
    group.table_stride = 3;
  }
  int64_t slot(int64_t position) const { return table[position / 2] * 2 + position % 2; }
  int32_t start[2], length[1], table[3] = {3, 1, 2};
  uint8_t form[1];
  BatchMeta batch;
  GroupMeta group;
};

TEST(RefAttention, GqaIsSoftmaxOverTheWindow) {
  auto backend = open_ref();
  Random random(1);
  const int32_t heads = 4, kv_heads = 2, dim = 3, context = 6;
  std::vector<float> cache_values(8 * 12, std::numeric_limits<float>::quiet_NaN());
  for (int i = 24; i < 96; ++i) cache_values[i] = random.normal();
  const CacheLayer cache{cache_values.data(), 2 * 48, 48, 2, DType::kF32, DType::kF32, 1, 1};
  TinyBatch tiny(2, context, TokenForm::kPrompt);
  std::vector<float> q(2 * 12), out(2 * 12);
  for (float& value : q) value = random.normal();
  for (int window : {0, 3, 1}) {
    const Status status = backend->run(OpKind::kGqaAttention, GqaAttentionArgs{.q = matrix(q, 2, 12),
                                                                               .heads = heads,
                                                                               .kv_heads = kv_heads,
                                                                               .head_dim = dim,
                                                                               .window = window,
                                                                               .cache = cache,
                                                                               .batch = &tiny.batch,
                                                                               .group = &tiny.group,
                                                                               .scale = 0.7f,
                                                                               .out = matrix(out, 2, 12)});
    ASSERT_TRUE(status.ok()) << status;
    for (int row = 0; row < 2; ++row) {
      for (int head = 0; head < heads; ++head) {
        const int position = context - 2 + row;
        double sum = 0, expected[3] = {};
        for (int j = window > 0 ? std::max(0, position - window + 1) : 0; j <= position; ++j) {
          const float* key = &cache_values[tiny.slot(j) * 12 + head / 2 * dim];
          double score = 0;
          for (int i = 0; i < dim; ++i) score += q[row * 12 + head * dim + i] * key[i];
          const double p = std::exp(0.7 * score);
          sum += p;
          for (int i = 0; i < dim; ++i) expected[i] += p * key[kv_heads * dim + i];
        }
        for (int i = 0; i < dim; ++i) {
          EXPECT_NEAR(out[row * 12 + head * dim + i], expected[i] / sum, 1e-6) << window;
        }
      }
    }
  }
}

/// 2 heads, nope 2, rope 2, v 3, latent 4 over a context of 5.
class RefMla : public ::testing::Test {
 protected:
  RefMla() : cache_(8 * 6, std::numeric_limits<float>::quiet_NaN()) {
    Random random(2);
    for (float* begin = w_; begin != w_ + 40; ++begin) *begin = random.normal();
    for (size_t i = 12; i < cache_.size(); ++i) cache_[i] = random.normal();
    for (float& value : q_) value = random.normal();
  }
  std::vector<float> run(TokenForm form) {
    WeightRef members[kMlaMembers] = {};
    members[kMlaKvB] = {
        .format = WeightFormat::kDense, .dtype = DType::kF32, .rows = 10, .cols = 4, .data = w_};
    auto group =
        backend_->prepare({.kind = GroupKind::kMla, .members = members, .count = kMlaMembers, .mla = shape_});
    EXPECT_TRUE(group.ok());
    TinyBatch tiny(2, 5, form);
    std::vector<float> out(2 * 6);
    const CacheLayer cache{cache_.data(), 2 * 24, 24, 2, DType::kF32, DType::kF32, 1, 1};
    const Status status =
        backend_->run(OpKind::kMlaAttention, MlaAttentionArgs{.q = matrix(q_, 2, 8),
                                                              .kv_b = group->member(kMlaKvB),
                                                              .shape = shape_,
                                                              .cache = cache,
                                                              .batch = &tiny.batch,
                                                              .group = &tiny.group,
                                                              .scale = 0.5f,
                                                              .out = matrix(out, 2, 6)});
    EXPECT_TRUE(status.ok()) << status;
    return out;
  }
  /// The formula of the expanded form, written out.
  std::vector<float> expected() const {
    TinyBatch tiny(2, 5, TokenForm::kPrompt);
    std::vector<float> out;
    for (int row = 0; row < 2; ++row) {
      for (int head = 0; head < 2; ++head) {
        double sum = 0, o[3] = {};
        for (int j = 0; j <= 3 + row; ++j) {
          const float* record = &cache_[tiny.slot(j) * 6];
          double kv[5] = {};
          for (int i = 0; i < 5; ++i) {
            for (int k = 0; k < 4; ++k) kv[i] += w_[(head * 5 + i) * 4 + k] * record[k];
          }
          const float* q = &q_[row * 8 + head * 4];
          const double p =
              std::exp(0.5 * (q[0] * kv[0] + q[1] * kv[1] + q[2] * record[4] + q[3] * record[5]));
          sum += p;
          for (int i = 0; i < 3; ++i) o[i] += p * kv[2 + i];
        }
        for (double value : o) out.push_back(static_cast<float>(value / sum));
      }
    }
    return out;
  }
  std::unique_ptr<TestBackend> backend_ = open_ref();
  MlaShape shape_{2, 2, 2, 3, 4};
  float w_[40];
  std::vector<float> cache_, q_ = std::vector<float>(16);
};

TEST_F(RefMla, ExpandedIsTheFormula) {
  EXPECT_THAT(run(TokenForm::kPrompt), Pointwise(::testing::FloatNear(2e-6f), expected()));
}
TEST_F(RefMla, AbsorbedIsTheSameMathematics) {
  EXPECT_THAT(run(TokenForm::kOutput), Pointwise(::testing::FloatNear(2e-6f), expected()));
}

// ---- routing
// --------------------------------------------------------------------------------------------------------

struct Routed {
  std::vector<int32_t> ids;
  std::vector<float> weights;
};

Routed route(std::vector<float> logits, RouteExpertsArgs args) {
  Routed routed{std::vector<int32_t>(args.top_k), std::vector<float>(args.top_k)};
  args.logits = matrix(logits, 1, static_cast<int64_t>(logits.size()));
  args.ids = routed.ids.data();
  args.weights = routed.weights.data();
  const Status status = open_ref()->run(OpKind::kRouteExperts, args);
  EXPECT_TRUE(status.ok()) << status;
  return routed;
}

TEST(RefRoute, SoftmaxGreedyScalesWhatItDoesNotNormalise) {
  const std::vector<float> logits = {std::log(1.0f), std::log(4.0f), std::log(3.0f), std::log(2.0f)};
  RouteExpertsArgs args{.top_k = 2, .routed_scaling_factor = 16};
  Routed routed = route(logits, args);
  EXPECT_THAT(routed.ids, ElementsAre(1, 2));
  EXPECT_THAT(routed.weights, ElementsAre(FloatEq(6.4f), FloatEq(4.8f)));
  args.norm_topk_prob = 1;
  routed = route(logits, args);
  EXPECT_THAT(routed.weights, ElementsAre(FloatEq(4.0f / 7), FloatEq(3.0f / 7)));
}

TEST(RefRoute, TiesGoToTheLowerId) {
  EXPECT_THAT(route({1, 2, 2, 1}, {.top_k = 3}).ids, ElementsAre(1, 2, 0));
}

// Group scores are maxima: group 1 (5) and group 2 (4) stay; expert 0 (3) is out although its score beats
// expert 3's.
TEST(RefRoute, GroupLimitedGreedyTakesTheBestGroupsByTheirMaximum) {
  const RouteExpertsArgs args{
      .method = TopkMethod::kGroupLimitedGreedy, .top_k = 3, .n_group = 3, .topk_group = 2};
  EXPECT_THAT(route({3, 3, 5, 1, 4, 0}, args).ids, ElementsAre(2, 4, 3));
}

TEST(RefRoute, NoauxTcChoosesWithBiasAndWeighsWithout) {
  // sigmoid(0) = 0.5 everywhere: the choice is the bias. Sums of the two best: 0.9, 0.8, 1.0 above 1: groups
  // 2 and 0.
  const float bias[] = {0.9f, 0.0f, 0.4f, 0.4f, 0.2f, 0.8f};
  RouteExpertsArgs args{.bias = bias,
                        .scoring = ScoringFunc::kSigmoid,
                        .method = TopkMethod::kNoauxTc,
                        .top_k = 3,
                        .n_group = 3,
                        .topk_group = 2,
                        .norm_topk_prob = 1,
                        .routed_scaling_factor = 2.5f};
  const Routed routed = route({0, 0, 0, 0, 0, 0}, args);
  EXPECT_THAT(routed.ids, ElementsAre(0, 5, 4));
  EXPECT_THAT(routed.weights, ElementsAre(FloatEq(2.5f / 3), FloatEq(2.5f / 3), FloatEq(2.5f / 3)));
}

// A mask of 0.0 instead of -inf would choose a masked expert here, whose choice score is above the kept
// ones'.
TEST(RefRoute, MaskedExpertsLoseEvenToNegativeChoices) {
  const float bias[] = {-9, -9, -5, -5};
  const RouteExpertsArgs args{.bias = bias,
                              .scoring = ScoringFunc::kSigmoid,
                              .method = TopkMethod::kNoauxTc,
                              .top_k = 2,
                              .n_group = 2,
                              .topk_group = 1,
                              .routed_scaling_factor = 1};
  EXPECT_THAT(route({0, 0, 0, 1}, args).ids, ElementsAre(3, 2));
}

TEST(RefRoute, ImpossibleShapesAreErrors) {
  std::vector<float> logits(4);
  RouteExpertsArgs args{.logits = matrix(logits, 1, 4), .top_k = 5};
  EXPECT_FALSE(open_ref()->run(OpKind::kRouteExperts, args).ok());
  args.top_k = 3;
  args.method = TopkMethod::kNoauxTc;
  args.n_group = 2;
  args.topk_group = 1;  // two experts left, three asked for
  EXPECT_FALSE(open_ref()->run(OpKind::kRouteExperts, args).ok());
}

TEST(RefMoe, WeighsExpertsAndRoundsTheHiddenProduct) {
  auto backend = open_ref();
  const float one = 1, three = 3;
  const auto dense = [](const float* value) {
    return WeightRef{
        .format = WeightFormat::kDense, .dtype = DType::kF32, .rows = 1, .cols = 1, .data = value};
  };
  const WeightRef members[] = {dense(&one), dense(&one),   dense(&one),
                               dense(&one), dense(&three), dense(&one)};
  auto group = backend->prepare(
      {.kind = GroupKind::kExperts, .members = members, .count = 6, .compute = DType::kBF16});
  ASSERT_TRUE(group.ok());
  HostMat x(DType::kBF16, 1, 1), out(DType::kF32, 1, 1);
  x.put(0, 0, 1);
  const int32_t ids[] = {1, 0};
  const float weights[] = {0.25f, 2.0f};
  ASSERT_TRUE(backend
                  ->run(OpKind::kMoeExperts, MoeExpertsArgs{.x = x.mat(),
                                                            .experts = group->get(),
                                                            .num_experts = 2,
                                                            .intermediate = 1,
                                                            .ids = ids,
                                                            .weights = weights,
                                                            .top_k = 2,
                                                            .out = out.mat()})
                  .ok());
  const float silu1 = 1 / (1 + std::exp(-1.0f));
  const float expected =
      0.25f * ref::round_to(DType::kBF16, 3 * silu1) + 2.0f * ref::round_to(DType::kBF16, silu1);
  EXPECT_FLOAT_EQ(out.at(0, 0), expected);
}

// ---- sampling
// -------------------------------------------------------------------------------------------------------

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
