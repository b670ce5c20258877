// Which tokens may be drawn, against a slow twin that knows the whole text and nothing of steps; and the
// log-probabilities of prompts.
#include "engine/draw_rules.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "engine/prompt_logprobs.h"
#include "engine/test_support.h"

namespace hadal {
namespace {

using testing::FakeRunner;
using testing::RecordingSink;
using testing::toy_info;

constexpr int32_t kVocab = 97;

bool may_be_drawn(const EngineRequest& request, const std::vector<int32_t>& output, int32_t id) {
  const DrawRules& rules = request.rules;
  const auto in = [](const std::vector<int32_t>& list, int32_t value) {
    return std::find(list.begin(), list.end(), value) != list.end();
  };
  if (!rules.allowed_token_ids.empty() && !in(rules.allowed_token_ids, id)) return false;
  if (static_cast<int32_t>(output.size()) < request.stop.min_tokens && in(request.stop.stop_token_ids, id))
    return false;
  for (const std::vector<int32_t>& word : rules.bad_words) {
    std::vector<int32_t> ending(output);
    ending.push_back(id);
    if (ending.size() >= word.size() && std::equal(word.rbegin(), word.rend(), ending.rbegin())) return false;
  }
  return true;
}

/// What one choice must give, token by token from its text.
std::vector<int32_t> slow_twin(const RunnerInfo& info, const EngineRequest& request, int32_t choice) {
  SamplingParams sampling = request.sampling;
  sampling.choice += static_cast<uint32_t>(choice);
  std::vector<int32_t> output;
  bool thinks = request.rules.thinking_budget >= 0;
  while (static_cast<int32_t>(output.size()) < request.stop.max_tokens) {
    testing::ContextHash hash;
    for (size_t i = 0; i < request.prompt_ids.size(); ++i)
      hash.add(static_cast<int32_t>(i), request.prompt_ids[i], TokenForm::kPrompt);
    for (size_t i = 0; i < output.size(); ++i)
      hash.add(static_cast<int32_t>(request.prompt_ids.size() + i), output[i], TokenForm::kOutput);
    std::vector<int32_t> forbidden;
    for (int32_t id = 0; id < info.vocab_size; ++id) {
      if (!may_be_drawn(request, output, id)) forbidden.push_back(id);
    }
    const std::vector<uint64_t> contexts(info.groups.size(), hash.value());
    int32_t token = -1;
    if (thinks && static_cast<int32_t>(output.size()) >= request.rules.thinking_budget) {
      token = request.rules.end_of_thinking;
    } else {
      token = testing::draw_token(contexts, sampling, static_cast<uint32_t>(output.size()), forbidden,
                                  info.vocab_size);
    }
    output.push_back(token);
    thinks = thinks && token != request.rules.end_of_thinking;
    const auto& stops = request.stop.stop_token_ids;
    if (std::find(stops.begin(), stops.end(), token) != stops.end()) break;
  }
  return output;
}

EngineRequest random_request(std::mt19937& random) {
  const auto below = [&random](uint32_t n) { return static_cast<int32_t>(random() % n); };
  const auto one_in = [&random](uint32_t n) { return random() % n == 0; };
  EngineRequest request;
  for (int32_t i = 2 + below(20); i > 0; --i) request.prompt_ids.push_back(below(kVocab));
  request.sampling.seed = random();
  request.stop.max_tokens = 1 + below(24);
  request.num_choices = one_in(3) ? 1 + below(4) : 1;
  if (one_in(2)) {
    for (int32_t i = 10 + below(12); i > 0; --i) request.rules.allowed_token_ids.push_back(below(kVocab));
  }
  // of few tokens, so that they would come out
  const std::vector<int32_t>& likely = request.rules.allowed_token_ids;
  const auto token = [&] { return likely.empty() ? below(kVocab) : likely[random() % likely.size()]; };
  for (int32_t i = below(6); i > 0; --i) {
    std::vector<int32_t> word;
    for (int32_t j = likely.empty() ? 1 + below(3) : 2 + below(2); j > 0; --j) word.push_back(token());
    request.rules.bad_words.push_back(word);
  }
  if (one_in(3)) {
    request.rules.thinking_budget = below(12);
    request.rules.end_of_thinking = below(kVocab);
  }
  if (one_in(2)) request.stop.stop_token_ids = {below(kVocab)};
  if (likely.empty()) request.stop.min_tokens = below(static_cast<uint32_t>(request.stop.max_tokens) + 1);
  return request;
}

class Depth : public ::testing::TestWithParam<int32_t> {};

TEST_P(Depth, EveryCombinationGivesWhatTheSlowTwinGives) {
  RunnerInfo info = toy_info();
  info.steps_in_flight = GetParam();
  std::mt19937 random(23);
  for (int round = 0; round < 150; ++round) {
    SCOPED_TRACE(round);
    testing::ToyCore toy(info, {.max_num_seqs = 8, .max_num_batched_tokens = 16, .exact = true});
    std::vector<EngineRequest> requests;
    std::vector<std::shared_ptr<RecordingSink>> sinks;
    for (int32_t i = 0; i < 3; ++i) {
      EngineRequest request = random_request(random);
      sinks.push_back(std::make_shared<RecordingSink>());
      request.sink = sinks.back();
      requests.push_back(request);
      toy.add(std::move(request));
    }
    toy.finish();
    for (size_t i = 0; i < requests.size(); ++i) {
      for (int32_t choice = 0; choice < requests[i].num_choices; ++choice)
        EXPECT_EQ(sinks[i]->choice(choice).ids, slow_twin(info, requests[i], choice)) << "choice " << choice;
    }
    if (HasFailure()) return;
  }
}
INSTANTIATE_TEST_SUITE_P(StepsInFlight, Depth, ::testing::Values(1, 2));

TEST(DrawRules, WhatLeavesNothingIsRefused) {
  testing::ToyCore toy(toy_info());
  EngineCore* core = toy.core.get();
  EngineRequest request;
  request.prompt_ids = {1, 2};
  request.stop.max_tokens = 4;
  request.sink = std::make_shared<RecordingSink>();
  EXPECT_TRUE(core->check(request).ok());
  request.rules.allowed_token_ids = {5};
  request.rules.bad_words = {{5}};
  EXPECT_FALSE(core->check(request).ok());
  request.rules = {};
  request.rules.allowed_token_ids = {kVocab};
  EXPECT_FALSE(core->check(request).ok());
  request.rules = {};
  request.rules.bad_words = {{}};
  EXPECT_FALSE(core->check(request).ok());
  request.rules = {};
  request.rules.thinking_budget = 3;
  EXPECT_FALSE(core->check(request).ok()) << "no token ends thinking";
}

TEST(PromptLogprobs, AreThoseOfTheNextTokensForEveryChunking) {
  for (const int32_t most : {0, 1, 3, 7}) {
    testing::ToyCore toy(
        toy_info(),
        {.max_num_seqs = 8, .max_num_batched_tokens = 16, .max_prompt_logits = most, .exact = true});
    EngineRequest request;
    for (int32_t i = 0; i < 41; ++i) request.prompt_ids.push_back(i * 7 % kVocab);
    request.stop.max_tokens = 2;
    request.num_choices = 2;
    request.prompt_logprobs = 3;
    std::vector<OutputToken> got;
    struct Sink : OutputSink {
      explicit Sink(std::vector<OutputToken>& into) : got(into) {}
      void deliver(RequestOutput output) override {
        EXPECT_TRUE(output.prompt_logprobs.empty() || output.choice == 0);
        for (OutputToken& token : output.prompt_logprobs) got.push_back(std::move(token));
      }
      std::vector<OutputToken>& got;
    };
    request.sink = std::make_shared<Sink>(got);
    const std::vector<int32_t> prompt = request.prompt_ids;
    toy.add(std::move(request));
    toy.finish();
    ASSERT_EQ(got.size(), prompt.size() - 1);
    testing::ContextHash hash;
    for (size_t i = 0; i + 1 < prompt.size(); ++i) {
      hash.add(static_cast<int32_t>(i), prompt[i], TokenForm::kPrompt);
      double sum = 0.0;
      int32_t better = 0;
      const float own = FakeRunner::logit({hash.value()}, prompt[i + 1]);
      for (int32_t id = 0; id < kVocab; ++id) {
        const float logit = FakeRunner::logit({hash.value()}, id);
        sum += std::exp(static_cast<double>(logit) - 1000.0);
        better += logit > own ? 1 : 0;
      }
      EXPECT_EQ(got[i].id, prompt[i + 1]);
      EXPECT_NEAR(got[i].logprob, own - 1000.0 - std::log(sum), 1e-3);
      EXPECT_EQ(got[i].rank, better + 1);
      ASSERT_EQ(got[i].top.size(), 3u);
      EXPECT_GE(got[i].top[0].logprob, got[i].top[1].logprob);
    }
  }
}

}  // namespace
}  // namespace hadal
