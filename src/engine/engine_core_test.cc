#include "engine/engine_core.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "engine/test_support.h"

namespace hadal {
namespace {

using namespace hadal::testing;  // NOLINT
using ::testing::HasSubstr;

struct Case {
  EngineRequest request;
  std::shared_ptr<RecordingSink> sink = std::make_shared<RecordingSink>();
};

void expect_tokens(const RunnerInfo& info, const std::vector<int32_t>& prompt, const SamplingParams& sampling,
                   const RecordingSink& sink, int32_t choice, int32_t count) {
  const RecordingSink::Choice got = sink.choice(choice);
  const std::vector<int32_t> expected = expected_tokens(info, prompt, sampling, choice, count);
  EXPECT_EQ(got.ids, expected);
  EXPECT_EQ(got.text, toy_text(expected));
  EXPECT_EQ(got.finish, FinishReason::kLength);
}

TEST(EngineCore, OneRequestAlone) {
  ToyCore toy(toy_info());
  auto sink = std::make_shared<RecordingSink>();
  toy.add(toy_request(toy_prompt(50), 20, sink));
  toy.finish();
  expect_tokens(toy_info(), toy_prompt(50), {}, *sink, 0, 20);
  EXPECT_EQ(sink->choice(0).outputs, 20);
  EXPECT_EQ(toy.core->stats().prompt_tokens, 50);
  EXPECT_EQ(toy.core->stats().generation_tokens, 20);
  EXPECT_EQ(toy.core->stats().steps, 21);  // 32 + 18 prompt tokens, then 19 more outputs
}

TEST(EngineCore, ChunksOfExactlySoManyTokens) {
  for (const int32_t chunk : {1, 7, 32}) {
    ToyCore toy(toy_info(), {.max_num_seqs = 8, .max_num_batched_tokens = 32, .chunk = chunk});
    std::vector<size_t> pieces;
    toy.runner->on_launch = [&](const StepPlan& plan) {
      for (const StepRow& row : plan.rows) {
        if (row.form == TokenForm::kPrompt) pieces.push_back(row.tokens.size());
      }
      return OkStatus();
    };
    auto sink = std::make_shared<RecordingSink>();
    toy.add(toy_request(toy_prompt(50), 5, sink));
    toy.finish();
    expect_tokens(toy_info(), toy_prompt(50), {}, *sink, 0, 5);
    for (size_t i = 0; i + 1 < pieces.size(); ++i) EXPECT_EQ(pieces[i], static_cast<size_t>(chunk));
    EXPECT_EQ(pieces.size(), static_cast<size_t>((50 + chunk - 1) / chunk));
  }
}

TEST(EngineCore, ManyTogetherAreAsAloneEvenWhenPreempted) {
  const RunnerInfo info = toy_info(/*blocks=*/20);  // 76 tokens for 8 requests of up to 40
  ToyCore toy(info);
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  for (int32_t i = 0; i < 8; ++i) {
    sinks.push_back(std::make_shared<RecordingSink>());
    EngineRequest request = toy_request(toy_prompt(6 + i, i), 25, sinks.back());
    request.sampling.seed = static_cast<uint64_t>(i);
    toy.add(std::move(request));
  }
  toy.finish();
  for (int32_t i = 0; i < 8; ++i) {
    SamplingParams sampling;
    sampling.seed = static_cast<uint64_t>(i);
    expect_tokens(info, toy_prompt(6 + i, i), sampling, *sinks[static_cast<size_t>(i)], 0, 25);
  }
  EXPECT_GT(toy.core->stats().preemptions, 0);
}

TEST(EngineCore, RecomputationKeepsTheForms) {
  const RunnerInfo info = toy_info(/*blocks=*/14);
  ToyCore toy(info);
  bool two_rows = false;
  toy.runner->on_launch = [&](const StepPlan& plan) {
    for (const StepRow& row : plan.rows) {
      two_rows |= row.form == TokenForm::kOutput && row.tokens.size() > 1;
    }
    return OkStatus();
  };
  auto a = std::make_shared<RecordingSink>();
  auto b = std::make_shared<RecordingSink>();
  toy.add(toy_request(toy_prompt(10, 1), 30, a));
  toy.add(toy_request(toy_prompt(10, 2), 30, b));
  toy.finish();
  EXPECT_TRUE(two_rows) << "nothing was recomputed";
  expect_tokens(info, toy_prompt(10, 1), {}, *a, 0, 30);
  expect_tokens(info, toy_prompt(10, 2), {}, *b, 0, 30);  // the form is part of the toy model's hash
}

TEST(EngineCore, ChoicesShareThePromptAndDiffer) {
  const RunnerInfo info = toy_info();
  ToyCore toy(info);
  int64_t prompt_tokens = 0;
  size_t copies = 0;
  toy.runner->on_launch = [&](const StepPlan& plan) {
    copies += plan.copies.size();
    for (const StepRow& row : plan.rows) {
      if (row.form == TokenForm::kPrompt) prompt_tokens += static_cast<int64_t>(row.tokens.size());
    }
    return OkStatus();
  };
  auto sink = std::make_shared<RecordingSink>();
  EngineRequest request = toy_request(toy_prompt(42), 10, sink);
  request.num_choices = 4;
  request.sampling.seed = 9;
  toy.add(std::move(request));
  toy.finish();
  SamplingParams sampling;
  sampling.seed = 9;
  for (int32_t c = 0; c < 4; ++c) expect_tokens(info, toy_prompt(42), sampling, *sink, c, 10);
  EXPECT_NE(sink->choice(0).ids, sink->choice(1).ids);
  EXPECT_EQ(prompt_tokens, 42);
  EXPECT_EQ(copies, 3u);  // the last holder of the partly filled block writes in place
}

TEST(EngineCore, ChoicesUnderPressureAreRecomputedEachOnItsOwn) {
  const RunnerInfo info = toy_info(/*blocks=*/14);
  ToyCore toy(info);
  auto sink = std::make_shared<RecordingSink>();
  EngineRequest request = toy_request(toy_prompt(14), 30, sink);
  request.num_choices = 5;
  toy.add(std::move(request));
  toy.finish();
  for (int32_t c = 0; c < 5; ++c) expect_tokens(info, toy_prompt(14), {}, *sink, c, 30);
  EXPECT_GT(toy.core->stats().preemptions, 0);
}

TEST(EngineCore, SeveralGroupsWithAWindow) {
  RunnerInfo info = toy_info(40);
  info.groups = {{"full", 4, 40, 0}, {"window", 2, 14, 9}};
  ToyCore toy(info);
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  for (int32_t i = 0; i < 4; ++i) {
    sinks.push_back(std::make_shared<RecordingSink>());
    toy.add(toy_request(toy_prompt(30, i), 40, sinks.back()));
  }
  toy.finish();
  for (int32_t i = 0; i < 4; ++i) {
    expect_tokens(info, toy_prompt(30, i), {}, *sinks[static_cast<size_t>(i)], 0, 40);
  }
}

TEST(EngineCore, StopsAtIdsStringsAndTheContext) {
  const RunnerInfo info = toy_info();
  const std::vector<int32_t> free_run = expected_tokens(info, toy_prompt(20), {}, 0, 40);
  ToyCore toy(info);
  auto by_id = std::make_shared<RecordingSink>();
  EngineRequest request = toy_request(toy_prompt(20), 40, by_id);
  request.stop.stop_token_ids = {free_run[10]};
  toy.add(std::move(request));
  auto by_text = std::make_shared<RecordingSink>();
  request = toy_request(toy_prompt(20), 40, by_text);
  request.stop.stop = {toy_text(free_run).substr(5, 4)};
  toy.add(std::move(request));
  auto by_context = std::make_shared<RecordingSink>();
  request = toy_request(toy_prompt(110), 40, by_context);
  toy.add(std::move(request));
  toy.finish();

  const auto first =
      static_cast<size_t>(std::find(free_run.begin(), free_run.end(), free_run[10]) - free_run.begin());
  EXPECT_EQ(by_id->choice(0).finish, FinishReason::kStop);
  EXPECT_EQ(by_id->choice(0).stop_reason, std::to_string(free_run[10]));
  EXPECT_EQ(by_id->choice(0).ids.size(), first + 1);
  EXPECT_EQ(by_id->choice(0).text, toy_text(free_run).substr(0, first));
  const std::string stop = toy_text(free_run).substr(5, 4);
  EXPECT_EQ(by_text->choice(0).finish, FinishReason::kStop);
  EXPECT_EQ(by_text->choice(0).stop_reason, stop);
  EXPECT_EQ(by_text->choice(0).text, toy_text(free_run).substr(0, toy_text(free_run).find(stop)));
  EXPECT_EQ(by_context->choice(0).finish, FinishReason::kLength);
  EXPECT_EQ(by_context->choice(0).ids.size(), 10u);
}

TEST(EngineCore, MinTokensForbidsTheStopIds) {
  const RunnerInfo info = toy_info();
  std::vector<int32_t> stops;
  for (int32_t id = 0; id < 97; id += 2) stops.push_back(id);  // half the vocabulary
  ToyCore toy(info);
  auto sink = std::make_shared<RecordingSink>();
  EngineRequest request = toy_request(toy_prompt(20), 40, sink);
  request.stop.stop_token_ids = stops;
  request.stop.min_tokens = 12;
  toy.add(std::move(request));
  toy.finish();
  EXPECT_EQ(sink->choice(0).ids, expected_tokens(info, toy_prompt(20), {}, 0, 40, stops, 12));
  EXPECT_GT(sink->choice(0).ids.size(), 12u);
}

TEST(EngineCore, PromptLogitsComeWithTheFirstOutput) {
  const RunnerInfo info = toy_info();
  ToyCore toy(info, {.max_num_seqs = 4, .max_num_batched_tokens = 16, .chunk = 7});
  auto sink = std::make_shared<RecordingSink>();
  EngineRequest request = toy_request(toy_prompt(20), 2, sink);
  request.return_prompt_logits = true;
  toy.add(std::move(request));
  toy.finish();
  const RecordingSink::Choice got = sink->choice(0);
  EXPECT_EQ(got.ids, expected_tokens(info, toy_prompt(20), {}, 0, 2));
  ASSERT_EQ(got.prompt_logits.size(), 20u * 97u);
  ContextHash hash;
  const std::vector<int32_t> prompt = toy_prompt(20);
  for (int32_t i = 0; i < 20; ++i) {
    hash.add(i, prompt[static_cast<size_t>(i)], TokenForm::kPrompt);
    EXPECT_EQ(got.prompt_logits[static_cast<size_t>(i * 97 + 3)], FakeRunner::logit({hash.value()}, 3));
  }
}

TEST(EngineCore, LogprobsArePassedOn) {
  ToyCore toy(toy_info());
  auto sink = std::make_shared<RecordingSink>();
  EngineRequest request = toy_request(toy_prompt(5), 3, sink);
  request.sampling.logprobs = 2;
  toy.add(std::move(request));
  toy.finish();
  for (const OutputToken& token : sink->choice(0).tokens) {
    EXPECT_EQ(token.logprob, -static_cast<float>(token.id));
    EXPECT_EQ(token.rank, 1);
    EXPECT_EQ(token.top.size(), 2u);
  }
}

TEST(EngineCore, CancelFreesEverythingAndFinishesEachChoiceOnce) {
  ToyCore toy(toy_info());
  auto running = std::make_shared<RecordingSink>();
  auto in_prompt = std::make_shared<RecordingSink>();
  const RequestId one = toy.add(toy_request(toy_prompt(10), 50, running));
  EngineRequest request = toy_request(toy_prompt(100), 10, in_prompt);
  request.num_choices = 3;
  const RequestId two = toy.add(std::move(request));
  toy.core->turn();
  toy.core->turn();
  toy.core->cancel(one);
  toy.core->cancel(two);
  toy.core->cancel(two);
  toy.core->cancel(999);
  EXPECT_EQ(running->choice(0).finish, FinishReason::kAbort);
  EXPECT_GT(running->choice(0).ids.size(), 0u);
  EXPECT_EQ(in_prompt->finished(), 3);
  toy.finish();
}

TEST(EngineCore, AThrowingSinkEndsItsRequestOnly) {
  ToyCore toy(toy_info());
  auto bad = std::make_shared<RecordingSink>();
  bad->on_output = [] { throw std::runtime_error("full"); };
  auto good = std::make_shared<RecordingSink>();
  EngineRequest request = toy_request(toy_prompt(10), 20, bad);
  request.num_choices = 2;
  toy.add(std::move(request));
  toy.add(toy_request(toy_prompt(12), 20, good));
  toy.finish();
  EXPECT_EQ(bad->choice(0).finish, FinishReason::kAbort);
  EXPECT_EQ(bad->choice(1).finish, FinishReason::kAbort);
  expect_tokens(toy_info(), toy_prompt(12), {}, *good, 0, 20);
  EXPECT_TRUE(toy.core->health().ok());
}

TEST(EngineCore, AFailedStepEndsItsRequestsAndTheEngineGoesOn) {
  ToyCore toy(toy_info());
  int step = 0;
  toy.runner->on_launch = [&](const StepPlan&) {
    return ++step == 3 ? internal_error("kernel failed") : OkStatus();
  };
  auto a = std::make_shared<RecordingSink>();
  toy.add(toy_request(toy_prompt(10), 20, a));
  for (int i = 0; i < 4; ++i) toy.core->turn();
  EXPECT_EQ(a->choice(0).finish, FinishReason::kError);
  EXPECT_EQ(a->choice(0).error_kind, ErrorKind::kStep);
  EXPECT_THAT(std::string(message_of(a->choice(0).error)), HasSubstr("kernel failed"));
  auto c = std::make_shared<RecordingSink>();
  toy.add(toy_request(toy_prompt(11), 20, c));
  toy.finish();
  expect_tokens(toy_info(), toy_prompt(11), {}, *c, 0, 20);
  EXPECT_TRUE(toy.core->health().ok());
}

// One request whose logits are not numbers failed the whole step, and three of them the engine.
TEST(EngineCore, ARowWithoutATokenEndsItsRequestOnly) {
  ToyCore toy(toy_info());
  toy.runner->draws_nothing = [](const StepRow& row) { return row.sampling->seed == 666; };
  std::vector<std::shared_ptr<RecordingSink>> poisoned;
  for (int32_t i = 0; i < 2 * EngineCore::kMaxFailedSteps; ++i) {
    poisoned.push_back(std::make_shared<RecordingSink>());
    EngineRequest request = toy_request(toy_prompt(5, i), 20, poisoned.back());
    request.sampling.seed = 666;
    request.num_choices = 2;
    toy.add(std::move(request));
  }
  auto good = std::make_shared<RecordingSink>();
  toy.add(toy_request(toy_prompt(12), 20, good));
  toy.finish();
  for (const auto& sink : poisoned) {
    EXPECT_EQ(sink->finished(), 2);
    EXPECT_EQ(sink->choice(0).finish, FinishReason::kError);
    EXPECT_THAT(std::string(message_of(sink->choice(1).error)), HasSubstr("not a number"));
  }
  expect_tokens(toy_info(), toy_prompt(12), {}, *good, 0, 20);
  EXPECT_TRUE(toy.core->health().ok());
}

TEST(EngineCore, AStepThatThrowsEndsTheEngine) {
  ToyCore toy(toy_info());
  int step = 0;
  toy.runner->on_collect = [&](const StepPlan&) -> Status {
    if (++step == 3) throw std::runtime_error("device lost");
    return OkStatus();
  };
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  for (int i = 0; i < 12; ++i) {
    sinks.push_back(std::make_shared<RecordingSink>());
    toy.add(toy_request(toy_prompt(30, i), 5, sinks.back()));
  }
  toy.finish();
  EXPECT_FALSE(toy.core->health().ok());
  for (const auto& sink : sinks) {
    EXPECT_EQ(sink->choice(0).finish, FinishReason::kError);
    EXPECT_THAT(std::string(message_of(sink->choice(0).error)), HasSubstr("device lost"));
  }
}

TEST(EngineCore, StepsThatFailAgainAndAgainEndTheEngine) {
  ToyCore toy(toy_info());
  toy.runner->on_collect = [](const StepPlan&) { return internal_error("broken"); };
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  for (int i = 0; i < 12; ++i) {
    sinks.push_back(std::make_shared<RecordingSink>());
    toy.add(toy_request(toy_prompt(30), 5, sinks.back()));
  }
  toy.finish();
  EXPECT_FALSE(toy.core->health().ok());
  for (const auto& sink : sinks) EXPECT_EQ(sink->choice(0).finish, FinishReason::kError);
  auto late = std::make_shared<RecordingSink>();
  toy.add(toy_request(toy_prompt(30), 5, late));
  EXPECT_EQ(late->choice(0).finish, FinishReason::kError);
  toy.finish();
}

TEST(EngineCore, RefusesWhatCannotBeServed) {
  RunnerInfo info = toy_info(/*blocks=*/11);  // 40 places
  ToyCore toy(info);
  auto sink = std::make_shared<RecordingSink>();
  const auto refusal = [&](auto&& change) {
    EngineRequest request = toy_request(toy_prompt(10), 5, sink);
    change(request);
    const Status status = toy.core->check(request);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(message_of(status));
  };
  EXPECT_THAT(refusal([](auto& r) { r.prompt_ids = {}; }), HasSubstr("empty"));
  EXPECT_THAT(refusal([](auto& r) { r.prompt_ids = {5, 97}; }), HasSubstr("97"));
  EXPECT_THAT(refusal([](auto& r) { r.prompt_ids = toy_prompt(120); }), HasSubstr("context of 120"));
  EXPECT_THAT(refusal([](auto& r) { r.stop.max_tokens = 0; }), HasSubstr("max_tokens"));
  EXPECT_THAT(refusal([](auto& r) { r.stop.max_tokens = 32; }), HasSubstr("KV cache"));
  EXPECT_THAT(refusal([](auto& r) { r.num_choices = 9; }), HasSubstr("max_num_seqs"));
  EXPECT_THAT(refusal([](auto& r) { r.stop.stop = {""}; }), HasSubstr("stop string"));
  EXPECT_THAT(refusal([](auto& r) { r.sampling.temperature = -1; }), HasSubstr("temperature"));
  EXPECT_THAT(refusal([](auto& r) { r.sampling.logit_bias = {{-1, 0.5f}}; }), HasSubstr("logit_bias"));
  EngineRequest largest = toy_request(toy_prompt(10), 31, sink);  // 40 places exactly
  EXPECT_TRUE(toy.core->check(largest).ok());
  toy.add(std::move(largest));
  toy.finish();
  EXPECT_EQ(sink->choice(0).ids.size(), 31u);
  ToyCore mute(toy_info(), {.max_num_seqs = 4, .max_num_batched_tokens = 16}, nullptr);
  EngineRequest with_stop = toy_request(toy_prompt(10), 5, sink);
  with_stop.stop.stop = {"x"};
  EXPECT_FALSE(mute.core->check(with_stop).ok());
}

}  // namespace
}  // namespace hadal
