// For tests: one step as far as it is decided, for reference_rule.h: what is left of it, what the blocks will
// then be, who can be preempted.
//
// Whenever the step grows, the whole of it is tried out on a copy of the cache, in the order of the commit:
// preemptions, hits, grants.
#pragma once

#include <cmath>

#include "engine/reference_state.h"

namespace hadal::testing {

class ReferenceTrial {
 protected:
  explicit ReferenceTrial(const RefState& state) : state_(state) {
    running_ = state.in_order(true);
    waiting_ = state.in_order(false);
    try_out();
  }

  enum class Kind { kLeader, kDecode, kFloor };
  static constexpr int kOften = 3;  // preemptions after which others go first

  const RefSequence& at(const RefKey& key) const { return state_.at(key); }
  static bool in(const std::vector<RefKey>& list, const RefKey& key) {
    return std::find(list.begin(), list.end(), key) != list.end();
  }
  bool preempted(const RefKey& key) const { return in(step_.preempted, key); }
  bool granted(const RefKey& key) const { return step_.tokens.count(key) > 0; }
  int given(const RefKey& key) const { return granted(key) ? step_.tokens.at(key) : 0; }
  /// Where this step's part of a sequence begins and ends.
  int start(const RefKey& key) const {
    return step_.hits.count(key) > 0 ? step_.hits.at(key) : at(key).computed;
  }
  int end(const RefKey& key) const { return start(key) + given(key); }
  int left(const RefKey& key) const { return at(key).known() - end(key); }

  // ---- the step as far as it is decided

  /// The cache behind the step's preemptions and hits, before anything is written.
  ReferenceCache before_writes() const {
    ReferenceCache cache = state_.cache;
    for (const RefKey& key : step_.preempted) cache.release(key);
    for (const RefKey& head : step_.floor_claims) cache.hold(head, at(head).text, hit(head));
    for (const auto& [key, tokens] : step_.hits) cache.hold(key, at(key).text, tokens);
    return cache;
  }
  void try_out() {
    world_ = before_writes();
    fits_ = true;
    for (size_t i = 0; i <= step_.order.size(); ++i) {
      if (i == std::min(claimed_after_, step_.order.size())) try_claims();
      if (i == step_.order.size()) break;
      const RefKey& key = step_.order[i];
      fits_ = fits_ && world_.write(key, state_.account(key), start(key), end(key));
    }
  }
  /// What heads have claimed counts as taken when they claimed it: behind the leader, before all others.
  void try_claims() {
    for (const auto& [head, needs] : aside_) {
      for (size_t g = 0; g < needs.size(); ++g) {
        fits_ = fits_ && world_.set_aside(g, state_.account(head), needs[g]);
      }
    }
  }
  /// What the account of a head could still take in a group if the head's hit were held; less than nothing if
  /// what is decided would no longer fit then.
  int room_behind_hit(const RefKey& head, size_t g) const {
    ReferenceCache cache = before_writes();
    cache.hold(head, at(head).text, hit(head));
    for (size_t i = 0; i <= step_.order.size(); ++i) {
      if (i == std::min(claimed_after_, step_.order.size())) {
        for (const auto& [other, needs] : aside_) {
          if (!cache.set_aside(g, state_.account(other), needs[g])) return -1;
        }
      }
      if (i == step_.order.size()) break;
      const RefKey& key = step_.order[i];
      if (!cache.write(key, state_.account(key), start(key), end(key), nullptr, g)) return -1;
    }
    return cache.available(g, state_.account(head));
  }
  int tokens_left() const { return state_.limits.tokens - step_.total(); }
  int rows_of(const RefKey& key, int from, int to) const {
    const RefSequence& one = at(key);
    if (from < one.text.prompt && to > one.text.prompt) return 2;
    const bool prompt_done = to == one.text.prompt && one.known() == one.text.prompt;
    return prompt_done ? one.places + (one.returns_logits ? 1 : 0) : 1;
  }
  int rows_left() const { return rows_left_without({0, -1}); }
  int rows_left_without(const RefKey& but) const {
    int left = state_.limits.rows;
    for (const RefKey& key : step_.order) left -= key == but ? 0 : rows_of(key, start(key), end(key));
    return left;
  }
  double charge(const RefKey& key, int to) const {
    double sum = 0;
    for (int i = std::max(start(key), at(key).charged); i < to; ++i) {
      sum += i < at(key).text.prompt ? 1.0 : state_.limits.output_cost;
    }
    return sum / tenant(at(key).tenant).weight;
  }
  const RefTenant& tenant(int t) const { return state_.tenants[static_cast<size_t>(t)]; }
  double counter(int t) const {
    double sum = tenant(t).counter;
    for (const RefKey& key : step_.order) sum += at(key).tenant == t ? charge(key, end(key)) : 0.0;
    return sum;
  }
  /// Places that run, of one tenant (or all: -1).
  int places(int t) const {
    int sum = 0;
    for (const RefKey& key : running_) {
      if ((t < 0 || at(key).tenant == t) && !preempted(key)) sum += at(key).places;
    }
    for (const RefKey& key : step_.order) {
      if ((t < 0 || at(key).tenant == t) && !at(key).runs) sum += at(key).places;
    }
    return sum;
  }
  int fair_places(int t) const {
    double weights = 0;
    for (const RefTenant& one : state_.tenants) weights += one.requests > 0 ? one.weight : 0.0;
    return std::max(1, static_cast<int>(std::floor(state_.limits.places * tenant(t).weight / weights)));
  }

