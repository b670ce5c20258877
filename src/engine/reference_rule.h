// For tests: the rule of docs/contracts/scheduler.md ("The rule") written a second time, slowly, sharing no
// code with engine/planner.h. One object decides one step of a RefState.
#pragma once

#include "engine/reference_trial.h"

namespace hadal::testing {

class ReferenceRule : ReferenceTrial {
 public:
  ReferenceRule(const RefState& state, double now, double tokens_per_second)
      : ReferenceTrial(state), now_(now), rate_(tokens_per_second) {}

  RefStep decide() {
    refuse_the_late();
    serve_leader();
    serve_claims();
    serve_generating();
    serve_prompts_and_admit();
    return step_;
  }

 private:
  // ---- 0. deadlines

  void refuse_the_late() {
    for (const RefKey& key : waiting_) {
      const RefSequence& one = at(key);
      if (one.has_run || !one.deadline) continue;
      int before = 0;
      for (const RefKey& other : running_) {
        if (at(other).tenant == one.tenant && !at(other).generates()) before += at(other).remaining();
      }
      for (const RefKey& other : waiting_) {
        if (at(other).tenant != one.tenant || !state_.before(other, key) || in(step_.refused, other))
          continue;
        before += at(other).remaining();
      }
      const int own = one.known() - state_.cache.find(one.text, one.known() - 1);
      const double needs = rate_ > 0 ? (before + own) / rate_ : 0.0;
      if (now_ + needs > *one.deadline) step_.refused.push_back(key);
    }
  }

  // ---- 1. the leader

  void serve_leader() {
    if (running_.empty()) return;
    leader_ = *std::min_element(running_.begin(), running_.end());
    const bool generates = at(*leader_).generates();
    const int want =
        generates || state_.limits.chunk == 0 ? 1 : std::min(at(*leader_).remaining(), state_.limits.chunk);
    serve_by_force(Kind::kLeader, *leader_, want);
  }
  void serve_by_force(Kind kind, const RefKey& key, int want) {
    std::optional<size_t> g = lacking(key, want);
    while (g && preempt_for(kind, key, *g)) g = lacking(key, want);
    if (!g) grant(key, want);
  }

  // ---- 2. claims

  std::optional<RefKey> next_waiting(int t) const {
    for (const RefKey& key : waiting_) {
      if (at(key).tenant == t && !in(step_.refused, key) && !granted(key)) return key;
    }
    return std::nullopt;
  }
  bool first_of(int a, int b) const {
    return std::make_tuple(counter(a), places(a), a) < std::make_tuple(counter(b), places(b), b);
  }
  void serve_claims() {
    if (state_.limits.only_when_idle && !running_.empty()) return;
    claimed_after_ = step_.order.size();
    std::vector<int> tenants;
    for (int t = 0; t < static_cast<int>(state_.tenants.size()); ++t) {
      if (next_waiting(t)) tenants.push_back(t);
    }
    std::stable_sort(tenants.begin(), tenants.end(),
                     [this](int a, int b) { return counter(a) < counter(b); });
    for (const int t : tenants) serve_claim(t, *next_waiting(t));
  }
  void serve_claim(int t, const RefKey& head) {
    if (over_own_limits(head)) return;
    const bool lacks_places = places(-1) + at(head).places > free_for(head);
    if (lacks_places && (places(t) + at(head).places > fair_places(t) || !clear_places(head))) return;
    const bool blocks = claims_blocks(head) && claim_blocks(head);
    if (blocks || lacks_places) entitled_.push_back(head);
  }
  /// Places for a sequence, those that entitled heads wait for left out.
  int free_for(const RefKey& key) const {
    int free = state_.limits.places;
    for (const RefKey& head : entitled_) free -= head == key || granted(head) ? 0 : at(head).places;
    return free;
  }
  bool over_own_limits(const RefKey& head) {
    const int t = at(head).tenant, account = RefState::account_of(t);
    if (tenant(t).max_running > 0 && places(t) + at(head).places > tenant(t).max_running) return true;
    for (size_t g = 0; g < world_.groups(); ++g) {
      if (need(g, head) + promised(g, head, t) > world_.room_under_ceiling(g, account)) return true;
    }
    return false;
  }
  /// Preempts until there are places for the head, or nobody.
  bool clear_places(const RefKey& head) {
    const std::vector<RefKey> before = step_.preempted;
    while (places(-1) + at(head).places > free_for(head)) {
      std::optional<int> most;
      const auto above = [this](int t) { return places(t) - fair_places(t); };
      for (int t = 0; t < static_cast<int>(state_.tenants.size()); ++t) {
        if (places(t) > 0 && above(t) > 0 && (!most || above(t) >= above(*most))) most = t;
      }
      const std::optional<RefKey> found = victim([&](const RefKey& other) {
        return most && at(other).tenant == *most && at(other).preemptions < kOften;
      });
      if (!found) {
        step_.preempted = before;
        try_out();
        return false;
      }
      step_.preempted.push_back(*found);
    }
    try_out();
    return true;
  }
  bool claims_blocks(const RefKey& head) const {
    const int account = state_.account(head);
    const ReferenceCache without_hit = before_writes();
    ReferenceCache with_hit = without_hit;
    with_hit.hold(head, at(head).text, hit(head));
    for (size_t g = 0; g < world_.groups(); ++g) {
      const int of_hit = with_hit.held(g, account) - without_hit.held(g, account);
      const int more = of_hit + need(g, head) + promised(g, head, at(head).tenant);
      if (world_.held(g, account) + more > world_.floor(g, account)) return false;
    }
    return true;
  }
  bool claim_blocks(const RefKey& head) {
    std::vector<int> needs;
    for (size_t g = 0; g < world_.groups();) {
      if (room_behind_hit(head, g) >= need(g, head)) {
        needs.push_back(need(g++, head));
      } else if (!preempt_for(Kind::kFloor, head, g)) {
        return false;
      }
    }
    step_.floor_claims.push_back(head);
    aside_.push_back({head, needs});
    try_out();
    return true;
  }

