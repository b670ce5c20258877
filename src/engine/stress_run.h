// For tests: one random workload (stress_workload.h) run through the engine and through its slow twin
// (reference_model.h), compared in every step; every output is held against what the request gives alone.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/reference_model.h"
#include "engine/stress_workload.h"

namespace hadal::testing {

struct StressTotals {
  int64_t steps = 0, preemptions = 0, finished = 0, refused = 0, hits = 0, evictions = 0, claims = 0,
          failures = 0;
};

class StressRun {
 public:
  explicit StressRun(uint64_t seed) : drawn_(seed) {
    auto runner = std::make_unique<FakeRunner>(drawn_.info, drawn_.forms());
    runner_ = runner.get();
    auto core = EngineCore::create(drawn_.options, std::move(runner), toy_factory(), nullptr, clock_);
    EXPECT_TRUE(core.ok()) << core.status();
    if (!core.ok()) return;
    core_ = std::move(core).value();
    make_model();
    runner_->on_launch = [this](const StepPlan& plan) {
      see_launch(plan);
      return OkStatus();
    };
    runner_->on_collect = [this](const StepPlan&) {
      clock_.advance(std::chrono::milliseconds(7));
      return fails_ ? internal_error("a step that fails") : OkStatus();
    };
  }

  /// Makes `steps` steps with arrivals and cancellations, then lets all finish.
  void run(int steps, StressTotals* totals) {
    if (core_ == nullptr) return;
    const auto most_live = static_cast<size_t>(drawn_.between(3, 20));
    int made = 0;
    for (; made < steps && !::testing::Test::HasFailure(); ++made) {
      while (live_.size() < most_live && drawn_.one_in(2)) arrive();
      if (!live_.empty() && drawn_.one_in(12)) cancel();
      if (drawn_.one_in(90)) forget_prefixes();
      turn();
    }
    for (; core_->has_work() && made < steps + 20000 && !::testing::Test::HasFailure(); ++made) turn();
    EXPECT_TRUE(live_.empty()) << live_.size() << " requests never finished";
    const CacheAccounts accounts = core_->cache_accounts();
    EXPECT_EQ(accounts.free + accounts.cached, accounts.total) << "blocks are left";
    totals_.steps = made;
    totals_.evictions = accounts.evictions;
    add(totals_, totals);
  }

 private:
  struct Live {
    EngineRequest request;
    std::vector<StressSink::Event> events;
    std::map<int32_t, std::vector<int32_t>> ids;  // by choice
    std::map<int32_t, StressSink::Event> finishes;
    std::optional<int> first_hit;  // tokens
    bool cancelled = false;
  };

  static void add(const StressTotals& one, StressTotals* sum) {
    sum->steps += one.steps;
    sum->preemptions += one.preemptions;
    sum->finished += one.finished;
    sum->refused += one.refused;
    sum->hits += one.hits;
    sum->evictions += one.evictions;
    sum->claims += one.claims;
    sum->failures += one.failures;
  }

  bool one_tenant() const { return drawn_.options.policy != SchedulingPolicy::kFair; }

  // ---- the twin

