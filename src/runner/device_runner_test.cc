#include "runner/device_runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>

#include "runner/test_models.h"
#include "runner/test_plans.h"

namespace hadal {
namespace {

using namespace hadal::testing;  // NOLINT: models and plans
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// Model and device by name: "mla/ref", "window/cpu".
class DeviceRunnerTest : public ::testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Runner> make(const DeviceRunnerOptions& options) {
    const std::string name = GetParam();
    static const TinyModel mla = tiny_mla_model(), window = tiny_window_model();
    const TinyModel& model = name.substr(0, name.find('/')) == "mla" ? mla : window;
    devices_.push_back(open_device(name.substr(name.find('/') + 1)));
    auto runner = make_device_runner(model.config, model.checkpoint, devices_.back(), options);
    EXPECT_TRUE(runner.ok()) << runner.status();
    return std::move(runner).value();
  }
  std::unique_ptr<Runner> make() { return make(small_options()); }
  void TearDown() override {
    for (const auto& device : devices_) {
      if (!is_deferred(*device)) continue;
      EXPECT_THAT(deferred_report(*device).violations, IsEmpty());
    }
  }

 private:
  std::vector<std::shared_ptr<Device>> devices_;
};

TEST_P(DeviceRunnerTest, DescribesItself) {
  const auto runner = make();
  EXPECT_EQ(runner->info().vocab_size, 61);
  EXPECT_EQ(runner->info().max_model_len, 96);
  EXPECT_EQ(runner->info().groups[0].num_blocks, 61);
  EXPECT_EQ(runner->info().groups.size(), GetParam().substr(0, 3) == "mla" ? 1u : 2u);
  EXPECT_FALSE(runner->info().device.empty());
}

TEST_P(DeviceRunnerTest, ChunksGiveTheSameBits) {
  const auto runner = make();
  const std::vector<int32_t> ids = prompt_of(45);
  const std::vector<float> whole = prompt_logits(*runner, ids, 48, 1);
  ASSERT_EQ(whole.size(), 45u * 61u);
  for (const float value : whole) ASSERT_TRUE(std::isfinite(value));
  for (const int32_t piece : {1, 7, 16}) {
    EXPECT_TRUE(same_bits(whole, prompt_logits(*runner, ids, piece, 2))) << "pieces of " << piece;
  }
}

TEST_P(DeviceRunnerTest, FewLogitRowsAtATimeGiveTheSameBits) {
  const std::vector<int32_t> ids = prompt_of(45);
  const auto runner = make();
  DeviceRunnerOptions few = small_options();
  few.model.max_logit_rows = 1;  // at least max_rows are used: 8
  EXPECT_TRUE(same_bits(prompt_logits(*runner, ids, 48, 1), prompt_logits(*make(few), ids, 48, 1)));
}

TEST_P(DeviceRunnerTest, ARowDoesNotSeeTheRowsBesideIt) {
  const auto runner = make();
  const std::vector<int32_t> a = prompt_of(20, 1), b = prompt_of(15, 2), c = prompt_of(9, 3);
  const auto decode = [](const Runner& r, int32_t seq, const std::vector<int32_t>& ids) {
    const auto size = static_cast<int32_t>(ids.size());
    return row_of(r, seq, ids, size - 1, size, TokenForm::kOutput, LogitsWanted::kReturnLast);
  };
  // alone
  StepPlan first;
  first.rows = {row_of(*runner, 0, a, 0, 19, TokenForm::kPrompt, LogitsWanted::kNone)};
  run_plan(*runner, first);
  StepPlan alone;
  alone.rows = {decode(*runner, 0, a)};
  const std::vector<float> a_alone = run_plan(*runner, alone).rows[0].logits;
  const std::vector<float> c_alone = prompt_logits(*runner, c, 48, 3);
  // together with others, in other blocks
  const auto other = make();
  StepPlan prompts;
  prompts.rows = {row_of(*other, 1, a, 0, 19, TokenForm::kPrompt, LogitsWanted::kNone),
                  row_of(*other, 2, b, 0, 14, TokenForm::kPrompt, LogitsWanted::kNone)};
  run_plan(*other, prompts);
  StepPlan mixed;
  mixed.rows = {decode(*other, 2, b), decode(*other, 1, a),
                row_of(*other, 3, c, 0, 9, TokenForm::kPrompt, LogitsWanted::kReturnAll)};
  const StepResult result = run_plan(*other, mixed);
  ASSERT_EQ(result.rows.size(), 3u);
  EXPECT_EQ(result.rows[1].sequence, 1u);
  EXPECT_TRUE(same_bits(result.rows[1].logits, a_alone));
  EXPECT_TRUE(same_bits(result.rows[2].logits, c_alone));
}

TEST_P(DeviceRunnerTest, PromptAndOutputRecomputedInOneStepGiveTheSameBits) {
  const auto runner = make();
  const std::vector<int32_t> ids = prompt_of(24);
  const auto output_logits = [&](Runner& r, int32_t seq, bool at_once) {
    StepPlan plan;
    if (at_once) {
      plan.rows = {row_of(r, seq, ids, 10, 24, TokenForm::kOutput, LogitsWanted::kReturnLast),
                   row_of(r, seq, ids, 0, 10, TokenForm::kPrompt, LogitsWanted::kNone)};
      return run_plan(r, plan).rows[0].logits;
    }
    plan.rows = {row_of(r, seq, ids, 0, 10, TokenForm::kPrompt, LogitsWanted::kNone)};
    run_plan(r, plan);
    std::vector<float> last;
    for (int32_t at = 10; at < 24; ++at) {
      plan.rows = {row_of(r, seq, ids, at, at + 1, TokenForm::kOutput, LogitsWanted::kReturnLast)};
      last = run_plan(r, plan).rows[0].logits;
    }
    return last;
  };
  EXPECT_TRUE(same_bits(output_logits(*runner, 1, false), output_logits(*make(), 2, true)));
}

TEST_P(DeviceRunnerTest, DrawRowsSampleTheSameLogitsAgain) {
  const auto runner = make();
  const std::vector<int32_t> ids = prompt_of(12);
  const auto params = [](uint32_t choice) {
    auto made = std::make_shared<SamplingParams>();
    made->seed = 5;
    made->choice = choice;
    made->temperature = 2.0f;
    made->logprobs = 3;
    return made;
  };
  StepPlan plan;
  plan.rows = {row_of(*runner, 1, ids, 0, 12, TokenForm::kPrompt, LogitsWanted::kSampleLast)};
  plan.rows[0].sampling = params(0);
  for (int32_t c = 1; c < 6; ++c) {
    StepRow draw;
    draw.sequence = static_cast<SequenceId>(10 + c);
    draw.draws_from = 0;
    draw.logits = LogitsWanted::kSampleLast;
    draw.sampling = params(static_cast<uint32_t>(c));
    plan.rows.push_back(draw);
  }
  const StepResult together = run_plan(*runner, plan);
  ASSERT_EQ(together.rows.size(), 6u);
  bool differ = false;
  for (uint32_t c = 0; c < 6; ++c) {
    StepPlan alone;
    alone.rows = {row_of(*runner, 1, ids, 0, 12, TokenForm::kPrompt, LogitsWanted::kSampleLast)};
    alone.rows[0].sampling = params(c);
    const SampledToken expected = run_plan(*runner, alone).rows[0].tokens.at(0);
    const SampledToken& got = together.rows[c].tokens.at(0);
    EXPECT_EQ(got.token, expected.token);
    EXPECT_EQ(got.logprob, expected.logprob);
    EXPECT_EQ(got.rank, expected.rank);
    ASSERT_EQ(got.top.size(), 3u);
    EXPECT_GE(got.top[0].logprob, got.top[1].logprob);
    differ |= got.token != together.rows[0].tokens[0].token;
  }
  EXPECT_TRUE(differ);
}

TEST_P(DeviceRunnerTest, SamplingParametersReachTheSampler) {
  const auto runner = make();
  const std::vector<int32_t> ids = prompt_of(12);
  const auto sample = [&](const std::function<void(StepRow&, SamplingParams&)>& change) {
    StepPlan plan;
    plan.rows = {row_of(*runner, 1, ids, 0, 12, TokenForm::kPrompt, LogitsWanted::kSampleLast)};
    auto params = std::make_shared<SamplingParams>(*plan.rows[0].sampling);
    params->logprobs = 2;
    change(plan.rows[0], *params);
    plan.rows[0].sampling = params;
    return run_plan(*runner, plan).rows.at(0).tokens.at(0);
  };
  const SampledToken greedy = sample([](StepRow&, SamplingParams&) {});
  EXPECT_EQ(greedy.rank, 1);
  EXPECT_EQ(greedy.top.at(0).token, greedy.token);
  const SampledToken second = sample([&](StepRow& row, SamplingParams&) { row.forbidden = {greedy.token}; });
  EXPECT_EQ(second.token, greedy.top.at(1).token);
  EXPECT_EQ(second.rank, 2);
  const int32_t other = (greedy.token + 30) % 61;
  EXPECT_EQ(sample([&](StepRow&, SamplingParams& p) { p.logit_bias = {{other, 100.0f}}; }).token, other);
  const auto penalised = sample([&](StepRow& row, SamplingParams& p) {
    p.presence_penalty = 100.0f;
    row.output_ids = {greedy.token};
  });
  EXPECT_EQ(penalised.token, second.token);
}

TEST_P(DeviceRunnerTest, ACopiedBlockHoldsWhatTheOriginalHeld) {
  const auto runner = make();
  const std::vector<int32_t> ids = prompt_of(15);
  StepPlan plan;
  plan.rows = {row_of(*runner, 1, ids, 0, 14, TokenForm::kPrompt, LogitsWanted::kNone)};
  run_plan(*runner, plan);
  plan.rows = {row_of(*runner, 1, ids, 14, 15, TokenForm::kOutput, LogitsWanted::kReturnLast)};
  const std::vector<float> expected = run_plan(*runner, plan).rows[0].logits;
  StepRow moved = row_of(*runner, 2, ids, 14, 15, TokenForm::kOutput, LogitsWanted::kReturnLast);
  moved.block_table = tables_for(*runner, 15, 1);
  plan.copies.clear();
  for (size_t g = 0; g < moved.block_table.size(); ++g) {
    int32_t& last = moved.block_table[g].back();
    const int32_t to = last % (runner->info().groups[g].num_blocks - 1) + 1;
    plan.copies.push_back({static_cast<int32_t>(g), last, to});
    last = to;
  }
  plan.rows = {moved};
  EXPECT_TRUE(same_bits(run_plan(*runner, plan).rows[0].logits, expected));
}

TEST_P(DeviceRunnerTest, BlocksBeforeTheWindowAreNotRead) {
  const auto runner = make();
  if (runner->info().groups.size() < 2) return;  // this model has no window group
  const std::vector<int32_t> ids = prompt_of(31);
  StepPlan plan;
  plan.rows = {row_of(*runner, 1, ids, 0, 30, TokenForm::kPrompt, LogitsWanted::kNone)};
  run_plan(*runner, plan);
  plan.rows = {row_of(*runner, 1, ids, 30, 31, TokenForm::kOutput, LogitsWanted::kReturnLast)};
  const std::vector<float> expected = run_plan(*runner, plan).rows[0].logits;
  for (size_t block = 0; block < 5; ++block)
    plan.rows[0].block_table[1][block] = 0;  // 0..19; the query reads 22..30
  EXPECT_TRUE(same_bits(run_plan(*runner, plan).rows[0].logits, expected));
  plan.rows[0].block_table[1][5] = 0;
  EXPECT_FALSE(runner->launch(plan).ok());
}

TEST_P(DeviceRunnerTest, RefusesPlansThatDoNotFitAndGoesOn) {
  const auto runner = make();
  const std::vector<int32_t> ids = prompt_of(60);
  const auto refusal = [&](const std::function<void(StepPlan&)>& change) {
    StepPlan plan;
    plan.rows = {row_of(*runner, 1, ids, 0, 8, TokenForm::kPrompt, LogitsWanted::kSampleLast)};
    change(plan);
    return std::string(message_of(runner->launch(plan).status()));
  };
  EXPECT_THAT(refusal([](StepPlan& p) { p.rows.clear(); }), HasSubstr("no rows"));
  EXPECT_THAT(refusal([](StepPlan& p) { p.rows.resize(9, p.rows[0]); }), HasSubstr("9 rows"));
  EXPECT_THAT(refusal([](StepPlan& p) { p.rows[0].tokens.resize(49, 1); }), HasSubstr("more than 48 tokens"));
  EXPECT_THAT(refusal([](StepPlan& p) { p.rows[0].first_position = 90; }), HasSubstr("outside the context"));
  EXPECT_THAT(refusal([](StepPlan& p) { p.rows[0].tokens[0] = 61; }), HasSubstr("token 61"));
  EXPECT_THAT(refusal([](StepPlan& p) { p.rows[0].block_table[0].pop_back(); }), HasSubstr("needs 2"));
  EXPECT_THAT(refusal([](StepPlan& p) { p.rows[0].block_table[0][1] = 61; }), HasSubstr("is 61"));
  EXPECT_THAT(refusal([](StepPlan& p) { p.rows[0].block_table[0][1] = 0; }), HasSubstr("is 0"));
  EXPECT_THAT(refusal([](StepPlan& p) { p.rows[0].sampling = nullptr; }), HasSubstr("no parameters"));
  EXPECT_THAT(refusal([](StepPlan& p) { p.rows[0].draft_count = 1; }), HasSubstr("speculative"));
  EXPECT_THAT(refusal([](StepPlan& p) { p.rows[0].adapter = 1; }), HasSubstr("adapters"));
  EXPECT_THAT(refusal([](StepPlan& p) { p.copies = {{0, 1, 61}}; }), HasSubstr("copy of block 1 to 61"));
  EXPECT_THAT(refusal([](StepPlan& p) { p.rows.push_back(p.rows[0]), p.rows[1].form = TokenForm::kOutput; }),
              HasSubstr("output row after"));
  EXPECT_EQ(prompt_logits(*runner, ids, 48, 1).size(), 60u * 61u);
  EXPECT_FALSE(runner->collect(1000).ok());
}

TEST_P(DeviceRunnerTest, RefusesACacheThatCannotHoldOneSequence) {
  const TinyModel model = tiny_mla_model();
  auto device = Device::open("ref");
  ASSERT_TRUE(device.ok());
  DeviceRunnerOptions options = small_options();
  options.num_blocks = 23;  // 92 places
  const Status status = make_device_runner(model.config, model.checkpoint, *device, options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(message_of(status)), HasSubstr("needs 24 blocks of 4 tokens"));
}

INSTANTIATE_TEST_SUITE_P(Models, DeviceRunnerTest,
                         ::testing::Values("mla/ref", "window/ref", "mla/cpu", "window/cpu",
                                           "mla/deferred_ref", "window/deferred_cpu"),
                         [](const auto& test) {
                           std::string name = test.param;
                           name[name.find('/')] = '_';
                           return name;
                         });

}  // namespace
}  // namespace hadal
