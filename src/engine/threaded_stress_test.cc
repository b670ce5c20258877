// The engine on its own thread under several threads at once, for ThreadSanitizer above all: they submit for
// tenants with floors and ceilings, cancel, read figures and forget the prefix cache, while a tiny cache
// makes it preempt. Whatever comes out must be what the request gives alone. (Step for step it is compared in
// stress_test.cc, in one thread.)
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "engine/test_support.h"

namespace hadal {
namespace {

using namespace hadal::testing;  // NOLINT

struct Sent {
  std::shared_ptr<RecordingSink> sink;
  EngineRequest request;  // without sink
  bool cancelled = false;
};

class ThreadedStress : public ::testing::TestWithParam<int32_t> {  // steps in flight
 protected:
  static constexpr int kClients = 4, kRequests = 80;

  void SetUp() override {
    info_ = toy_info(26, 4);
    info_.steps_in_flight = GetParam();
    info_.groups.push_back({"window", 2, 60, 9});
    EngineOptions options{.max_num_seqs = 8, .max_num_batched_tokens = 24, .max_queued_requests = 1000};
    options.exact = true;
    options.shared_prefixes = {toy_prompt(8, 1)};
    options.tenants = {{.name = "floor", .weight = 2.0, .kv_floor = 0.4},
                       {.name = "ceiling", .kv_ceiling = 0.7, .max_running = 3}};
    auto engine = Engine::create(options, std::make_unique<FakeRunner>(info_), nullptr);
    ASSERT_TRUE(engine.ok()) << engine.status();
    engine_ = std::move(engine).value();
  }

  EngineRequest draw_request(std::mt19937_64& random) const {
    static const char* const kTenants[] = {"", "floor", "ceiling", "a guest"};
    EngineRequest request;
    request.tenant = kTenants[random() % 4];
    request.prompt_ids =
        toy_prompt(static_cast<int32_t>(1 + random() % 34), static_cast<int32_t>(random() % 3));
    request.sampling.seed = random();
    request.stop.max_tokens = static_cast<int32_t>(1 + random() % 20);
    request.num_choices = random() % 4 == 0 ? static_cast<int32_t>(1 + random() % 3) : 1;
    request.priority = static_cast<int32_t>(random() % 3);
    if (random() % 8 == 0) request.cache_salt = "salt";
    return request;
  }

  void submit_and_cancel(size_t client) {
    std::mt19937_64 random(client + 1);
    std::vector<RequestId> ids;
    for (int i = 0; i < kRequests; ++i) {
      Sent one;
      one.request = draw_request(random);
      one.sink = std::make_shared<RecordingSink>();
      EngineRequest request = one.request;
      request.sink = one.sink;
      const StatusOr<RequestId> id = engine_->submit(std::move(request));
      ASSERT_TRUE(id.ok()) << id.status();
      ids.push_back(*id);
      sent_[client].push_back(std::move(one));
      if (random() % 4 == 0) {
        const size_t which = random() % ids.size();  // often one that has ended
        sent_[client][which].cancelled = true;
        engine_->cancel(ids[which]);
      }
      if (random() % 2 == 0) std::this_thread::yield();
    }
    for (const Sent& one : sent_[client]) ASSERT_TRUE(one.sink->wait_finished(one.request.num_choices));
  }

  void read_figures() {
    while (!done_) {
      const EngineStats stats = engine_->stats();
      EXPECT_EQ(stats.blocks_used + stats.blocks_free + stats.blocks_cached, stats.blocks_total);
      EXPECT_GE(engine_->retry_after_seconds(), 1);
      EXPECT_TRUE(engine_->health().ok());
      (void)engine_->idle();
      std::this_thread::yield();
    }
  }
  void forget_now_and_then() {
    while (!done_) {
      engine_->reset_prefix_cache();
      for (int i = 0; i < 200 && !done_; ++i) std::this_thread::yield();
    }
  }

  void check(const Sent& one) const {
    for (int32_t c = 0; c < one.request.num_choices; ++c) {
      const RecordingSink::Choice got = one.sink->choice(c);
      std::vector<int32_t> expected = expected_tokens(info_, one.request.prompt_ids, one.request.sampling, c,
                                                      one.request.stop.max_tokens);
      if (got.finish == FinishReason::kAbort) {
        EXPECT_TRUE(one.cancelled);
        ASSERT_LE(got.ids.size(), expected.size());
        expected.resize(got.ids.size());
      } else {
        EXPECT_EQ(got.finish, FinishReason::kLength) << got.error;
      }
      EXPECT_EQ(got.ids, expected);
    }
  }

  RunnerInfo info_;
  std::unique_ptr<Engine> engine_;
  std::vector<std::vector<Sent>> sent_{kClients};
  std::atomic<bool> done_{false};
};

TEST_P(ThreadedStress, ManyThreadsAndTenantsGetWhatTheirRequestsGiveAlone) {
  std::vector<std::thread> clients, others;
  for (size_t t = 0; t < kClients; ++t) clients.emplace_back([this, t] { submit_and_cancel(t); });
  others.emplace_back([this] { read_figures(); });
  others.emplace_back([this] { forget_now_and_then(); });
  for (std::thread& client : clients) client.join();
  done_ = true;
  for (std::thread& other : others) other.join();
  for (const auto& of_client : sent_) {
    ASSERT_EQ(of_client.size(), static_cast<size_t>(kRequests));
    for (const Sent& one : of_client) check(one);
  }
  while (!engine_->idle()) std::this_thread::yield();
  const EngineStats stats = engine_->stats();
  EXPECT_EQ(stats.running, 0);
  EXPECT_EQ(stats.waiting, 0);
  EXPECT_EQ(stats.blocks_used, 0);
  EXPECT_EQ(stats.blocks_free + stats.blocks_cached, stats.blocks_total);
}

INSTANTIATE_TEST_SUITE_P(StepsInFlight, ThreadedStress, ::testing::Values(1, 2));

}  // namespace
}  // namespace hadal
