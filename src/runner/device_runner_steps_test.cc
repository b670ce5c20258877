// Steps in flight, tokens that stay on the device, padding and graphs: whatever the way, the same tokens. The
// backend that stands in for a GPU (device/testing/deferred_backend.h) runs nothing before it must and
// watches what is touched too early.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runner/test_driver.h"
#include "runner/step_graphs.h"
#include "runner/test_models.h"

namespace hadal {
namespace {

using namespace hadal::testing;  // NOLINT: models, plans and the driver
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

SamplingParams random_params(uint64_t seed, float temperature = 1.5f) {
  SamplingParams params;
  params.seed = seed;
  params.temperature = temperature;
  return params;
}

/// All that a row can ask for, in sequences that join, rest and leave at different steps.
std::vector<DrivenSequence> mixed_sequences() {
  std::vector<DrivenSequence> all(7);
  all[0].params.temperature = 0;
  all[0].params.logprobs = 2;
  all[0].outputs = 14;
  all[0].by_ids = true;
  all[1] = {.prompt = 7, .joins = 1, .outputs = 12, .chunked = true, .params = random_params(1)};
  all[1].params.presence_penalty = 3.0f;
  all[1].params.frequency_penalty = 2.0f;
  all[1].params.repetition_penalty = 1.8f;
  all[2] = {.prompt = 6, .joins = 3, .outputs = 9, .rests = 3, .params = random_params(2)};
  all[2].params.frequency_penalty = 4.0f;
  all[3] = {.prompt = 9, .joins = 5, .outputs = 6, .prompt_logits = true, .params = random_params(3)};
  all[4] = {.prompt = 3, .joins = 5, .outputs = 10, .forbids = true, .params = random_params(4, 3.0f)};
  all[4].params.logprobs = 0;
  all[5] = {.prompt = 4, .joins = 6, .outputs = 4, .rests = 2, .params = random_params(5)};
  all[5].params.logit_bias = {{7, 4.0f}, {33, 3.0f}};
  all[6] = {.prompt = 2, .joins = 12, .outputs = 5, .params = random_params(6)};
  all[6].params.top_k = 5;
  return all;
}

DeviceRunnerOptions roomy_options() {
  DeviceRunnerOptions options = small_options();
  options.num_blocks = 80;
  return options;
}

/// Model by name, "mla" or "window"; "ref" or "cpu".
class RunnerSteps : public ::testing::TestWithParam<std::string> {
 protected:
  std::string model_name() const { return GetParam().substr(0, GetParam().find('/')); }
  std::string plain() const { return GetParam().substr(GetParam().find('/') + 1); }
  std::string deferred() const { return "deferred_" + plain(); }

  std::unique_ptr<Runner> make(const std::string& device, const DeviceRunnerOptions& options) {
    static const TinyModel mla = tiny_mla_model(), window = tiny_window_model();
    const TinyModel& model = model_name() == "mla" ? mla : window;
    device_ = open_device(device);
    auto runner = make_device_runner(model.config, model.checkpoint, device_, options);
    EXPECT_TRUE(runner.ok()) << runner.status();
    return std::move(runner).value();
  }
  std::vector<StepDriver::Life> drive(const std::string& device, const DeviceRunnerOptions& options,
                                      Way way) {
    const auto runner = make(device, options);
    return StepDriver(*runner, mixed_sequences(), way).run();
  }
  /// Step by step with ids alone.
  const std::vector<StepDriver::Life>& expected() {
    if (expected_.empty()) expected_ = drive(plain(), roomy_options(), {});
    return expected_;
  }
  DeferredReport& report() { return deferred_report(*device_); }

