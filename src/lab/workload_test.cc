#include "lab/workload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace hadal {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

size_t common_prefix(const std::vector<int32_t>& a, const std::vector<int32_t>& b) {
  const auto end = std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first;
  return static_cast<size_t>(end - a.begin());
}

// ---- arrivals ----

TEST(Arrivals, MeanRateAndSpreadAreAsAsked) {
  for (const double burstiness : {0.25, 1.0, 4.0}) {
    constexpr size_t kCount = 40'000;
    const auto times = arrival_times({.rate = 50.0, .burstiness = burstiness, .seed = 3}, kCount);
    EXPECT_EQ(times.front(), 0.0);
    EXPECT_TRUE(std::is_sorted(times.begin(), times.end()));
    const double mean = times.back() / (kCount - 1);
    double variance = 0.0;
    for (size_t i = 1; i < kCount; ++i)
      variance += std::pow(times[i] - times[i - 1] - mean, 2) / (kCount - 1);
    EXPECT_NEAR(mean, 1.0 / 50.0, 0.06 / 50.0);  // six standard errors of the widest
    EXPECT_NEAR(variance / (mean * mean), 1.0 / burstiness, 0.15 / burstiness);
  }
}

TEST(Arrivals, TheSeedRepeatsThem) {
  const ArrivalOptions options{.rate = 2.0, .seed = 5};
  EXPECT_EQ(arrival_times(options, 100), arrival_times(options, 100));
  EXPECT_NE(arrival_times(options, 100), arrival_times({.rate = 2.0, .seed = 6}, 100));
}

TEST(Arrivals, FixedOnesAndAllAtOnce) {
  EXPECT_THAT(arrival_times({.kind = ArrivalKind::kFixed, .rate = 4.0}, 4),
              ElementsAre(0.0, 0.25, 0.5, 0.75));
  EXPECT_THAT(arrival_times({}, 3), Each(0.0));
  EXPECT_TRUE(arrival_times({.rate = 1.0}, 0).empty());
}

// ---- random lengths ----

TEST(RandomWorkload, LengthsLieInTheirRangeAndTheSeedRepeatsThem) {
  const WorkloadOptions options{
      .num_prompts = 2000, .random = {.input = 100, .output = 10, .range_ratio = 0.5}, .tokens = {.seed = 7}};
  const Workload one = *random_workload(options), again = *random_workload(options);
  int32_t least = 1000, most = 0;
  for (size_t i = 0; i < one.requests.size(); ++i) {
    EXPECT_EQ(one.requests[i].input_tokens, again.requests[i].input_tokens);
    least = std::min(least, one.requests[i].input_tokens);
    most = std::max(most, one.requests[i].input_tokens);
    EXPECT_GE(one.requests[i].output_tokens, 5);
    EXPECT_LE(one.requests[i].output_tokens, 15);
  }
  EXPECT_EQ(least, 50);
  EXPECT_EQ(most, 150);
}

TEST(RandomWorkload, PromptsDifferAndStayInTheVocabulary) {
  const Workload workload =
      *random_workload({.num_prompts = 2, .random = {.input = 5000}, .tokens = {.seed = 7, .vocab = 10}});
  const auto first = prompt_tokens(workload.requests[0], workload.tokens);
  EXPECT_EQ(first.size(), 5000u);
  EXPECT_EQ(*std::min_element(first.begin(), first.end()), kFirstRandomToken);
  EXPECT_EQ(*std::max_element(first.begin(), first.end()), 9);
  EXPECT_LT(common_prefix(first, prompt_tokens(workload.requests[1], workload.tokens)), 20u);
}

TEST(RandomWorkload, RefusesWhatCannotBe) {
  const WorkloadOptions good{.num_prompts = 1};
  EXPECT_TRUE(random_workload(good).ok());
  const auto refused = [&](auto change) {
    WorkloadOptions options = good;
    change(options);
    return !random_workload(options).ok();
  };
  EXPECT_TRUE(refused([](auto& o) { o.num_prompts = -1; }));
  EXPECT_TRUE(refused([](auto& o) { o.random.input = 0; }));
  EXPECT_TRUE(refused([](auto& o) { o.random.range_ratio = 1.0; }));
  EXPECT_TRUE(refused([](auto& o) { o.arrivals.rate = 0.0; }));
  EXPECT_TRUE(refused([](auto& o) { o.arrivals.burstiness = std::nan(""); }));
  EXPECT_TRUE(refused([](auto& o) { o.arrivals.kind = ArrivalKind::kRecorded; }));
  EXPECT_TRUE(refused([](auto& o) { o.tokens.vocab = kFirstRandomToken; }));
  EXPECT_TRUE(refused([](auto& o) { o.tokens.length_scale = 0.0; }));
  EXPECT_TRUE(refused([](auto& o) { o.limits.max_model_len = 1; }));
}

