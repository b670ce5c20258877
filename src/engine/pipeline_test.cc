// Two steps in flight: what is planned ahead, what becomes of rows that were launched for nothing, and random
// workloads whose outputs must be those of the requests alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "base/log.h"
#include "engine/stress_workload.h"

namespace hadal {
namespace {

using namespace hadal::testing;  // NOLINT
using ::testing::HasSubstr;

RunnerInfo two_deep(int32_t blocks = 64) {
  RunnerInfo info = toy_info(blocks);
  info.steps_in_flight = 2;
  return info;
}

std::shared_ptr<RecordingSink> add_toy(ToyCore& toy, int32_t size, int32_t max_tokens,
                                       const std::function<void(EngineRequest&)>& change = nullptr) {
  auto sink = std::make_shared<RecordingSink>();
  EngineRequest request = toy_request(toy_prompt(size), max_tokens, sink);
  if (change) change(request);
  toy.add(std::move(request));
  return sink;
}

TEST(EnginePipeline, GoesOnWithTokensOfTheDeviceAndLaunchesNoRowBeyondMaxTokens) {
  ToyCore toy(two_deep());
  std::vector<StepRow> ahead;
  int64_t launched = 0;
  toy.runner->on_launch = [&](const StepPlan& plan) {
    for (const StepRow& row : plan.rows) {
      ++launched;
      if (row.token_from != 0) ahead.push_back(row);
    }
    return OkStatus();
  };
  const auto sink = add_toy(toy, 20, 6, [](EngineRequest& request) {
    request.stop.min_tokens = 3;
    request.stop.stop_token_ids = {96};
    request.sampling.presence_penalty = 1.0f;
  });
  toy.finish();
  EXPECT_EQ(sink->choice(0).ids, expected_tokens(toy_info(), toy_prompt(20), {}, 0, 6, {96}, 3));
  EXPECT_EQ(launched, 6);  // the prompt and five tokens
  ASSERT_EQ(ahead.size(), 5u);
  for (size_t i = 0; i < ahead.size(); ++i) {
    EXPECT_TRUE(ahead[i].tokens.empty());
    EXPECT_EQ(ahead[i].token_from, i + 1);
    EXPECT_EQ(ahead[i].first_position, static_cast<int32_t>(20 + i));
    EXPECT_EQ(ahead[i].output_position, i + 1);
    EXPECT_EQ(ahead[i].output_ids.size(), i);  // without the pending one
    EXPECT_EQ(ahead[i].forbidden.empty(), i + 1 >= 3);
  }
}

TEST(EnginePipeline, ASuperfluousRowIsDroppedAndCountsForNothing) {
  const std::vector<int32_t> free_run = expected_tokens(toy_info(), toy_prompt(20), {}, 0, 20);
  const auto stop = [&](EngineRequest& request) { request.stop.stop_token_ids = {free_run[7]}; };
  ToyCore one(toy_info()), two(two_deep());
  const auto a = add_toy(one, 20, 20, stop), b = add_toy(two, 20, 20, stop);
  one.finish();
  for (int i = 0; i < 1000 && b->finished() == 0; ++i) two.core->turn();
  EXPECT_TRUE(two.core->has_work()) << "a row is still in flight";
  EXPECT_GT(two.core->cache_accounts().in_flight, 0);
  EXPECT_EQ(a->choice(0).ids, b->choice(0).ids);
  EXPECT_EQ(b->choice(0).finish, FinishReason::kStop);
  two.finish();
  EXPECT_EQ(two.core->stats().generation_tokens, one.core->stats().generation_tokens);
  EXPECT_EQ(two.core->stats().tenants[0].counter, one.core->stats().tenants[0].counter);
  // the superfluous row wrote behind what was accepted: the same can be found as with one step in flight
  EXPECT_EQ(two.core->cache_accounts().cached, one.core->cache_accounts().cached);
}

TEST(EnginePipeline, CancelKeepsTheBlocksUntilTheStepsAreCollected) {
  ToyCore toy(two_deep());
  const auto sink = add_toy(toy, 20, 30);
  for (int i = 0; i < 4; ++i) toy.core->turn();
  toy.core->cancel(toy.last_id);
  EXPECT_EQ(sink->choice(0).finish, FinishReason::kAbort);
  EXPECT_GT(toy.core->cache_accounts().in_flight, 0);
  toy.core->drain();
  EXPECT_FALSE(toy.core->has_work());
  EXPECT_EQ(toy.core->cache_accounts().in_flight, 0);
  EXPECT_EQ(toy.core->cache_accounts().held, 0);
}

TEST(EnginePipeline, AFailedStepTakesItsRequestsWithItAndNoOther) {
  for (const bool at_launch : {false, true}) {
    ToyCore toy(two_deep());
    const auto hit = add_toy(toy, 20, 30);
    for (int i = 0; i < 3; ++i) toy.core->turn();
    const LogLevel level = log_level();
    set_log_level(LogLevel::kOff);
    bool failed = false;
    const auto fail_once = [&](const StepPlan&) {
      return std::exchange(failed, true) ? OkStatus() : internal_error("broken");
    };
    (at_launch ? toy.runner->on_launch : toy.runner->on_collect) = fail_once;
    // at collect: joins the step that is launched before the failing one has been collected
    const auto beside = at_launch ? nullptr : add_toy(toy, 22, 9);
    toy.core->turn();
    set_log_level(level);
    EXPECT_EQ(hit->choice(0).finish, FinishReason::kError);
    EXPECT_TRUE(toy.core->health().ok());
    EXPECT_GT(toy.core->cache_accounts().in_flight + (at_launch ? 1 : 0), 0);
    const auto other = add_toy(toy, 21, 9);
    toy.finish();
    EXPECT_EQ(other->choice(0).ids, expected_tokens(toy_info(), toy_prompt(21), {}, 0, 9));
    if (beside != nullptr) {
      EXPECT_EQ(beside->choice(0).ids, expected_tokens(toy_info(), toy_prompt(22), {}, 0, 9));
    }
  }
}

TEST(EnginePipeline, ChoicesLogitsAndCopiesAreAsWithOneStepInFlight) {
  std::vector<std::vector<int32_t>> ids[2];
  std::vector<float> logits[2];
  for (const int32_t depth : {1, 2}) {
    RunnerInfo info = toy_info();
    info.steps_in_flight = depth;
    ToyCore toy(info);
    size_t copies = 0;
    toy.runner->on_launch = [&](const StepPlan& plan) {
      copies += plan.copies.size();
      return OkStatus();
    };
    const auto sink = add_toy(toy, 41, 9, [](EngineRequest& request) {
      request.num_choices = 3;
      request.return_prompt_logits = true;
    });
    toy.finish();
    EXPECT_EQ(copies, 2u);  // the prompt's last block, for all choices but one
    for (int32_t c = 0; c < 3; ++c) {
      ids[depth - 1].push_back(sink->choice(c).ids);
      EXPECT_EQ(sink->choice(c).ids, expected_tokens(info, toy_prompt(41), {}, c, 9));
    }
    logits[depth - 1] = sink->choice(0).prompt_logits;
    EXPECT_EQ(logits[depth - 1].size(), 41u * 97u);
  }
  EXPECT_EQ(ids[0], ids[1]);
  EXPECT_EQ(logits[0], logits[1]);
}

TEST(EnginePipeline, AnEngineThatEndsCollectsWhatIsInFlight) {
  std::atomic<int> launched{0}, collected{0};
  auto runner = std::make_unique<FakeRunner>(two_deep());
  runner->on_launch = [&](const StepPlan&) {
    ++launched;
    return OkStatus();
  };
  runner->on_collect = [&](const StepPlan&) {
    ++collected;
    return OkStatus();
  };
  auto sink = std::make_shared<RecordingSink>();
  std::promise<void> third;
  int32_t outputs = 0;
  sink->on_output = [&] {
    if (++outputs == 3) third.set_value();
  };
  auto engine = Engine::create({.max_num_seqs = 8, .max_num_batched_tokens = 32}, std::move(runner), nullptr);
  ASSERT_TRUE(engine.ok()) << engine.status();
  ASSERT_TRUE((*engine)->submit(toy_request(toy_prompt(9), 100, sink)).ok());
  third.get_future().wait();
  engine->reset();
  EXPECT_NE(sink->choice(0).finish, FinishReason::kNone);
  EXPECT_GT(launched, 3);
  EXPECT_EQ(launched, collected);
}

TEST(EnginePipeline, ALostDeviceEndsEverythingAtOnce) {
  for (const int32_t depth : {1, 2}) {
    RunnerInfo info = toy_info();
    info.steps_in_flight = depth;
    ToyCore toy(info);
    const auto sink = add_toy(toy, 20, 30);
    toy.core->turn();
    const LogLevel level = log_level();
    set_log_level(LogLevel::kOff);
    toy.runner->on_collect = [](const StepPlan&) { return device_lost("the GPU fell off the bus"); };
    toy.core->turn();
    set_log_level(level);
    EXPECT_EQ(sink->choice(0).finish, FinishReason::kError);
    EXPECT_EQ(sink->choice(0).error_kind, ErrorKind::kEngineDead);
    EXPECT_THAT(std::string(message_of(sink->choice(0).error)), HasSubstr("fell off the bus"));
    EXPECT_FALSE(toy.core->health().ok());
    EXPECT_FALSE(toy.core->has_work());
  }
}

/// A random workload; returns the tokens of every request and choice that ended by itself.
std::vector<std::vector<int32_t>> run_stress(uint64_t seed, int32_t depth, int count, bool disturbed,
                                             int64_t* preemptions, int64_t* ahead) {
  StressWorkload drawn(seed);
  drawn.info.steps_in_flight = depth;
  ManualClock clock;
  auto owned = std::make_unique<FakeRunner>(drawn.info, drawn.forms());
  FakeRunner* runner = owned.get();
  auto made = EngineCore::create(drawn.options, std::move(owned), toy_factory(), nullptr, clock);
  EXPECT_TRUE(made.ok()) << made.status();
  if (!made.ok()) return {};
  EngineCore& core = **made;
  bool failing = false;
  runner->on_resolve = [&](const StepRow&) { ++*ahead; };
  runner->on_launch = [&](const StepPlan&) {
    // whatever is neither held nor found nor in flight is nobody's: whoever still reads it reads nonsense
    for (size_t g = 0; g < drawn.info.groups.size(); ++g) {
      const BlockPool& pool = core.cache().pool(g);
      for (BlockId block = 1; block <= pool.total(); ++block) {
        if (pool.refs(block) == 0 && !pool.published(block) && !pool.in_flight(block))
          runner->poison(g, block);
      }
    }
    return OkStatus();
  };
  runner->on_collect = [&](const StepPlan&) {
    clock.advance(std::chrono::milliseconds(7));
    failing = disturbed && !failing && drawn.one_in(70);
    return failing ? internal_error("a step that fails") : OkStatus();
  };
  struct Sent {
    EngineRequest request;
    std::vector<StressSink::Event> events;
  };
  std::vector<std::unique_ptr<Sent>> all;
  int64_t events = 0;
  const auto turn = [&] {
    core.turn();
    const CacheAccounts accounts = core.cache_accounts();
    EXPECT_EQ(accounts.free + accounts.cached + accounts.held + accounts.in_flight, accounts.total);
  };
  for (int i = 0; i < count; ++i) {
    auto one = std::make_unique<Sent>();
    one->request = drawn.draw_request(clock.now());
    if (!disturbed) one->request.deadline = MonotonicTime::max();
    EngineRequest request = one->request;
    request.sink = std::make_shared<StressSink>(&one->events, &events);
    if (!core.check(request).ok()) continue;
    all.push_back(std::move(one));
    const TenantId tenant = core.tenant_of(request);
    core.add({all.size(), std::move(request), clock.now(), tenant});
    if (disturbed && drawn.one_in(6)) core.cancel(1 + drawn.pick(all.size()));
    if (disturbed && drawn.one_in(20)) core.reset_prefix_cache();
    for (uint64_t turns = disturbed ? drawn.pick(6) : i % 3; turns > 0; --turns) turn();
  }
  for (int i = 0; i < 20000 && core.has_work() && !::testing::Test::HasFailure(); ++i) turn();
  EXPECT_FALSE(core.has_work()) << "requests never finished";
  const CacheAccounts accounts = core.cache_accounts();
  EXPECT_EQ(accounts.free + accounts.cached, accounts.total) << "blocks are left";
  *preemptions += core.stats().preemptions;
  std::vector<std::vector<int32_t>> outputs;
  for (const auto& one : all) {
    for (int32_t c = 0; c < one->request.num_choices; ++c) {
      std::vector<int32_t> got = one->request.resume_ids;
      FinishReason finish = FinishReason::kNone;
      for (const StressSink::Event& event : one->events) {
        if (event.choice != c) continue;
        EXPECT_EQ(finish, FinishReason::kNone) << "an output after the finish";
        got.insert(got.end(), event.ids.begin(), event.ids.end());
        finish = event.finish;
        if (finish == FinishReason::kError && event.error != ErrorKind::kDeadline) {
          EXPECT_THAT(event.why, HasSubstr("a step that fails"));
        }
      }
      std::vector<int32_t> expected = drawn.expected(one->request, c);
      EXPECT_NE(finish, FinishReason::kNone);
      const bool whole = finish == FinishReason::kStop || finish == FinishReason::kLength;
      EXPECT_TRUE(whole || disturbed);
      if (!whole && got.size() < expected.size()) expected.resize(got.size());
      EXPECT_EQ(got, expected);
      outputs.push_back(std::move(got));
    }
  }
  return outputs;
}

TEST(EnginePipeline, FiftyRequestsGiveTheSameWithOneAndWithTwoStepsInFlight) {
  int64_t preemptions = 0, with_one = 0, with_two = 0;
  for (uint64_t seed = 1; seed <= 12 && !HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    EXPECT_EQ(run_stress(seed, 1, 50, false, &preemptions, &with_one),
              run_stress(seed, 2, 50, false, &preemptions, &with_two));
  }
  EXPECT_EQ(with_one, 0);
  EXPECT_GT(with_two, 1000);
}

TEST(EnginePipelineStress, ArrivalsCancelsPreemptionsAndFailures) {
  const LogLevel level = log_level();
  set_log_level(LogLevel::kOff);  // steps fail by intent
  int64_t preemptions = 0, ahead = 0;
  for (uint64_t seed = 100; seed < 300 && !HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    run_stress(seed, 2, 40, true, &preemptions, &ahead);
  }
  set_log_level(level);
  EXPECT_GT(preemptions, 50);
  EXPECT_GT(ahead, 5000);
}

}  // namespace
}  // namespace hadal
