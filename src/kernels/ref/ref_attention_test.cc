// The oracle's cache and attention against the formulas, without pages, tiles or running sums.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/ref/elements.h"
#include "kernels/ref/ref_test_util.h"
#include "kernels/testing/random.h"

namespace hadal::testing {
namespace {

using ::testing::Pointwise;

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

}  // namespace
}  // namespace hadal::testing