  void make_model() {
    const EngineOptions& options = drawn_.options;
    std::vector<ReferenceCache::Group> groups;
    for (const RunnerCacheGroup& group : drawn_.info.groups) {
      groups.push_back({group.block_tokens, group.num_blocks - 1, group.window});
    }
    const RefLimits limits{.tokens = options.max_num_batched_tokens,
                           .rows = drawn_.info.max_rows_per_step,
                           .places = options.max_num_seqs,
                           .chunk = options.chunk,
                           .threshold = options.long_prefill_token_threshold,
                           .output_cost = options.output_token_cost,
                           .only_when_idle = options.policy == SchedulingPolicy::kStatic};
    model_ = std::make_unique<ReferenceModel>(limits, groups, drawn_.forms() == ToyForms::kMatter);
    model_->add_shared_account(shared_limits());
    tenant_of("");
    for (const TenantSettings& tenant : options.tenants) tenant_of(tenant.name);
  }
  /// The declared prefixes' whole blocks, each once.
  std::vector<ReferenceCache::Limits> shared_limits() const {
    std::vector<ReferenceCache::Limits> out;
    for (const RunnerCacheGroup& group : drawn_.info.groups) {
      std::set<std::vector<int32_t>> blocks;
      for (const auto& prefix : drawn_.options.shared_prefixes) {
        for (auto end = static_cast<size_t>(group.block_tokens); end <= prefix.size();
             end += static_cast<size_t>(group.block_tokens)) {
          blocks.insert({prefix.begin(), prefix.begin() + static_cast<std::ptrdiff_t>(end)});
        }
      }
      out.push_back({drawn_.options.prefix_caching ? static_cast<int>(blocks.size()) : 0});
    }
    return out;
  }
  int tenant_of(const std::string& name) {
    const auto found = tenants_.find(name);
    if (found != tenants_.end()) return found->second;
    TenantSettings settings = drawn_.options.default_tenant;
    for (const TenantSettings& one : drawn_.options.tenants) {
      if (one.name == name) settings = one;
    }
    std::vector<ReferenceCache::Limits> limits;
    for (const RunnerCacheGroup& group : drawn_.info.groups) limits.push_back(blocks_of(settings, group));
    return tenants_[name] = model_->add_tenant(settings.weight, settings.max_running, limits);
  }
  static ReferenceCache::Limits blocks_of(const TenantSettings& settings, const RunnerCacheGroup& group) {
    const int blocks = group.num_blocks - 1;
    return {static_cast<int>(settings.kv_floor * blocks),
            std::max(1, static_cast<int>(settings.kv_ceiling * blocks))};
  }
  RefSequence twin_of(const EngineRequest& request) {
    const EngineOptions& options = drawn_.options;
    RefSequence out;
    out.text.salt = (options.salt_tenants ? request.tenant : "") + "/" + request.cache_salt;
    out.text.tokens.assign(request.prompt_ids.begin(), request.prompt_ids.end());
    out.text.tokens.insert(out.text.tokens.end(), request.resume_ids.begin(), request.resume_ids.end());
    out.text.prompt = static_cast<int>(request.prompt_ids.size());
    out.text.shared = request.cache_salt.empty() ? shared_tokens(request.prompt_ids) : 0;
    out.text.named = options.prefix_caching && !request.return_prompt_logits;
    out.tenant = tenant_of(one_tenant() ? "" : request.tenant);
    out.priority = one_tenant() ? 0 : request.priority;
    out.places = request.num_choices;
    out.returns_logits = request.return_prompt_logits;
    if (request.deadline != MonotonicTime::max()) out.deadline = seconds(request.deadline);
    return out;
  }
  int shared_tokens(const std::vector<int32_t>& prompt) const {
    size_t longest = 0;
    for (const auto& prefix : drawn_.options.shared_prefixes) {
      const bool begins =
          prefix.size() <= prompt.size() && std::equal(prefix.begin(), prefix.end(), prompt.begin());
      if (begins) longest = std::max(longest, prefix.size());
    }
    return static_cast<int>(longest);
  }
  static double seconds(MonotonicTime time) { return seconds_between(MonotonicTime{}, time); }

  // ---- what happens

  void arrive() {
    Live one;
    one.request = drawn_.draw_request(clock_.now());
    const RequestId id = next_id_ + 1;
    Live& kept = live_[id] = std::move(one);
    EngineRequest request = kept.request;
    request.sink = std::make_shared<StressSink>(&kept.events, &events_);
    if (!one_tenant())
      tenant_of(request.tenant);        // a tenant is known from its first request on, taken or not
    if (!core_->check(request).ok()) {  // more than this cache or step can hold
      live_.erase(id);
      return;
    }
    next_id_ = id;
    for (int32_t c = 0; c < request.num_choices; ++c) key_of_[next_sequence_++] = {id, c};
    model_->arrive(id, twin_of(request));
    const TenantId tenant = core_->tenant_of(request);
    core_->add({id, std::move(request), clock_.now(), tenant});
    settle();
  }

  void cancel() {
    const auto chosen = std::next(live_.begin(), static_cast<long>(drawn_.pick(live_.size())));
    chosen->second.cancelled = true;
    core_->cancel(chosen->first);
    settle();
    compare_accounts();
  }

  void forget_prefixes() {
    core_->reset_prefix_cache();
    model_->forget_prefixes();
    compare_accounts();
  }

  void turn() {
    if (!core_->has_work()) return;
    expected_ = model_->decide(seconds(clock_.now()), core_->stats().tokens_per_second);
    fails_ = !fails_ && drawn_.one_in(70);
    launched_ = false;
    refused_.clear();
    note_usage();
    const int64_t preempted = core_->stats().preemptions;
    core_->turn();
    if (!launched_) {
      ASSERT_TRUE(expected_.order.empty()) << "nothing ran" << model_->describe(expected_);
      model_->commit(expected_, nullptr);
    } else if (!fails_) {
      model_->collected(expected_);
    }
    ASSERT_EQ(core_->stats().preemptions - preempted, static_cast<int64_t>(expected_.preempted.size()));
    settle();
    std::set<RequestId> refused;
    for (const RefKey& key : expected_.refused) refused.insert(key.first);
    ASSERT_EQ(refused_, refused);
    compare_accounts();
    totals_.preemptions += static_cast<int64_t>(expected_.preempted.size());
    totals_.claims += static_cast<int64_t>(expected_.floor_claims.size());
    totals_.failures += launched_ && fails_ ? 1 : 0;
  }