  /// The first group in which the next `count` tokens of a sequence find too few blocks.
  std::optional<size_t> lacking(const RefKey& key, int count) const {
    for (size_t g = 0; g < world_.groups(); ++g) {
      const int blocks = world_.to_take(g, key, end(key), end(key) + count);
      if (blocks > 0 && blocks > world_.available(g, state_.account(key))) return g;
    }
    return std::nullopt;
  }
  int fitting(const RefKey& key, int want) {
    while (want > 0 && (granted(key) ? !fits_with(key, want) : lacking(key, want).has_value())) --want;
    return want;
  }
  /// Does all that is decided still find its blocks if a sequence that has its place in the commit's order
  /// gets more?
  bool fits_with(const RefKey& key, int more) {
    step_.tokens[key] += more;
    try_out();
    const bool fits = fits_;
    step_.tokens[key] -= more;
    try_out();
    return fits;
  }

  /// `count` more tokens of a sequence, or, where rows are short, its prompt's end; the leader, which has its
  /// row, up to the token that would be drawn from.
  bool grant(const RefKey& key, int count) {
    const int rows = rows_left_without(key), prompt = at(key).text.prompt;
    const bool both_forms = start(key) < prompt && end(key) + count > prompt;
    if (count > 0 && rows_of(key, start(key), end(key) + count) > rows) {
      count = both_forms && rows > 0 ? prompt - end(key) : granted(key) ? count - 1 : 0;
    }
    if (count <= 0 || count > tokens_left()) return false;
    if (!granted(key)) step_.order.push_back(key);
    step_.tokens[key] += count;
    try_out();
    return true;
  }

  // ---- victims

  template <typename May>
  std::optional<RefKey> victim(const May& may) const {
    std::optional<RefKey> best;
    for (const RefKey& key : running_) {
      if (preempted(key) || granted(key) || key == leader_ || !may(key)) continue;
      const bool often = at(key).preemptions >= kOften;
      if (!best || !often || at(*best).preemptions >= kOften) best = key;  // later ones come later
    }
    return best;
  }
  bool above_floor(size_t g, int t) const {
    const int account = RefState::account_of(t);
    return world_.held(g, account) > world_.floor(g, account);
  }
  bool preempt_for(Kind kind, const RefKey& key, size_t g) {
    const int t = at(key).tenant, account = RefState::account_of(t);
    const auto rich = [&](const RefKey& other) {
      return at(other).tenant != t && above_floor(g, at(other).tenant);
    };
    const auto own = [&](const RefKey& other) { return at(other).tenant == t; };
    const auto later = [&](const RefKey& other) { return state_.before(key, other); };
    std::optional<RefKey> found;
    if (kind == Kind::kLeader) {
      found = victim([&](const RefKey& other) { return own(other) || rich(other); });
      if (!found) found = victim([](const RefKey&) { return true; });
    } else if (kind == Kind::kFloor) {
      found = victim(rich);
    } else if (world_.usage(g, account) < world_.floor(g, account)) {
      found = victim(rich);
      if (!found) found = victim([&](const RefKey& other) { return own(other) && later(other); });
    } else {
      found = victim([&](const RefKey& other) {
        return (own(other) || rich(other)) && later(other) && at(other).preemptions < kOften;
      });
    }
    if (found) preempt(*found);
    return found.has_value();
  }
  void preempt(const RefKey& key) {
    step_.preempted.push_back(key);
    try_out();
  }

  // ---- what whole sequences need

  /// Tokens that a waiting sequence need not compute.
  int hit(const RefKey& key) const { return state_.cache.find(at(key).text, at(key).known() - 1); }
  /// Most blocks of a group that `tokens` tokens hold at once: by walking.
  int most_held(size_t g, int tokens) const {
    const ReferenceCache::Group& group = world_.group(g);
    const int all = (tokens + group.block_tokens - 1) / group.block_tokens;
    if (group.window == 0) return all;
    const int length = group.window - 1 + std::max(1, state_.limits.chunk);
    int most = 0;  // blocks that `length` consecutive positions touch, for every beginning
    for (int first = 0; first < group.block_tokens; ++first) {
      most = std::max(most, (first + length - 1) / group.block_tokens + 1);
    }
    return std::min(all, most);
  }
  /// New blocks for the whole known length of a waiting sequence.
  int need(size_t g, const RefKey& head) const {
    return std::max(
        0, most_held(g, at(head).known()) - static_cast<int>(world_.hit_indices(g, hit(head)).size()));
  }
  /// Blocks that running sequences (of one tenant, or all: -1) will still take for the tokens they already
  /// have.
  int promised(size_t g, const RefKey& but, int t) const {
    int sum = 0;
    for (const RefKey& key : world_members()) {
      if (key == but || (t >= 0 && at(key).tenant != t) || left(key) == 0) continue;
      const int held = static_cast<int>(world_.indices(g, key).size());
      sum += std::max(0, most_held(g, at(key).known()) - held);
    }
    return sum;
  }
  std::vector<RefKey> world_members() const {
    std::vector<RefKey> out;
    for (const RefKey& key : running_) {
      if (!preempted(key)) out.push_back(key);
    }
    for (const RefKey& key : step_.order) {
      if (!at(key).runs) out.push_back(key);
    }
    return out;
  }

  const RefState& state_;
  std::vector<RefKey> running_, waiting_;  // as the step begins, in order
  std::optional<RefKey> leader_;
  RefStep step_;
  ReferenceCache world_;                                    // after the step as far as it is decided
  std::vector<std::pair<RefKey, std::vector<int>>> aside_;  // heads' claims not served yet: blocks per group
  size_t claimed_after_ = 0;                                // grants before the claims
  bool fits_ = true;                                        // all that was decided finds its blocks
};

}  // namespace hadal::testing
