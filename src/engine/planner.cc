#include "engine/planner.h"

#include <algorithm>

#include "base/check.h"

namespace hadal {

StepDecision plan(const PlanState& state, const StepBudget& budget, MonotonicTime now) {
  return Planner(state, budget, now).run();
}

double step_charge(const SequenceView& sequence, int32_t from, int32_t to, double output_token_cost) {
  const int32_t first = std::max(from, sequence.charged);
  const int32_t prompt = std::max(0, std::min(to, sequence.prompt) - first);
  const int32_t output = std::max(0, to - std::max(first, sequence.prompt));
  return prompt + output * output_token_cost;
}

Planner::Planner(const PlanState& state, const StepBudget& budget, MonotonicTime now)
    : state_(state),
      budget_(budget),
      now_(now),
      granted_(state.running.size(), 0),
      gone_(state.running.size(), 0),
      tokens_left_(budget.max_tokens),
      rows_left_(budget.max_rows) {
  decision_.grants.reserve(state.running.size() + 1);
  ledgers_.reserve(state.groups.size());
  for (const GroupView& group : state.groups) ledgers_.emplace_back(group);
  tenants_.resize(state.tenants.size());
  refused_.resize(state.tenants.size());
  hits_.resize(state.tenants.size());
  for (size_t t = 0; t < tenants(); ++t) {
    tenants_[t].counter = state.tenants[t].counter;
    refused_[t].resize(state.waiting[t].size(), 0);
    hits_[t].resize(state.waiting[t].size());
  }
  for (size_t i = 0; i < state.running.size(); ++i) {
    tenant_of(running(i)).running_places += running(i).places;
    const auto arrival = [](const SequenceView& one) {
      return std::pair(one.order.request, one.order.choice);
    };
    if (running(i).remaining() == 0) continue;  // waits for a step in flight
    if (leader_ < 0 || arrival(running(i)) < arrival(running(static_cast<size_t>(leader_))))
      leader_ = static_cast<int32_t>(i);
  }
}

StepDecision Planner::run() {
  refuse_late();
  serve_leader();
  claim();
  serve_generating();
  serve_prompts();
  decision_.tokens = budget_.max_tokens - tokens_left_;
  return std::move(decision_);
}

/// Rule 0.
void Planner::refuse_late() {
  for (size_t t = 0; t < tenants(); ++t) {
    const std::vector<SequenceView>& waiting = state_.waiting[t];
    const bool any = std::any_of(waiting.begin(), waiting.end(), [](const SequenceView& one) {
      return !one.has_run && one.deadline != MonotonicTime::max();
    });
    if (!any) continue;
    int64_t before = 0;
    for (const SequenceView& one : state_.running) {
      if (one.tenant == static_cast<TenantId>(t) && !one.generates()) before += one.remaining();
    }
    for (size_t i = 0; i < waiting.size(); ++i) {
      const SequenceView& one = waiting[i];
      bool late = false;
      if (!one.has_run && one.deadline != MonotonicTime::max()) {
        const int64_t own = one.known - hit_of(static_cast<TenantId>(t), i).tokens;
        const double rate = state_.tokens_per_second;
        const double seconds = rate > 0 ? static_cast<double>(before + own) / rate : 0.0;
        late = seconds > seconds_between(now_, one.deadline);
      }
      if (late) {
        refused_[t][i] = 1;
        decision_.refused.push_back({static_cast<TenantId>(t), static_cast<int32_t>(i)});
      } else {
        before += one.remaining();
      }
    }
  }
}

/// Rule 1.
void Planner::serve_leader() {
  if (leader_ < 0) return;
  const auto index = static_cast<size_t>(leader_);
  const SequenceView& leader = running(index);
  const int32_t want = budget_.chunk > 0 ? piece_of(leader) : 1;
  for (auto lacking = lacking_group(leader, want); lacking; lacking = lacking_group(leader, want)) {
    if (!preempt_victim(VictimKind::kLeader, leader, *lacking)) break;
  }
  leader_grant_ = static_cast<int32_t>(decision_.grants.size());
  grant_running(index, fitting(leader, want), want);
}

/// Rule 3.
void Planner::serve_generating() {
  for (size_t i = 0; i < state_.running.size(); ++i) {
    if (gone_[i] != 0 || granted_[i] != 0 || !running(i).generates()) continue;
    if (tokens_left_ < 1 || rows_left_ < 1) return;
    for (auto lacking = lacking_group(running(i), 1); lacking; lacking = lacking_group(running(i), 1)) {
      if (!preempt_victim(VictimKind::kDecode, running(i), *lacking)) break;
    }
    grant_running(i, fitting(running(i), 1), 1);
  }
}

/// The next piece that the policy wants to compute of a sequence.
int32_t Planner::piece_of(const SequenceView& sequence) const {
  if (budget_.chunk > 0) return std::min(sequence.remaining(), budget_.chunk);
  int32_t piece = std::min(sequence.remaining(), budget_.max_tokens);
  if (budget_.long_prefill_threshold > 0) piece = std::min(piece, budget_.long_prefill_threshold);
  if (budget_.most_prompt_logits > 0 && sequence.returns_logits)
    piece = std::min(piece, budget_.most_prompt_logits);
  return piece;
}

/// How many of `want` tokens find blocks in every group.
int32_t Planner::fitting(const SequenceView& sequence, int32_t want) const {
  for (size_t g = 0; g < ledgers_.size() && want > 0; ++g) {
    want = ledgers_[g].fitting(account_of_tenant(sequence.tenant), (*sequence.tables)[g], sequence.computed,
                               want);
  }
  return want;
}

std::optional<size_t> Planner::lacking_group(const SequenceView& sequence, int32_t tokens) const {
  for (size_t g = 0; g < ledgers_.size(); ++g) {
    if (ledgers_[g].fitting(account_of_tenant(sequence.tenant), (*sequence.tables)[g], sequence.computed,
                            tokens) < tokens)
      return g;
  }
  return std::nullopt;
}

/// Rows that computing `tokens` more takes: prompt and output part, and one for each further draw from the
/// last prompt token's logits.
int32_t Planner::rows_for(const SequenceView& sequence, int32_t tokens) const {
  const int32_t to = sequence.computed + tokens;
  if (sequence.computed < sequence.prompt && to > sequence.prompt) return 2;
  const bool finishes_prompt = to == sequence.known && sequence.known == sequence.prompt;
  return finishes_prompt ? sequence.places + (sequence.returns_logits ? 1 : 0) : 1;
}

/// `tokens` or, where rows are short, less; nothing if it would be fewer than `least`.
Grant Planner::make_grant(const SequenceView& sequence, int32_t tokens, int32_t least) {
  Grant grant;
  if (tokens < least) return grant;  // before rows cut it: a chunk is there whole, or waits
  if (tokens > 0 && rows_for(sequence, tokens) > rows_left_) {
    const bool both_forms =
        sequence.computed < sequence.prompt && sequence.computed + tokens > sequence.prompt;
    tokens = both_forms && rows_left_ > 0 ? sequence.prompt - sequence.computed : 0;
    least = std::min(least, 1);
  }
  if (tokens < least || tokens < 1 || tokens > tokens_left_) return grant;
  grant.tokens = tokens;
  for (size_t g = 0; g < ledgers_.size(); ++g) {
    ledgers_[g].take(account_of_tenant(sequence.tenant), (*sequence.tables)[g], sequence.computed,
                     sequence.computed + tokens);
  }
  tokens_left_ -= tokens;
  rows_left_ -= rows_for(sequence, tokens);
  charge(sequence, sequence.computed, sequence.computed + tokens, &grant);
  tenant_of(sequence).ran = true;
  return grant;
}

void Planner::grant_running(size_t index, int32_t tokens, int32_t least) {
  Grant grant = make_grant(running(index), tokens, least);
  if (grant.tokens == 0) return;
  grant.index = static_cast<int32_t>(index);
  granted_[index] = grant.tokens;
  decision_.grants.push_back(std::move(grant));
}

/// The leader's prompt beyond the one token that it got first.
void Planner::extend_leader(int32_t tokens) {
  const auto index = static_cast<size_t>(leader_);
  const SequenceView& leader = running(index);
  Grant& grant = decision_.grants[static_cast<size_t>(leader_grant_)];
  const int32_t from = leader.computed + grant.tokens;
  const int32_t rows = rows_for(leader, grant.tokens);
  int32_t to = from + tokens;
  if (rows_for(leader, to - leader.computed) - rows > rows_left_) {
    // the prompt part alone, or one token less than what would draw for all choices
    to =
        std::min(to, leader.known > leader.prompt && from < leader.prompt ? leader.prompt : leader.known - 1);
    if (rows_for(leader, to - leader.computed) - rows > rows_left_) return;
  }
  if (to <= from) return;
  rows_left_ -= rows_for(leader, to - leader.computed) - rows;
  tokens_left_ -= to - from;
  for (size_t g = 0; g < ledgers_.size(); ++g) {
    CHECK(ledgers_[g].take_first(account_of_tenant(leader.tenant), (*leader.tables)[g], from, to));
  }
  grant.tokens = granted_[index] = to - leader.computed;
  charge(leader, from, to, &grant);
}

/// How many of `want` more tokens the leader finds blocks for. The commit takes them before everybody else's,
/// and who takes first may leave less to others (kvcache/accounts.h): those that have been granted theirs
/// must still find them.
int32_t Planner::leader_fitting(int32_t want) {
  const SequenceView& leader = running(static_cast<size_t>(leader_));
  const int32_t from = leader.computed + granted_[static_cast<size_t>(leader_)];
  const auto fits = [&](int32_t tokens) {
    size_t taken = 0;
    while (taken < ledgers_.size() &&
           ledgers_[taken].take_first(account_of_tenant(leader.tenant), (*leader.tables)[taken], from,
                                      from + tokens))
      ++taken;
    const bool all = taken == ledgers_.size();
    while (taken > 0) ledgers_[--taken].drop_take_first();
    return all;
  };
  if (want <= 0 || fits(want)) return std::max(0, want);
  int32_t low = 0, high = want - 1;
  while (low < high) {
    const int32_t middle = low + (high - low + 1) / 2;
    if (fits(middle)) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

void Planner::charge(const SequenceView& sequence, int32_t from, int32_t to, Grant* grant) {
  const auto t = static_cast<size_t>(sequence.tenant);
  const double charge = step_charge(sequence, from, to, budget_.output_token_cost) / state_.tenants[t].weight;
  grant->charge += charge;
  tenants_[t].counter += charge;
}

/// Most blocks of a group that the sequence holds at once for the tokens it already has.
int64_t Planner::whole_need(const SequenceView& sequence, size_t group) const {
  return most_blocks_held(ledgers_[group].spec(), sequence.known, budget_.chunk > 0 ? budget_.chunk : 1);
}

int32_t Planner::total_places() const {
  int32_t places = 0;
  for (const Tenant& tenant : tenants_) places += tenant.running_places;
  return places;
}

}  // namespace hadal