  void note_usage() {
    usage_before_.clear();
    for (size_t g = 0; g < drawn_.info.groups.size(); ++g) {
      usage_before_.emplace_back();
      for (const AccountCounts& one : core_->cache().pool(g).accounts())
        usage_before_[g].push_back(one.usage());
    }
  }

  /// The engine has committed a step: it must be the twin's.
  void see_launch(const StepPlan& plan) {
    launched_ = true;
    std::map<RefKey, int> tokens, starts;
    tables_.clear();
    for (const StepRow& row : plan.rows) {
      if (row.tokens.empty()) continue;
      const RefKey key = key_of_.at(row.sequence);
      const int first =
          starts.count(key) > 0 ? std::min(starts[key], row.first_position) : row.first_position;
      tokens[key] += static_cast<int>(row.tokens.size());
      starts[key] = first;
      tables_[key] = row.block_table;
    }
    std::vector<RefKey> preempted;
    for (const SequenceId id : core_->last_preempted()) preempted.push_back(key_of_.at(id));
    ASSERT_EQ(preempted, expected_.preempted) << model_->describe(expected_) << "the engine granted "
                                              << ::testing::PrintToString(tokens);
    ASSERT_EQ(tokens, expected_.tokens) << model_->describe(expected_);
    for (const auto& [key, hit] : expected_.hits) {
      ASSERT_EQ(starts[key], hit) << "prefix hit of request " << key.first << " choice " << key.second;
      totals_.hits += hit;
      Live& one = live_.at(key.first);
      if (!one.first_hit) one.first_hit = std::min(hit, static_cast<int>(one.request.prompt_ids.size()));
    }
    for (const RefKey& head : expected_.floor_claims) see_claim(head, plan);
    model_->commit(expected_, [this](size_t g, const RefKey& key, int index) {
      const std::vector<BlockId>& table = tables_.at(key)[g];
      return static_cast<size_t>(index) < table.size() ? table[static_cast<size_t>(index)] : 0;
    });
    for (const std::string& fault : model_->faults()) ADD_FAILURE() << fault;
    for (const auto& [key, table] : tables_) {
      for (size_t g = 0; g < table.size(); ++g) ASSERT_EQ(table[g], model_->state().cache.ids(g, key));
    }
    for (const auto& [g, block] : model_->taken()) runner_->poison(g, block);
    see_floors();
  }
  /// A tenant that asks for blocks below its floor gets them in that step, if it has tokens and rows for
  /// anybody.
  void see_claim(const RefKey& head, const StepPlan& plan) {
    const int32_t rows = live_.at(head.first).request.num_choices + 1;
    const bool room = expected_.total() < drawn_.options.max_num_batched_tokens &&
                      static_cast<int32_t>(plan.rows.size()) + rows <= drawn_.info.max_rows_per_step;
    ASSERT_TRUE(expected_.tokens.count(head) > 0 || !room || drawn_.options.chunk > 0)
        << "request " << head.first << " claims blocks within its tenant's floor and does not run"
        << model_->describe(expected_);
  }

  /// What an account had within its floor it still has, unless its own sequences were preempted.
  void see_floors() const {
    std::set<size_t> lost;
    for (const RefKey& key : expected_.preempted) {
      lost.insert(static_cast<size_t>(model_->state().account(key)));
      lost.insert(0);  // forgotten blocks of a declared prefix go with their last holder
      if (!drawn_.options.salt_tenants) return;  // and so may others'
    }
    for (size_t g = 0; g < usage_before_.size(); ++g) {
      const std::vector<AccountCounts>& accounts = core_->cache().pool(g).accounts();
      for (size_t a = 0; a < accounts.size(); ++a) {
        const int floor = model_->state().cache.floor(g, static_cast<int>(a));
        ASSERT_TRUE(lost.count(a) > 0 || accounts[a].usage() >= std::min(usage_before_[g][a], floor))
            << "account " << a << " in group " << g << " had " << usage_before_[g][a] << ", has "
            << accounts[a].usage() << ", its floor is " << floor;
      }
    }
  }