// ---- traces ----

Trace three_requests() {
  return {.format = TraceFormat::kMooncake,
          .requests = {{.arrival_s = 0.0, .input_tokens = 1500, .output_tokens = 40, .hash_ids = {1, 2, 3}},
                       {.arrival_s = 3.0, .input_tokens = 2000, .output_tokens = 0, .hash_ids = {1, 2, 8, 9}},
                       {.arrival_s = 4.0, .input_tokens = 1300, .output_tokens = 20, .hash_ids = {1, 2}}}};
}
WorkloadOptions recorded() { return {.arrivals = {.kind = ArrivalKind::kRecorded}, .tokens = {.seed = 1}}; }

TEST(TraceWorkload, EqualIdsShareTokensAndOthersDoNot) {
  const Workload workload = *trace_workload(three_requests(), recorded());
  std::vector<std::vector<int32_t>> prompts;
  for (const PlannedRequest& request : workload.requests) {
    prompts.push_back(prompt_tokens(request, workload.tokens));
    EXPECT_EQ(prompts.back().size(), static_cast<size_t>(request.input_tokens));
  }
  EXPECT_GE(common_prefix(prompts[0], prompts[1]), 1024u);
  EXPECT_LT(common_prefix(prompts[0], prompts[1]), 1034u);
  EXPECT_GE(common_prefix(prompts[0], prompts[2]),
            1024u);  // the third has tokens of its own behind its two ids
  EXPECT_LT(common_prefix(prompts[0], prompts[2]), 1034u);
  EXPECT_LT(common_prefix(prompts[1], prompts[2]), 1034u);
  EXPECT_EQ(prompts[1], prompt_tokens(workload.requests[1], workload.tokens));
}

TEST(TraceWorkload, ScalesTimesLengthsAndSharedPrefixes) {
  WorkloadOptions options = recorded();
  options.time_scale = 0.5;
  options.tokens.length_scale = 0.1;
  const Workload workload = *trace_workload(three_requests(), options);
  EXPECT_DOUBLE_EQ(workload.requests[1].arrival_s, 1.5);
  EXPECT_EQ(workload.requests[0].input_tokens, 150);
  EXPECT_EQ(workload.requests[0].output_tokens, 4);
  EXPECT_EQ(workload.requests[1].output_tokens, 1);  // no answer is empty
  const size_t shared = common_prefix(prompt_tokens(workload.requests[0], workload.tokens),
                                      prompt_tokens(workload.requests[1], workload.tokens));
  EXPECT_GE(shared, 102u);  // 2 blocks of 51.2
  EXPECT_LT(shared, 108u);
}

TEST(TraceWorkload, LimitsCutTheEndAndAreCounted) {
  WorkloadOptions options = recorded();
  options.limits = {.max_input = 1400, .max_output = 30, .max_model_len = 1320};
  const Workload workload = *trace_workload(three_requests(), options);
  EXPECT_EQ(workload.requests[0].output_tokens, 30);
  EXPECT_EQ(workload.requests[0].input_tokens, 1290);
  EXPECT_EQ(workload.requests[1].input_tokens, 1319);
  EXPECT_EQ(workload.requests[2].input_tokens, 1300);
  EXPECT_EQ(workload.shortened, 2);
}

TEST(TraceWorkload, TakesTheFirstRequestsAndOtherArrivals) {
  WorkloadOptions options{.num_prompts = 2, .arrivals = {.kind = ArrivalKind::kFixed, .rate = 10.0}};
  const Workload workload = *trace_workload(three_requests(), options);
  ASSERT_EQ(workload.requests.size(), 2u);
  EXPECT_DOUBLE_EQ(workload.requests[1].arrival_s, 0.1);
  options.num_prompts = 10;
  EXPECT_EQ(trace_workload(three_requests(), options)->requests.size(), 3u);
}

}  // namespace
}  // namespace hadal
