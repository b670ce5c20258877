// The oracle's routing and experts against values by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/ref/elements.h"
#include "kernels/ref/ref_test_util.h"
#include "kernels/testing/host_mat.h"

namespace hadal::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatEq;

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

}  // namespace
}  // namespace hadal::testing