  /// Tells the twin what came out; checks what has ended.
  void settle() {
    std::map<int64_t, RequestId> left;  // in the order in which they ended
    for (auto at = live_.begin(); at != live_.end();) {
      Live& one = at->second;
      for (const StressSink::Event& event : std::exchange(one.events, {})) {
        const RefKey key{at->first, event.choice};
        ASSERT_EQ(one.finishes.count(event.choice), 0u) << "an output after the finish";
        for (const int32_t id : event.ids) {
          one.ids[event.choice].push_back(id);
          model_->token(key, id);
        }
        if (event.finish == FinishReason::kNone) continue;
        if (event.error == ErrorKind::kDeadline) refused_.insert(at->first);
        one.finishes[event.choice] = event;
        model_->end(key);
      }
      if (static_cast<int32_t>(one.finishes.size()) < one.request.num_choices) {
        ++at;
        continue;
      }
      int64_t last = 0;
      for (const auto& [choice, finish] : one.finishes) last = std::max(last, finish.time);
      left[last] = at->first;
      for (int32_t c = 0; c < one.request.num_choices; ++c) check(one, c);
      ++totals_.finished;
      totals_.refused += refused_.count(at->first) > 0 ? 1 : 0;
      at = live_.erase(at);
    }
    for (const auto& [time, request] : left) model_->leave(request);
  }

  /// All of it if it ended by itself, else a beginning.
  void check(const Live& one, int32_t choice) {
    std::vector<int32_t> expected = drawn_.expected(one.request, choice);
    std::vector<int32_t> got = one.request.resume_ids;
    const auto found = one.ids.find(choice);
    if (found != one.ids.end()) got.insert(got.end(), found->second.begin(), found->second.end());
    const StressSink::Event& last = one.finishes.at(choice);
    ASSERT_EQ(last.cached_tokens, one.first_hit.value_or(0));
    if (last.finish == FinishReason::kAbort || last.finish == FinishReason::kError) {
      ASSERT_TRUE(last.finish == FinishReason::kError || one.cancelled);
      ASSERT_TRUE(last.finish == FinishReason::kAbort || last.error == ErrorKind::kDeadline || fails_)
          << last.why << model_->describe(expected_);
      ASSERT_LE(got.size(), expected.size());
      expected.resize(got.size());
    }
    ASSERT_EQ(got, expected);
    std::vector<int32_t> text = one.request.prompt_ids;
    text.insert(text.end(), got.begin(), got.end());
    drawn_.remember(std::move(text));
  }

  void compare_accounts() {
    const ReferenceCache& twin = model_->state().cache;
    const std::vector<TenantStats>& tenants = core_->stats().tenants;
    for (size_t t = 0; t < tenants.size(); ++t) {
      ASSERT_EQ(tenants[t].counter, model_->state().tenants[t].counter) << "of tenant " << t;
    }
    for (size_t g = 0; g < twin.groups(); ++g) {
      const BlockPool& pool = core_->cache().pool(g);
      ASSERT_LE(pool.accounts().size(), twin.accounts());  // the engine adds a new one with its next request
      int sum = pool.free_count();
      for (size_t a = 0; a < pool.accounts().size(); ++a) {
        const AccountCounts& got = pool.accounts()[a];
        const ReferenceCache::Counts counts = twin.counts(g, static_cast<int>(a));
        ASSERT_EQ(got.held, counts.held)
            << "held by account " << a << " in group " << g << model_->describe(expected_);
        ASSERT_EQ(got.cached, counts.cached)
            << "cached of account " << a << " in group " << g << model_->describe(expected_);
        sum += got.usage();
      }
      ASSERT_EQ(sum, pool.total());
      ASSERT_EQ(pool.in_flight_count(), 0);
    }
  }

  StressWorkload drawn_;
  ManualClock clock_;
  FakeRunner* runner_ = nullptr;
  std::unique_ptr<EngineCore> core_;
  std::unique_ptr<ReferenceModel> model_;
  std::map<std::string, int> tenants_;
  std::map<RequestId, Live> live_;
  std::map<SequenceId, RefKey> key_of_;
  SequenceId next_sequence_ = 1;
  RequestId next_id_ = 0;
  int64_t events_ = 0;
  // of the turn being made
  RefStep expected_;
  std::map<RefKey, std::vector<std::vector<BlockId>>> tables_;
  std::vector<std::vector<int>> usage_before_;  // of groups, of accounts
  std::set<RequestId> refused_;
  bool launched_ = false, fails_ = false;
  StressTotals totals_;
};

}  // namespace hadal::testing
