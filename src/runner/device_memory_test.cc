// The cache takes what a device has left, and nothing that a step needs later: on the stand-in for a GPU,
// with a memory of its own (device/testing/deferred_backend.h).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runner/test_models.h"
#include "runner/test_plans.h"

namespace hadal {
namespace {

using namespace hadal::testing;  // NOLINT: models and plans
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kRounding = 2 * 2 * kMiB;  // of device_runner_memory.cc: for two layers
constexpr int32_t kContext = 96;

class DeviceMemory : public ::testing::Test {
 protected:
  DeviceMemory() {
    options_ = small_options();
    options_.num_blocks = 0;
    options_.cache_bytes = 4 * kMiB;
  }
  /// On a device of its own: a device keeps its workspace.
  StatusOr<std::unique_ptr<Runner>> make(uint64_t total = 64 * kMiB) {
    static const TinyModel model = tiny_mla_model();
    device_ = open_device("deferred_cpu");
    deferred_set_memory(*device_, total);
    return make_device_runner(model.config, model.checkpoint, device_, options_);
  }
  uint64_t used() const { return device_->facts().total_bytes - device_->facts().free_bytes; }

  /// A step of so many rows that asks for all that the sampler has.
  static StepPlan greedy_for_everything(Runner& runner, int32_t rows, int32_t logprobs) {
    static const std::vector<int32_t> ids = prompt_of(kContext);
    StepPlan plan{.id = 100};
    for (int32_t i = 0; i < rows; ++i) {
      StepRow row = row_of(runner, i + 1, ids, 40, 41, TokenForm::kOutput, LogitsWanted::kSampleLast);
      auto params = std::make_shared<SamplingParams>();
      params->repetition_penalty = 1.3f;
      params->logprobs = logprobs;
      for (int32_t id = 0; id < 61; ++id) params->logit_bias.emplace_back(id, 0.5f);
      row.sampling = params;
      row.prompt = std::make_shared<const std::vector<int32_t>>(ids.begin(), ids.begin() + kContext / 2);
      row.output_ids.assign(ids.begin(), ids.begin() + kContext / 2);
      row.forbidden = {3, 60};
      plan.rows.push_back(std::move(row));
    }
    return plan;
  }

  std::shared_ptr<Device> device_;
  DeviceRunnerOptions options_;
};

TEST_F(DeviceMemory, TheCacheTakesWhatIsLeftAndStepsNeedNoMore) {
  options_.memory_bytes = 24 * kMiB;
  const auto runner = make();
  ASSERT_TRUE(runner.ok()) << runner.status();
  EXPECT_LE(used(), options_.memory_bytes);
  EXPECT_GE(used() + kRounding + kMiB, options_.memory_bytes) << "more could have been cache";
  EXPECT_GT((*runner)->info().groups[0].num_blocks, 1000);
  EXPECT_EQ((*runner)->info().max_model_len, kContext);

  const uint64_t before = used();
  const std::vector<int32_t> ids = prompt_of(48);
  StepPlan prompt{.id = 99};
  prompt.rows = {row_of(**runner, 1, ids, 0, 48, TokenForm::kPrompt, LogitsWanted::kSampleLast)};
  EXPECT_EQ(run_plan(**runner, prompt).rows.size(), 1u);
  EXPECT_EQ(used(), before) << "a step allocates nothing";
  const StepResult greedy = run_plan(**runner, greedy_for_everything(**runner, 8, 20));
  ASSERT_EQ(greedy.rows.size(), 8u);
  EXPECT_EQ(greedy.rows[7].tokens[0].top.size(), 20u);
  EXPECT_LE(used(), options_.memory_bytes) << "held back for the sampler";
  EXPECT_THAT(deferred_report(*device_).violations, IsEmpty());
}

TEST_F(DeviceMemory, AlternativesBeyondTheUsualOnesAreServed) {
  options_.memory_bytes = 24 * kMiB;
  const auto runner = make();
  ASSERT_TRUE(runner.ok()) << runner.status();
  const StepResult result = run_plan(**runner, greedy_for_everything(**runner, 8, 61));
  ASSERT_EQ(result.rows.size(), 8u);
  for (const RowResult& row : result.rows) EXPECT_EQ(row.tokens[0].top.size(), 61u);
}

TEST_F(DeviceMemory, WhatTheProfileComputedCountsForNothing) {
  options_.memory_bytes = 24 * kMiB;
  const auto runner = make();
  ASSERT_TRUE(runner.ok()) << runner.status();
  const std::vector<int32_t> ids = prompt_of(10);
  StepPlan plan{.id = 99};
  plan.rows = {row_of(**runner, 1, ids, 0, 10, TokenForm::kPrompt, LogitsWanted::kSampleLast)};
  run_plan(**runner, plan);
  const ExpertLoad load = (*runner)->expert_load();
  ASSERT_EQ(load.experts, 4);
  uint64_t sum = 0;
  for (const uint64_t chosen : load.chosen) sum += chosen;
  EXPECT_EQ(sum, 10u * 2u);
}

TEST_F(DeviceMemory, WithoutRoomForACacheTheSumIsShown) {
  options_.memory_bytes = kRounding + 100'000;
  const Status status = make().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_THAT(std::string(message_of(status)), HasSubstr("of 4 MiB of device memory weights, buffers"));
  EXPECT_THAT(std::string(message_of(status)), HasSubstr("--gpu-memory-utilization"));
}

TEST_F(DeviceMemory, AContextThatDoesNotFitIsShortenedOnlyIfItMay) {
  options_.memory_bytes = 24 * kMiB;
  const auto roomy = *make();
  const uint64_t cache = static_cast<uint64_t>(roomy->info().groups[0].num_blocks) * 2 * 4 * 20 * 4;
  const uint64_t all_else = options_.memory_bytes - cache;
  options_.memory_bytes = all_else + 10 * (2 * 4 * 20 * 4);  // nine blocks of four tokens, and the null block
  const Status status = make().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_THAT(std::string(message_of(status)), HasSubstr("max_model_len 96"));
  options_.fit_max_model_len = true;
  const auto runner = make();
  ASSERT_TRUE(runner.ok()) << runner.status();
  EXPECT_GE((*runner)->info().max_model_len, 4);
  EXPECT_LT((*runner)->info().max_model_len, 48);
  EXPECT_EQ((*runner)->info().max_model_len % 4, 0);
}

TEST_F(DeviceMemory, ACacheOrBuffersThatDoNotFitSayWhatWould) {
  options_.cache_bytes = 3 * kMiB;
  EXPECT_THAT(std::string(message_of(make(3 * kMiB).status())),
              ::testing::AllOf(HasSubstr("KV cache of"), HasSubstr("out of device memory")));
  Status status;  // a smaller cache fits, the buffers beside it do not
  do {
    options_.cache_bytes -= 16'000;
    status = make(3 * kMiB).status();
    ASSERT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << "everything fits at once";
  } while (message_of(status).find("too little") == std::string_view::npos);
  EXPECT_THAT(std::string(message_of(status)), HasSubstr("too little for steps of 48 tokens and 8 rows"));
}

}  // namespace
}  // namespace hadal