  std::shared_ptr<Device> device_;  // of the last runner
  std::vector<StepDriver::Life> expected_;
};

TEST_P(RunnerSteps, TheSequencesDrawDifferentTokens) {  // else the tests below would compare little
  std::set<int32_t> tokens;
  for (const StepDriver::Life& life : expected()) {
    for (const SampledToken& token : life.tokens) tokens.insert(token.token);
  }
  EXPECT_GT(tokens.size(), 15u);
}

TEST_P(RunnerSteps, TokensOnTheDeviceAreTheSameTokens) {
  expect_same(drive(plain(), roomy_options(), {.from_device = true}), expected());
}

TEST_P(RunnerSteps, PaddedStepsGiveTheSameBits) {
  DeviceRunnerOptions options = roomy_options();
  options.pad_to_bucket = true;
  expect_same(drive(plain(), options, {}), expected());
  expect_same(drive(plain(), options, {.from_device = true}), expected());
}

TEST_P(RunnerSteps, TwoStepsInFlightGiveTheSameTokens) {
  expect_same(drive(deferred(), roomy_options(), {.depth = 2}), expected());
  EXPECT_THAT(report().violations, IsEmpty());
  EXPECT_EQ(report().graphs, 4);  // 1, 2, 4, 8
  EXPECT_GT(report().replays, 8);
  expect_same(drive(deferred(), roomy_options(), {.depth = 2, .from_device = true}), expected());
  EXPECT_THAT(report().violations, IsEmpty());
}

TEST_P(RunnerSteps, WithoutGraphsTheyAreTheSame) {
  DeviceRunnerOptions options = roomy_options();
  options.enforce_eager = true;
  expect_same(drive(deferred(), options, {.depth = 2}), expected());
  EXPECT_THAT(report().violations, IsEmpty());
  EXPECT_EQ(report().graphs, 0);
  options.pad_to_bucket = true;
  expect_same(drive(deferred(), options, {.depth = 2}), expected());
  EXPECT_THAT(report().violations, IsEmpty());
}

TEST_P(RunnerSteps, StepsAboveTheLargestGraphRunEagerly) {
  DeviceRunnerOptions options = roomy_options();
  options.max_cudagraph_capture_size = 3;
  expect_same(drive(deferred(), options, {.depth = 2}), expected());
  EXPECT_THAT(report().violations, IsEmpty());
  EXPECT_EQ(report().graphs, 3);  // 1, 2, 3
  EXPECT_GT(report().replays, 3);
}

TEST_P(RunnerSteps, AStepIsOneCopyOfMetadataAndOneOfSampling) {
  const auto runner = make(deferred(), roomy_options());
  StepDriver driver(*runner, mixed_sequences(), {.depth = 2});
  const DeferredReport start = report();
  int64_t steps = 0, returning = 0;
  std::set<SharedIds> prompts;  // whose repetitions are penalised: each is sent once
  driver.on_launch = [&](const StepPlan& plan) {
    ++steps;
    for (const StepRow& row : plan.rows) {
      returning += row.logits == LogitsWanted::kReturnAll ? 1 : 0;
      if (row.prompt != nullptr && row.sampling->repetition_penalty != 1.0f) prompts.insert(row.prompt);
    }
    // a launch that returns logits has waited for them; any other has run nothing
    if (returning == 0) {
      EXPECT_GT(deferred_queue(*device_), 5);
    }
  };
  driver.run();
  EXPECT_FALSE(prompts.empty());
  EXPECT_LE(report().uploads - start.uploads, 2 * steps + static_cast<int64_t>(prompts.size()));
  // tokens, lists of alternatives, now and then the counters of experts
  EXPECT_LE(report().downloads - start.downloads, 3 * steps);
  EXPECT_EQ(report().blocking_copies - start.blocking_copies, returning);
  EXPECT_LT((report().upload_bytes - start.upload_bytes) / static_cast<uint64_t>(steps), 6000u);
}

TEST_P(RunnerSteps, PrefillsInFlightKeepTheirOwnMirrors) {  // two steps whose shapes differ much
  const std::vector<int32_t> a = prompt_of(30, 1), b = prompt_of(6, 2);
  const auto plans = [&](const Runner& runner) {
    std::vector<StepPlan> both(2);
    both[0].rows = {row_of(runner, 0, a, 0, 30, TokenForm::kPrompt, LogitsWanted::kSampleLast)};
    both[1].rows = {row_of(runner, 1, b, 0, 6, TokenForm::kPrompt, LogitsWanted::kSampleLast),
                    row_of(runner, 2, b, 0, 3, TokenForm::kPrompt, LogitsWanted::kSampleLast)};
    return both;
  };
  std::vector<int32_t> want, got;
  const auto take = [](const StepResult& result, std::vector<int32_t>& to) {
    for (const RowResult& row : result.rows) to.push_back(row.tokens.at(0).token);
  };
  const auto serial = make(plain(), roomy_options());
  for (const StepPlan& plan : plans(*serial)) take(run_plan(*serial, plan), want);
  const auto runner = make(deferred(), roomy_options());
  std::vector<Runner::Ticket> tickets;
  for (const StepPlan& plan : plans(*runner)) tickets.push_back(*runner->launch(plan));
  for (const Runner::Ticket ticket : tickets) take(*runner->collect(ticket), got);
  EXPECT_EQ(got, want);
  EXPECT_THAT(report().violations, IsEmpty());
}

TEST_P(RunnerSteps, TheSamplersMemoryGrowsWhileAStepIsInFlight) {
  const std::vector<int32_t> ids = prompt_of(8);
  const auto plan_of = [&](const Runner& runner, int32_t step) {
    StepPlan plan;
    plan.id = static_cast<StepId>(step);
    plan.rows = {row_of(runner, 0, ids, 0, 8, TokenForm::kPrompt, LogitsWanted::kSampleLast)};
    auto params = std::make_shared<SamplingParams>(random_params(9));
    params->repetition_penalty = 1.7f;
    params->logprobs = step;  // longer lists every time
    plan.rows[0].sampling = params;
    std::vector<int32_t> prompt;
    for (int32_t i = 0; i < 9000 * step; ++i) prompt.push_back(i * 7 % 40);
    plan.rows[0].prompt = std::make_shared<const std::vector<int32_t>>(prompt);
    return plan;
  };
  const auto serial = make(plain(), roomy_options());
  std::vector<SampledToken> want;
  for (int32_t step = 1; step <= 6; ++step)
    want.push_back(run_plan(*serial, plan_of(*serial, step)).rows.at(0).tokens.at(0));
  const auto runner = make(deferred(), roomy_options());
  std::deque<Runner::Ticket> tickets = {*runner->launch(plan_of(*runner, 1))};
  for (size_t step = 1; step <= 6; ++step) {
    if (step < 6) tickets.push_back(*runner->launch(plan_of(*runner, static_cast<int32_t>(step) + 1)));
    const StepResult result = *runner->collect(tickets.front());
    tickets.pop_front();
    EXPECT_EQ(result.rows.at(0).tokens.at(0).token, want[step - 1].token);
    ASSERT_EQ(result.rows[0].tokens[0].top.size(), step);
    EXPECT_EQ(result.rows[0].tokens[0].top.back().logprob, want[step - 1].top.back().logprob);
  }
  EXPECT_THAT(report().violations, IsEmpty());
}

TEST_P(RunnerSteps, TicketsAreCollectedInOrderAndNoMoreThanTwoAreOut) {
  const auto runner = make(deferred(), roomy_options());
  EXPECT_EQ(runner->info().steps_in_flight, 2);
  const std::vector<int32_t> ids = prompt_of(8);
  StepPlan plan;
  plan.rows = {row_of(*runner, 0, ids, 0, 8, TokenForm::kPrompt, LogitsWanted::kSampleLast)};
  const Runner::Ticket first = *runner->launch(plan), second = *runner->launch(plan);
  EXPECT_THAT(std::string(message_of(runner->launch(plan).status())), HasSubstr("two steps are in flight"));
  EXPECT_THAT(std::string(message_of(runner->collect(second).status())), HasSubstr("to be collected before"));
  ASSERT_TRUE(runner->collect(first).ok());
  EXPECT_FALSE(runner->collect(first).ok());
  ASSERT_TRUE(runner->collect(second).ok());
  const auto one = make(plain(), roomy_options());
  ASSERT_TRUE(one->launch(plan).ok());
  EXPECT_THAT(std::string(message_of(one->launch(plan).status())), HasSubstr("a step is in flight"));
}

TEST_P(RunnerSteps, TokensThatNobodyDrewAreRefusedAndDisturbNothing) {
  const auto runner = make(deferred(), roomy_options());
  const std::vector<int32_t> ids = prompt_of(8);
  StepPlan first;
  first.id = 5;
  first.rows = {row_of(*runner, 0, ids, 0, 8, TokenForm::kPrompt, LogitsWanted::kSampleLast),
                row_of(*runner, 1, ids, 0, 8, TokenForm::kPrompt, LogitsWanted::kNone)};
  const Runner::Ticket ticket = *runner->launch(first);
  const auto refusal = [&](const std::function<void(StepRow&)>& change) {
    StepPlan plan;
    plan.id = 6;
    plan.rows = {row_of(*runner, 0, prompt_of(9), 8, 9, TokenForm::kOutput, LogitsWanted::kSampleLast)};
    plan.rows[0].tokens.clear();
    plan.rows[0].token_from = 5;
    change(plan.rows[0]);
    return std::string(message_of(runner->launch(plan).status()));
  };
  EXPECT_THAT(refusal([](StepRow& row) { row.token_from = 4; }), HasSubstr("none of the last two"));
  EXPECT_THAT(refusal([](StepRow& row) { row.sequence = 1; }), HasSubstr("draws 0 tokens"));
  EXPECT_THAT(refusal([](StepRow& row) { row.tokens = {1}; }), HasSubstr("ids and a token of step 5"));
  EXPECT_THAT(refusal([](StepRow& row) { row.sampling = nullptr; }), HasSubstr("no parameters"));
  StepPlan next;
  next.id = 6;
  next.rows = {row_of(*runner, 0, prompt_of(9), 8, 9, TokenForm::kOutput, LogitsWanted::kSampleLast)};
  next.rows[0].tokens.clear();
  next.rows[0].token_from = 5;
  const Runner::Ticket second = *runner->launch(next);
  const int32_t drawn = runner->collect(ticket)->rows.at(0).tokens.at(0).token;
  const int32_t then = runner->collect(second)->rows.at(0).tokens.at(0).token;
  next.id = 7;
  next.rows[0].token_from = 0;
  next.rows[0].tokens = {drawn};
  EXPECT_EQ(run_plan(*runner, next).rows.at(0).tokens.at(0).token, then);
  EXPECT_THAT(report().violations, IsEmpty());
}

TEST_P(RunnerSteps, ARunnerMayEndWithStepsInFlight) {
  auto runner = make(deferred(), roomy_options());
  StepPlan plan;
  plan.rows = {row_of(*runner, 0, prompt_of(8), 0, 8, TokenForm::kPrompt, LogitsWanted::kSampleLast)};
  ASSERT_TRUE(runner->launch(plan).ok());
  runner.reset();
  EXPECT_THAT(report().violations, IsEmpty());
}

TEST_P(RunnerSteps, ExpertsAreCountedWithoutPadding) {
  for (const std::string& device : {plain(), deferred()}) {
    const auto runner = make(device, roomy_options());
    const std::vector<int32_t> ids = prompt_of(9);
    if (model_name() != "mla") {  // no experts in that model
      EXPECT_EQ(runner->expert_load().experts, 0);
      continue;
    }
    constexpr uint64_t kSteps = 200, kRows = 3, kTopK = 2;
    StepPlan plan;
    for (int32_t s = 0; s < static_cast<int32_t>(kRows); ++s)
      plan.rows.push_back(row_of(*runner, s, ids, 0, 1, TokenForm::kOutput, LogitsWanted::kSampleLast));
    for (uint64_t step = 0; step < kSteps; ++step) run_plan(*runner, plan);
    const ExpertLoad load = runner->expert_load();
    EXPECT_EQ(load.experts, 4);
    EXPECT_THAT(load.layers, ElementsAre(1));
    uint64_t chosen = 0;
    for (const uint64_t count : load.chosen) chosen += count;
    EXPECT_EQ(chosen % (kRows * kTopK), 0u);  // whole steps of live rows
    EXPECT_LE(chosen, kSteps * kRows * kTopK);
    EXPECT_GT(chosen, (kSteps - 64) * kRows * kTopK);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, RunnerSteps,
                         ::testing::Values("mla/ref", "window/ref", "mla/cpu", "window/cpu"),
                         [](const auto& tested) {
                           std::string name = tested.param;
                           name[name.find('/')] = '_';
                           return name;
                         });

TEST(StepBuckets, GrowAsTheyGetLarger) {
  EXPECT_THAT(step_buckets(0), IsEmpty());
  EXPECT_THAT(step_buckets(1), ElementsAre(1));
  EXPECT_THAT(step_buckets(4), ElementsAre(1, 2, 4));
  EXPECT_THAT(step_buckets(27), ElementsAre(1, 2, 4, 8, 16, 24, 27));
  const std::vector<int32_t> many = step_buckets(512);
  EXPECT_EQ(many.size(), 51u);
  EXPECT_EQ(many[many.size() - 17], 256);
  EXPECT_EQ(many[many.size() - 16], 272);
  const StepGraphs graphs(many);
  EXPECT_EQ(graphs.bucket_for(1), 1);
  EXPECT_EQ(graphs.bucket_for(3), 4);
  EXPECT_EQ(graphs.bucket_for(257), 272);
  EXPECT_EQ(graphs.bucket_for(513), 0);
}

}  // namespace
}  // namespace hadal