  // ---- 3. decode

  void serve_generating() {
    for (const RefKey& key : running_) {
      if (preempted(key) || granted(key) || key == leader_ || !at(key).generates()) continue;
      if (tokens_left() < 1 || rows_left() < 1) return;
      serve_by_force(Kind::kDecode, key, 1);
    }
  }

  // ---- 4. prompts and admissions

  void serve_prompts_and_admit() {
    while (tokens_left() > 0) {
      std::optional<int> next;
      for (int t = 0; t < static_cast<int>(state_.tenants.size()); ++t) {
        if (done_.count(t) == 0 && (!next || first_of(t, *next))) next = t;
      }
      if (!next) return;
      if (const std::optional<RefKey> prompt = next_prompt(*next)) {
        passed_.insert(*prompt);
        grant(*prompt, piece(*prompt));
      } else if (!admit(*next)) {
        done_.insert(*next);
      }
    }
  }
  std::optional<RefKey> next_prompt(int t) const {
    for (const RefKey& key : running_) {
      if (at(key).tenant != t || preempted(key) || at(key).generates() || passed_.count(key) > 0) continue;
      return key;
    }
    return std::nullopt;
  }
  int piece(const RefKey& key) {
    const RefLimits& limits = state_.limits;
    if (limits.chunk > 0) {
      const int want = std::min(at(key).known() - start(key), limits.chunk);
      return granted(key) || want > tokens_left() || fitting(key, want) < want ? 0 : want;
    }
    int want = std::min(left(key), tokens_left());
    if (limits.threshold > 0) want = std::min(want, limits.threshold - given(key));
    const std::optional<double> most = allowance(at(key).tenant);
    const int least = in(entitled_, key) ? 1 : 0;  // who was preempted for, runs
    while (most && want > least && charge(key, end(key) + want) - charge(key, end(key)) > *most) --want;
    return fitting(key, want);
  }
  /// What the tenant may still be charged in this step, if there is a limit.
  std::optional<double> allowance(int t) const {
    std::optional<double> lowest;
    for (const int s : out_of_places_) {
      const bool ran = std::any_of(step_.order.begin(), step_.order.end(),
                                   [&](const RefKey& key) { return at(key).tenant == s; });
      if (s == t || !ran || counter(s) >= counter(t)) continue;
      if (!lowest || counter(s) < *lowest) lowest = counter(s);
    }
    if (!lowest) return std::nullopt;
    return std::max(0.0, *lowest + state_.limits.tokens / 8.0 - counter(t));
  }

  bool admit(int t) {
    const std::optional<RefKey> head = next_waiting(t);
    if (!head) return false;
    if (rows_left() < 1) return false;
    if (tenant(t).max_running > 0 && places(t) + at(*head).places > tenant(t).max_running) return false;
    if (places(-1) + at(*head).places > free_for(*head)) {
      out_of_places_.insert(t);
      return false;
    }
    if (state_.limits.only_when_idle && !running_.empty()) return false;
    if (!step_.preempted.empty() && !in(entitled_, *head)) return false;
    const bool alone = running_.empty() && step_.order.empty();
    step_.hits[*head] = hit(*head);
    const bool claimed = std::erase_if(aside_, [&](const auto& one) { return one.first == *head; }) > 0;
    try_out();
    if (fits_ && (alone || claimed || fits_whole(*head)) && grant(*head, piece(*head))) return true;
    step_.hits.erase(*head);
    try_out();
    return false;
  }
  bool fits_whole(const RefKey& head) const {
    const int t = at(head).tenant, account = RefState::account_of(t);
    for (size_t g = 0; g < world_.groups(); ++g) {
      const int own = need(g, head) + promised(g, head, t);
      if (need(g, head) + promised(g, head, -1) > world_.available_under_no_ceiling(g, account)) return false;
      if (own > world_.room_under_ceiling(g, account)) return false;
    }
    return true;
  }

  const double now_, rate_;
  std::vector<RefKey> entitled_;
  std::set<RefKey> passed_;  // running prompts that had their turn
  std::set<int> done_;       // tenants whose turn has ended
  std::set<int> out_of_places_;
};

}  // namespace hadal::testing
