// For tests: the engine's slow twin. What docs/contracts/scheduler.md and kv-cache.md say, written a second
// time over maps, sharing no code with the engine, the planner or the cache:
//
//   reference_cache.h   blocks, accounts, prefix cache
//   reference_state.h   sequences, tenants, limits
//   reference_trial.h   a step as far as it is decided: tokens, rows, places, counters, blocks; victims
//   reference_rule.h    the rule: who is refused, preempted, admitted, who runs with how many tokens
//   reference_model.h   what happens with a decision: commit, collect, the tenants' counters
//
// It reads nothing of the engine but the requests, the tokens that came out, which sequences ended, and the
// block tables that the runner got (to learn which cached block went, and to hold that against the rule).
//
//   RefStep step = model.decide(now, rate);
//   model.commit(step, pick);  model.collected(step);  model.token(key, id);  model.end(key);
//   model.leave(request);
#pragma once

#include <fmt/format.h>

#include "engine/reference_rule.h"

namespace hadal::testing {

class ReferenceModel {
 public:
  ReferenceModel(const RefLimits& limits, const std::vector<ReferenceCache::Group>& groups,
                 bool forms_count) {
    state_.limits = limits;
    state_.cache = ReferenceCache(groups, forms_count);
  }

  /// Limits per group. The shared account comes first, then one for each tenant.
  void add_shared_account(const std::vector<ReferenceCache::Limits>& limits) {
    state_.cache.add_account(limits);
  }
  int add_tenant(double weight, int max_running, const std::vector<ReferenceCache::Limits>& limits) {
    state_.cache.add_account(limits);
    state_.tenants.push_back({weight, max_running, 0.0, 0});
    return static_cast<int>(state_.tenants.size()) - 1;
  }

  void arrive(unsigned long long request, const RefSequence& first) {
    state_.sequences[{request, 0}] = first;
    tenant_of_[request] = first.tenant;
    RefTenant& tenant = state_.tenants[static_cast<size_t>(first.tenant)];
    note_virtual_time();
    if (tenant.requests++ == 0) tenant.counter = std::max(tenant.counter, virtual_time_);
    note_virtual_time();
  }
  /// A sequence ended; unknown ones are fine.
  void end(const RefKey& key) {
    state_.cache.release(key);
    state_.sequences.erase(key);
  }
  /// All of a request has ended.
  void leave(unsigned long long request) {
    --state_.tenants[static_cast<size_t>(tenant_of_.at(request))].requests;
    note_virtual_time();
  }
  void token(const RefKey& key, int id) { state_.sequences.at(key).text.tokens.push_back(id); }
  void forget_prefixes() { state_.cache.forget(); }

  RefStep decide(double now, double tokens_per_second) const {
    return ReferenceRule(state_, now, tokens_per_second).decide();
  }

  /// `pick` says which block the engine took where; the twin's faults() are those that it must not have
  /// taken.
  void commit(const RefStep& step, const ReferenceCache::Pick& pick) {
    for (const RefKey& key : step.preempted) {
      RefSequence& one = state_.sequences.at(key);
      state_.cache.release(key);
      one.runs = false;
      one.computed = 0;
      ++one.preemptions;
    }
    for (const auto& [key, tokens] : step.hits) {
      state_.cache.hold(key, state_.at(key).text, tokens);
      state_.sequences.at(key).computed = tokens;
    }
    for (const RefKey& key : step.order) {
      RefSequence& one = state_.sequences.at(key);
      const int to = one.computed + step.tokens.at(key);
      if (!state_.cache.write(key, state_.account(key), one.computed, to, pick)) {
        faults_.push_back("the twin finds no block for a grant of its own");
      }
      charge(one, to);
      one.runs = one.has_run = true;
    }
    note_virtual_time();
  }

  /// The committed step has been computed: tokens are in the cache, finished prompts have their choices.
  void collected(const RefStep& step) {
    for (const RefKey& key : step.order) {
      RefSequence& one = state_.sequences.at(key);
      one.computed += step.tokens.at(key);
      state_.cache.publish(key, one.text, one.computed);
      state_.cache.trim(key, one.computed);
      if (one.computed >= one.text.prompt) bear_choices(key, one);
    }
  }

