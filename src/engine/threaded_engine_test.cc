#include "engine/threaded_engine.h"

#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "engine/test_support.h"

namespace hadal {
namespace {

using namespace hadal::testing;  // NOLINT

struct Made {
  std::unique_ptr<Engine> engine;
  FakeRunner* runner = nullptr;
};

Made make_engine(int32_t blocks, int32_t max_queued, EngineOptions options = {}) {
  auto owned = std::make_unique<FakeRunner>(toy_info(blocks));
  Made made;
  made.runner = owned.get();
  options.max_num_seqs = 8;
  options.max_num_batched_tokens = 32;
  options.max_queued_requests = max_queued;
  options.exact = true;
  auto core = EngineCore::create(options, std::move(owned), toy_factory(), nullptr, Clock::real());
  EXPECT_TRUE(core.ok()) << core.status();
  auto engine = ThreadedEngine::start(std::move(core).value(), options, Clock::real());
  EXPECT_TRUE(engine.ok()) << engine.status();
  made.engine = std::move(engine).value();
  return made;
}

TEST(ThreadedEngine, ServesAndIdles) {
  Made made = make_engine(64, 8);
  EXPECT_TRUE(made.engine->idle());
  auto sink = std::make_shared<RecordingSink>();
  ASSERT_TRUE(made.engine->submit(toy_request(toy_prompt(10), 12, sink)).ok());
  ASSERT_TRUE(sink->wait_finished(1));
  EXPECT_EQ(sink->choice(0).ids, expected_tokens(toy_info(), toy_prompt(10), {}, 0, 12));
  while (!made.engine->idle()) std::this_thread::yield();
  const EngineStats stats = made.engine->stats();
  EXPECT_EQ(stats.generation_tokens, 12);
  EXPECT_EQ(stats.blocks_used, 0);
  EXPECT_EQ(stats.blocks_total, 63);
  EXPECT_TRUE(made.engine->health().ok());
}

TEST(ThreadedEngine, AFullQueueIsAnAnswer) {
  Made made = make_engine(64, 2);
  std::atomic<bool> hold{true};
  made.runner->on_launch = [&](const StepPlan&) {
    while (hold) std::this_thread::yield();
    return OkStatus();
  };
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  Status last;
  for (int i = 0; i < 12 && last.ok(); ++i) {
    sinks.push_back(std::make_shared<RecordingSink>());
    last = made.engine->submit(toy_request(toy_prompt(5), 2, sinks.back())).status();
  }
  EXPECT_EQ(last.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(Engine::queue_full(last));
  EXPECT_GE(made.engine->retry_after_seconds(), 1);
  hold = false;
  sinks.pop_back();
  for (const auto& sink : sinks) EXPECT_TRUE(sink->wait_finished(1));
}

TEST(ThreadedEngine, StopAdmissionFinishesWhatRuns) {
  Made made = make_engine(64, 8);
  auto sink = std::make_shared<RecordingSink>();
  ASSERT_TRUE(made.engine->submit(toy_request(toy_prompt(10), 60, sink)).ok());
  made.engine->stop_admission();
  EXPECT_EQ(made.engine->submit(toy_request(toy_prompt(10), 5, sink)).status().code(),
            absl::StatusCode::kUnavailable);
  ASSERT_TRUE(sink->wait_finished(1));
  EXPECT_EQ(sink->choice(0).ids.size(), 60u);
}

TEST(ThreadedEngine, TheDestructorAbortsWhatIsLeft) {
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  {
    Made made = make_engine(64, 64);
    made.runner->on_launch = [](const StepPlan&) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      return OkStatus();
    };
    for (int i = 0; i < 20; ++i) {
      sinks.push_back(std::make_shared<RecordingSink>());
      ASSERT_TRUE(made.engine->submit(toy_request(toy_prompt(10), 100, sinks.back())).ok());
    }
  }
  for (const auto& sink : sinks) EXPECT_EQ(sink->choice(0).finish, FinishReason::kAbort);
}

TEST(ThreadedEngine, AfterItDiedRequestsAreRefused) {
  Made made = make_engine(64, 64);
  made.runner->on_launch = [](const StepPlan&) { return internal_error("broken"); };
  for (int i = 0; i < EngineCore::kMaxFailedSteps; ++i) {
    auto sink = std::make_shared<RecordingSink>();
    ASSERT_TRUE(made.engine->submit(toy_request(toy_prompt(10), 10, sink)).ok());
    ASSERT_TRUE(sink->wait_finished(1));
    EXPECT_EQ(sink->choice(0).finish, FinishReason::kError);
  }
  while (made.engine->health().ok()) std::this_thread::yield();
  auto sink = std::make_shared<RecordingSink>();
  EXPECT_FALSE(made.engine->submit(toy_request(toy_prompt(10), 10, sink)).ok());
}

TEST(ThreadedEngine, ATenantsQueueAndTheTokensThatWaitAreBounded) {
  EngineOptions options;
  options.tenants = {{.name = "small", .max_queued = 1}};
  options.max_queued_tokens = 100;
  Made made = make_engine(64, 100, options);
  std::atomic<bool> hold{true}, begun{false};
  made.runner->on_launch = [&](const StepPlan&) {
    begun = true;
    while (hold) std::this_thread::yield();
    return OkStatus();
  };
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  const auto submit = [&](const char* tenant, int32_t prompt) {
    sinks.push_back(std::make_shared<RecordingSink>());
    EngineRequest request = toy_request(toy_prompt(prompt), 2, sinks.back());
    request.tenant = tenant;
    const Status status = made.engine->submit(std::move(request)).status();
    if (!status.ok()) sinks.pop_back();
    return status;
  };
  ASSERT_TRUE(submit("", 5).ok());
  while (!begun) std::this_thread::yield();  // the engine is in its step; all others wait
  EXPECT_TRUE(submit("small", 5).ok());
  const Status second = submit("small", 5);
  EXPECT_EQ(second.code(), absl::StatusCode::kResourceExhausted) << second;
  EXPECT_FALSE(Engine::queue_full(second));
  EXPECT_TRUE(submit("other", 80).ok());
  EXPECT_TRUE(Engine::queue_full(submit("other", 80))) << "over max_num_queued_tokens";
  hold = false;
  for (const auto& sink : sinks) EXPECT_TRUE(sink->wait_finished(1));
}

TEST(ThreadedEngine, AHangingStepFailsEverythingAndIsSeenInHealth) {
  EngineOptions options;
  options.step_timeout_s = 0.05;
  Made made = make_engine(64, 100, options);
  std::atomic<bool> hold{true};
  made.runner->on_launch = [&](const StepPlan&) {
    while (hold) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return OkStatus();
  };
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  for (int i = 0; i < 3; ++i) {
    sinks.push_back(std::make_shared<RecordingSink>());
    EngineRequest request = toy_request(toy_prompt(5), 4, sinks.back());
    request.num_choices = 2;
    ASSERT_TRUE(made.engine->submit(std::move(request)).ok());
  }
  for (const auto& sink : sinks) {
    ASSERT_TRUE(sink->wait_finished(2)) << "the watchdog said nothing";
    EXPECT_EQ(sink->choice(1).finish, FinishReason::kError);
    EXPECT_EQ(sink->choice(1).error_kind, ErrorKind::kEngineDead);
  }
  EXPECT_FALSE(made.engine->health().ok());
  EXPECT_TRUE(made.engine->idle());
  auto late = std::make_shared<RecordingSink>();
  EXPECT_FALSE(made.engine->submit(toy_request(toy_prompt(5), 4, late)).ok());
  hold =
      false;  // the step comes back after all: its outputs reach nobody (a second finish would fail the sink)
}

TEST(ThreadedEngine, ResettingThePrefixCacheForgets) {
  Made made = make_engine(64, 100);
  const auto cached = [&] {
    auto sink = std::make_shared<RecordingSink>();
    EXPECT_TRUE(made.engine->submit(toy_request(toy_prompt(20), 2, sink)).ok());
    EXPECT_TRUE(sink->wait_finished(1));
    return sink->choice(0).cached_tokens;
  };
  EXPECT_EQ(cached(), 0);
  EXPECT_EQ(cached(), 16);
  made.engine->reset_prefix_cache();
  EXPECT_EQ(cached(), 0);
}

// Several threads submit and cancel; every accepted request gets one finish a choice, and whatever came out
// is a beginning of what the request gives alone.
TEST(ThreadedEngine, ManyThreadsSubmitAndCancel) {
  Made made = make_engine(24, 1000);
  struct Sent {
    std::shared_ptr<RecordingSink> sink;
    std::vector<int32_t> prompt;
    int32_t max_tokens = 0, choices = 0;
    bool cancelled = false;
  };
  std::vector<std::vector<Sent>> sent(4);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < sent.size(); ++t) {
    threads.emplace_back([&, t] {
      std::mt19937_64 random(t + 1);
      for (int i = 0; i < 60; ++i) {
        Sent one;
        one.sink = std::make_shared<RecordingSink>();
        one.prompt = toy_prompt(1 + static_cast<int32_t>(random() % 40), static_cast<int32_t>(random() % 90));
        one.max_tokens = 1 + static_cast<int32_t>(random() % 30);
        one.choices = 1 + static_cast<int32_t>(random() % 3);
        EngineRequest request = toy_request(one.prompt, one.max_tokens, one.sink);
        request.num_choices = one.choices;
        const StatusOr<RequestId> id = made.engine->submit(std::move(request));
        ASSERT_TRUE(id.ok()) << id.status();
        one.cancelled = random() % 3 == 0;
        if (one.cancelled) made.engine->cancel(*id);
        if (random() % 4 == 0) std::this_thread::yield();
        (void)made.engine->stats();
        sent[t].push_back(std::move(one));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& of_thread : sent) {
    for (const Sent& one : of_thread) {
      ASSERT_TRUE(one.sink->wait_finished(one.choices));
      for (int32_t c = 0; c < one.choices; ++c) {
        const RecordingSink::Choice got = one.sink->choice(c);
        std::vector<int32_t> expected = expected_tokens(toy_info(24), one.prompt, {}, c, one.max_tokens);
        if (got.finish == FinishReason::kAbort) {
          EXPECT_TRUE(one.cancelled);
          expected.resize(got.ids.size());
        }
        EXPECT_EQ(got.ids, expected);
      }
    }
  }
  while (!made.engine->idle()) std::this_thread::yield();
  EXPECT_EQ(made.engine->stats().blocks_used, 0);
}

}  // namespace
}  // namespace hadal
