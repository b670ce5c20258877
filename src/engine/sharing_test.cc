// The rule of docs/contracts/scheduler.md, one sentence a test, on the toy runner: tenants, claims, floors,
// deadlines, prefix hits, resumed requests. The random workloads are in stress_test.cc.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "engine/test_support.h"

namespace hadal {
namespace {

using namespace hadal::testing;  // NOLINT
using ::testing::HasSubstr;

struct Sent {
  RequestId id = 0;
  std::shared_ptr<RecordingSink> sink = std::make_shared<RecordingSink>();
};

/// A toy engine that records how many tokens of each tenant every step computed.
struct House {
  explicit House(const EngineOptions& options, const RunnerInfo& of = toy_info(200))
      : info(of), toy(of, options) {
    toy.runner->on_launch = [this](const StepPlan& plan) {
      last.clear();
      for (const StepRow& row : plan.rows)
        last[tenant_of.at(row.sequence)] += static_cast<int>(row.tokens.size());
      for (const auto& [tenant, tokens] : last) total[tenant] += tokens;
      toy.clock.advance(std::chrono::milliseconds(10));
      return OkStatus();
    };
  }
  Sent send(const std::string& tenant, int32_t prompt, int32_t max_tokens, int32_t salt = 0,
            const std::function<void(EngineRequest&)>& change = nullptr) {
    Sent sent;
    EngineRequest request = toy_request(toy_prompt(prompt, salt), max_tokens, sent.sink);
    request.tenant = tenant;
    if (change) change(request);
    sent.sink->resumed = static_cast<int32_t>(request.resume_ids.size());
    for (int32_t c = 0; c < request.num_choices; ++c) tenant_of[next_sequence++] = tenant;
    sent.id = toy.add(std::move(request));
    return sent;
  }
  void turn(int times = 1) {
    for (int i = 0; i < times; ++i) toy.core->turn();
  }
  int64_t in(const std::string& tenant, bool cached = false) {
    for (const TenantStats& one : toy.core->stats().tenants) {
      if (one.name == tenant) return cached ? one.blocks_cached : one.blocks_held;
    }
    return -1;
  }
  RunnerInfo info;
  ToyCore toy;
  std::map<SequenceId, std::string> tenant_of;
  SequenceId next_sequence = 1;
  std::map<std::string, int> last, total;
};

EngineOptions options_with(std::vector<TenantSettings> tenants, int32_t seqs = 8, int32_t tokens = 32) {
  EngineOptions options{.max_num_seqs = seqs, .max_num_batched_tokens = tokens, .exact = true};
  options.tenants = std::move(tenants);
  return options;
}

TEST(Sharing, ANewcomersPromptGoesBeforeTheQueueOfTheBusyTenant) {
  House house(options_with({{.name = "busy"}, {.name = "polite"}}));
  std::vector<Sent> busy;
  for (int32_t i = 0; i < 6; ++i) busy.push_back(house.send("busy", 100, 10, i));
  house.turn(3);
  const Sent polite = house.send("polite", 20, 2, 50);
  house.turn();
  EXPECT_EQ(house.last["polite"], 20) << "its whole prompt in the next step";
  EXPECT_EQ(polite.sink->choice(0).ids.size(), 1u);
  house.toy.finish();
}

TEST(Sharing, ServiceGoesByWeight) {
  House house(options_with({{.name = "one", .weight = 1.0}, {.name = "three", .weight = 3.0}}));
  std::vector<Sent> sent;
  for (int32_t i = 0; i < 20; ++i) {
    sent.push_back(house.send("one", 60, 1, i));
    sent.push_back(house.send("three", 60, 1, 30 + i));
  }
  house.turn(40);
  EXPECT_NEAR(static_cast<double>(house.total["three"]) / house.total["one"], 3.0, 0.25);
  house.toy.finish();
}

TEST(Sharing, AFreePlaceIsTakenFromWhoHasMoreThanItsPart) {
  House house(options_with({{.name = "busy"}, {.name = "polite"}}, /*seqs=*/4));
  std::vector<Sent> busy;
  for (int32_t i = 0; i < 6; ++i) busy.push_back(house.send("busy", 10, 60, i));
  house.turn(4);
  EXPECT_EQ(house.toy.core->stats().running, 4);
  const Sent polite = house.send("polite", 8, 3, 40);
  house.turn();
  EXPECT_EQ(house.last["polite"], 8);
  EXPECT_EQ(house.toy.core->stats().preemptions, 1);
  house.toy.finish();
  for (int32_t i = 0; i < 6; ++i) {
    EXPECT_EQ(busy[static_cast<size_t>(i)].sink->choice(0).ids,
              expected_tokens(house.info, toy_prompt(10, i), {}, 0, 60));
  }
  (void)polite;
}

TEST(Sharing, BlocksWithinTheFloorAreTakenBackAtOnce) {
  // 40 blocks of 4; the guarded tenant may always use 20
  House house(options_with({{.name = "greedy"}, {.name = "guarded", .kv_floor = 0.5}}, 16), toy_info(41));
  std::vector<Sent> greedy;
  for (int32_t i = 0; i < 4; ++i) greedy.push_back(house.send("greedy", 30, 30, i));
  house.turn(12);
  EXPECT_GT(house.in("greedy"), 20) << "unused share is lent";
  const Sent guarded = house.send("guarded", 60, 10, 40);
  house.turn();
  EXPECT_GT(house.last["guarded"], 0) << "admitted in the next step";
  house.turn(3);
  EXPECT_GE(house.in("guarded"), 15);
  house.toy.finish();
  EXPECT_EQ(guarded.sink->choice(0).ids, expected_tokens(house.info, toy_prompt(60, 40), {}, 0, 10));
}

TEST(Sharing, ATenantStaysUnderItsCeilingAndLimits) {
  House house(options_with({{.name = "small", .kv_ceiling = 0.25}, {.name = "two", .max_running = 2}}),
              toy_info(41));
  std::vector<Sent> sent;
  for (int32_t i = 0; i < 6; ++i) {
    sent.push_back(house.send("small", 12, 6, i));
    sent.push_back(house.send("two", 12, 6, 10 + i));
  }
  int64_t two = 0;
  while (house.toy.core->has_work()) {
    house.turn();
    ASSERT_LE(house.in("small") + house.in("small", true), 10);
    for (const TenantStats& one : house.toy.core->stats().tenants) {
      if (one.name == "two") two = std::max(two, one.running);
    }
  }
  EXPECT_EQ(two, 2);
  EngineRequest large = toy_request(toy_prompt(41), 4, std::make_shared<RecordingSink>());
  large.tenant = "small";
  EXPECT_THAT(std::string(message_of(house.toy.core->check(large))), HasSubstr("'small'"));
  for (const Sent& one : sent) EXPECT_EQ(one.sink->finished(), 1);
}

TEST(Sharing, PriorityGoesFirstInsideATenantAndOnlyThere) {
  House house(options_with({{.name = "a"}, {.name = "b"}}, /*seqs=*/2));
  std::vector<int> order;
  const auto note = [&](int which) {
    return [&order, which](EngineRequest& request) {
      request.priority = which == 2 ? -5 : which == 3 ? 9 : 0;
    };
  };
  std::vector<Sent> sent;
  sent.push_back(house.send("a", 10, 5, 0));
  sent.push_back(house.send("a", 10, 5, 1, note(1)));
  house.turn(2);
  sent.push_back(house.send("a", 10, 5, 3, note(3)));
  sent.push_back(house.send("a", 10, 5, 2, note(2)));
  for (size_t i = 2; i < 4; ++i) {
    sent[i].sink->on_output = [&order, i] { order.push_back(static_cast<int>(i)); };
  }
  house.toy.finish();
  ASSERT_FALSE(order.empty());
  EXPECT_EQ(order.front(), 3) << "the one of lower priority number came later and ran first";
}

TEST(Sharing, ALateRequestIsRefusedEarly) {
  House house(options_with({}));
  std::vector<Sent> sent;
  for (int32_t i = 0; i < 4; ++i) sent.push_back(house.send("", 100, 4, i));
  house.turn(2);  // 32 tokens in 10 ms: 3,200 tokens a second
  const auto in_ms = [&](int ms) {
    return [&house, ms](EngineRequest& request) {
      request.deadline = house.toy.clock.now() + std::chrono::milliseconds(ms);
    };
  };
  const Sent hopeless = house.send("", 50, 4, 20, in_ms(90));  // some 340 tokens are before it: 106 ms
  const Sent easy = house.send("", 50, 4, 21, in_ms(5000));
  house.turn();
  EXPECT_EQ(hopeless.sink->choice(0).finish, FinishReason::kError);
  EXPECT_EQ(hopeless.sink->choice(0).error_kind, ErrorKind::kDeadline);
  EXPECT_EQ(house.toy.core->stats().refused_deadline, 1);
  house.toy.finish();
  EXPECT_EQ(easy.sink->choice(0).ids.size(), 4u);
}

// What a tenant's request costs must not depend on what another has sent: that is what it could measure.
int tokens_computed_for_b(bool salted, bool a_sent_it_before) {
  EngineOptions options = options_with({{.name = "a"}, {.name = "b"}});
  options.salt_tenants = salted;
  House house(options);
  house.send("a", 61, 2, a_sent_it_before ? 7 : 8);
  house.toy.finish();
  house.send("b", 61, 2, 7);
  house.toy.finish();
  return house.total["b"];
}

TEST(Sharing, NobodyLearnsByItsOwnCostWhatAnotherTenantHasSent) {
  EXPECT_EQ(tokens_computed_for_b(true, true), tokens_computed_for_b(true, false));
  EXPECT_NE(tokens_computed_for_b(false, true), tokens_computed_for_b(false, false))
      << "without salts the test must see the difference, or it sees nothing";
}

TEST(Sharing, CacheSaltsAndDeclaredPrefixes) {
  EngineOptions options = options_with({{.name = "a"}, {.name = "b"}});
  options.shared_prefixes = {toy_prompt(24, 3)};
  House house(options);
  const auto cached = [&](const std::string& tenant, int32_t prompt, int32_t salt,
                          const std::string& cache_salt = "") {
    const Sent sent =
        house.send(tenant, prompt, 2, salt, [&](EngineRequest& one) { one.cache_salt = cache_salt; });
    house.toy.finish();
    return sent.sink->choice(0).cached_tokens;
  };
  EXPECT_EQ(cached("a", 41, 3), 0);
  EXPECT_EQ(cached("b", 41, 3), 24) << "the declared prefix alone";
  EXPECT_EQ(cached("b", 41, 3), 40);
  EXPECT_EQ(cached("a", 41, 3, "secret"), 0) << "a salt of the request's own shares nothing";
  EXPECT_EQ(cached("a", 41, 3, "secret"), 40);
  EXPECT_EQ(cached("a", 41, 9), 0);
  EXPECT_EQ(house.toy.core->stats().blocks_pinned, 6);
}

TEST(Sharing, StaticBatchingAdmitsOnlyWhenNothingRuns) {
  EngineOptions options = options_with({}, /*seqs=*/3);
  options.policy = SchedulingPolicy::kStatic;
  House house(options);
  std::vector<Sent> sent;
  for (int32_t i = 0; i < 7; ++i) sent.push_back(house.send("", 5, 3 + 4 * i, i));
  int64_t before = 0;
  while (house.toy.core->has_work()) {
    house.turn();
    const int64_t now = house.toy.core->stats().running;
    EXPECT_TRUE(now <= before || before == 0) << "somebody joined a running batch";
    before = now;
  }
}

TEST(Sharing, LongPromptsAreCutToTheThreshold) {
  EngineOptions options = options_with({});
  options.long_prefill_token_threshold = 5;
  House house(options);
  house.send("", 40, 2, 1);
  for (int i = 0; i < 7; ++i) {
    house.turn();
    EXPECT_LE(house.last[""], 5);
  }
  house.toy.finish();
}

// ---- resume: cut at every position of fifty varied requests
// -----------------------------------------------------------

EngineRequest varied_request(int32_t index, const std::shared_ptr<RecordingSink>& sink,
                             const std::string& free_text) {
  EngineRequest request = toy_request(toy_prompt(3 + index % 11, index), 6 + index % 9, sink);
  request.sampling.seed = static_cast<uint64_t>(index) * 7919;
  request.sampling.choice = static_cast<uint32_t>(index % 3);
  if (index % 2 == 1) request.stop.min_tokens = index % 5;
  if (index % 3 == 1 && free_text.size() > 4) request.stop.stop = {free_text.substr(3, 1 + index % 2)};
  if (index % 4 == 2) request.stop.stop_token_ids = {index % 97, (index * 5) % 97, (index * 11) % 97};
  request.stop.include_stop_str_in_output = index % 5 == 0;
  return request;
}

TEST(Resume, GivesExactlyTheRestWhereverItIsCut) {
  int cuts = 0;
  for (int32_t index = 0; index < 50; ++index) {
    ToyCore toy(toy_info());
    auto free_run = std::make_shared<RecordingSink>();
    toy.add(varied_request(index, free_run, ""));
    toy.finish();
    auto whole = std::make_shared<RecordingSink>();
    toy.add(varied_request(index, whole, free_run->choice(0).text));
    toy.finish();
    const RecordingSink::Choice all = whole->choice(0);
    for (size_t cut = 1; cut <= all.ids.size(); ++cut) {
      ToyCore other(toy_info());
      auto rest = std::make_shared<RecordingSink>();
      EngineRequest request = varied_request(index, rest, free_run->choice(0).text);
      request.resume_ids.assign(all.ids.begin(), all.ids.begin() + static_cast<std::ptrdiff_t>(cut));
      rest->resumed = static_cast<int32_t>(cut);
      other.add(std::move(request));
      other.finish();
      const RecordingSink::Choice got = rest->choice(0);
      EXPECT_EQ(got.ids,
                std::vector<int32_t>(all.ids.begin() + static_cast<std::ptrdiff_t>(cut), all.ids.end()))
          << "request " << index << " cut at " << cut;
      // where the cut output already ends the request, its last text has been given out with it
      if (cut < all.ids.size()) {
        EXPECT_EQ(got.resumed_text + got.text, all.text) << "request " << index << " cut at " << cut;
      }
      EXPECT_EQ(got.finish, all.finish);
      EXPECT_EQ(got.stop_reason, all.stop_reason);
      ++cuts;
    }
  }
  EXPECT_GT(cuts, 250);
}

TEST(Resume, RefusesWhatItCannotContinue) {
  ToyCore toy(toy_info());
  auto sink = std::make_shared<RecordingSink>();
  EngineRequest request = toy_request(toy_prompt(5), 5, sink);
  request.resume_ids = {200};
  EXPECT_FALSE(toy.core->check(request).ok());
  request.resume_ids = {2};
  request.num_choices = 2;
  EXPECT_FALSE(toy.core->check(request).ok());
}

}  // namespace
}  // namespace hadal