  const RefState& state() const { return state_; }
  /// For a failure's message: limits, tenants and sequences as they stand before a step, and what is decided.
  std::string describe(const RefStep& step) const {
    const RefLimits& limits = state_.limits;
    std::string out =
        fmt::format("\ntokens {} rows {} places {} chunk {} threshold {} idle {}", limits.tokens, limits.rows,
                    limits.places, limits.chunk, limits.threshold, limits.only_when_idle);
    for (size_t g = 0; g < state_.cache.groups(); ++g) {
      const ReferenceCache::Group& group = state_.cache.group(g);
      out += fmt::format("\ngroup {}: {} blocks of {}, window {}; held+cached/floor/ceiling:", g,
                         group.usable, group.block_tokens, group.window);
      for (int a = 0; a < static_cast<int>(state_.cache.accounts()); ++a) {
        const ReferenceCache::Counts counts = state_.cache.counts(g, a);
        out += fmt::format(" {}+{}/{}/{}", counts.held, counts.cached, state_.cache.floor(g, a),
                           state_.cache.ceiling(g, a));
      }
    }
    for (size_t t = 0; t < state_.tenants.size(); ++t) {
      const RefTenant& one = state_.tenants[t];
      out += fmt::format("\ntenant {}: weight {} counter {} requests {} max running {}", t, one.weight,
                         one.counter, one.requests, one.max_running);
    }
    for (const auto& [key, one] : state_.sequences) {
      out += fmt::format(
          "\n{} {}.{} of {}: priority {} prompt {} known {} computed {} charged {} places {} preempted {}{}",
          one.runs ? "runs" : "waits", key.first, key.second, one.tenant, one.priority, one.text.prompt,
          one.known(), one.computed, one.charged, one.places, one.preemptions,
          one.returns_logits ? " logits" : "");
      for (size_t g = 0; g < state_.cache.groups(); ++g)
        out += fmt::format(" holds {}", state_.cache.indices(g, key).size());
    }
    const auto list = [&out](const char* what, const std::vector<RefKey>& keys) {
      out += fmt::format("\n{}:", what);
      for (const RefKey& key : keys) out += fmt::format(" {}.{}", key.first, key.second);
    };
    list("refused", step.refused);
    list("preempted", step.preempted);
    list("granted", step.order);
    list("floor claims", step.floor_claims);
    return out + "\n";
  }
  /// Blocks that the last commit took: (group, the engine's number).
  std::vector<std::pair<size_t, int>> taken() { return state_.cache.taken(); }
  std::vector<std::string> faults() {
    std::vector<std::string> out = state_.cache.faults();
    out.insert(out.end(), faults_.begin(), faults_.end());
    faults_.clear();
    return out;
  }

 private:
  void charge(RefSequence& one, int to) {
    double cost = 0;
    for (int i = std::max(one.computed, one.charged); i < to; ++i) {
      cost += i < one.text.prompt ? 1.0 : state_.limits.output_cost;
    }
    RefTenant& tenant = state_.tenants[static_cast<size_t>(one.tenant)];
    tenant.counter += cost / tenant.weight;
    one.charged = std::max(one.charged, to);
  }
  void bear_choices(const RefKey& key, RefSequence& one) {
    if (std::exchange(one.born, true)) return;
    const int choices = std::exchange(one.places, 1);
    one.returns_logits = false;
    for (int c = 1; c < choices; ++c) {
      const RefKey twin{key.first, c};
      state_.sequences[twin] = one;
      state_.sequences[twin].preemptions = 0;
      state_.cache.fork(key, twin);
    }
  }
  /// The highest value that the lowest counter of active tenants has had.
  void note_virtual_time() {
    std::optional<double> lowest;
    for (const RefTenant& tenant : state_.tenants) {
      if (tenant.requests > 0) lowest = std::min(tenant.counter, lowest.value_or(tenant.counter));
    }
    virtual_time_ = std::max(virtual_time_, lowest.value_or(virtual_time_));
  }

  RefState state_;
  std::map<unsigned long long, int> tenant_of_;
  double virtual_time_ = 0.0;
  std::vector<std::string> faults_;
};

}  // namespace hadal::testing
