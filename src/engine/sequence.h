// One choice of a request while it is being made: its tokens, its blocks, how far it has been computed.
//
// Threads: the engine's. Ownership: requests own their sequences; the lists of the scheduler point to them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/draw_rules.h"
#include "engine/scheduler.h"
#include "kvcache/kv_cache.h"
#include "runner/step_plan.h"

namespace hadal {

enum class SequenceState : uint8_t {
  kUnborn,   // a further choice whose prompt is still being computed by the first one
  kWaiting,  // holds no blocks
  kRunning,
  kFinished,  // holds no blocks
};

struct Sequence {
  SequenceId id = 0;
  Order order;
  TenantId tenant = kDefaultTenant;
  SequenceState state = SequenceState::kWaiting;
  std::shared_ptr<const std::vector<int32_t>> prompt;
  std::vector<int32_t> output;
  int32_t computed = 0;     // tokens in the cache
  int32_t launched = 0;     // tokens behind them that steps in flight are computing
  StepId pending = 0;       // the step in flight that draws its next token; 0: none does
  int32_t most_output = 0;  // tokens: max_tokens, or what the context has room for
  int32_t charged = 0;      // tokens that the tenant's counter has been charged for
  int32_t preemptions = 0;
  bool has_run = false;
  MonotonicTime deadline = MonotonicTime::max();  // for the first token
  PrefixChain chain;                              // names of its blocks, for the prefix cache
  int32_t places = 1;                             // choices that come of it once the prompt is done
  SequenceBlocks blocks;
  std::shared_ptr<const SamplingParams> sampling;
  int32_t min_tokens = 0;
  std::vector<int32_t> stop_ids;     // forbidden until min_tokens are made
  const DrawRules* rules = nullptr;  // the request's; null: none
  bool follows_output = false;       // some rule looks at the last tokens of the output
  bool thinking_over = false;        // the end of thinking is in the output
  bool wants_prompt_logits = false;  // until the prompt is done
  std::vector<Sequence*> choices;    // the unborn ones, while places > 1

  int32_t prompt_size() const { return static_cast<int32_t>(prompt->size()); }
  int32_t known() const { return prompt_size() + static_cast<int32_t>(output.size()); }
  /// Where the next step goes on.
  int32_t next() const { return computed + launched; }
  /// Tokens that a step can be planned for: the known ones and the pending one, which only the device has.
  /// Not the pending one if nothing follows it or a rule must know it first, and nothing while choices are to
  /// be born of the prompt in flight: then the sequence waits until the step has been collected.
  int32_t plannable() const {
    if (launched > 0 && places > 1 && next() >= prompt_size()) return next();
    const auto next_output = static_cast<int32_t>(output.size()) + 1;
    const bool follows =
        pending != 0 && next_output < most_output && !follows_output && !thinking_ends_at(next_output);
    return known() + (follows ? 1 : 0);
  }
  /// Must the output token of this number (from 0) be the end of thinking?
  bool thinking_ends_at(int32_t number) const {
    return rules != nullptr && rules->thinking_budget >= 0 && !thinking_over &&
           number >= rules->thinking_budget;
  }
  void append(int32_t token) {
    output.push_back(token);
    thinking_over = thinking_over || (rules != nullptr && token == rules->end_of_thinking);
  }
  /// Does not change while it waits.
  bool may_be_refused() const { return !has_run && deadline != MonotonicTime::max(); }
};

/// Running sequences in order; waiting ones by tenant, each in order.
class SequenceLists {
 public:
  void add_tenant() {
    waiting_.emplace_back();
    may_be_refused_.push_back(0);
  }
  const std::vector<Sequence*>& running() const { return running_; }
  const std::vector<Sequence*>& waiting(TenantId tenant) const {
    return waiting_[static_cast<size_t>(tenant)];
  }
  int32_t tenants() const { return static_cast<int32_t>(waiting_.size()); }
  int64_t waiting_count() const { return waiting_count_; }
  /// Of the tenant's waiting ones those that have a deadline to meet.
  int64_t may_be_refused(TenantId tenant) const { return may_be_refused_[static_cast<size_t>(tenant)]; }

  void run(Sequence* sequence) { move(sequence, SequenceState::kRunning); }
  void wait(Sequence* sequence) { move(sequence, SequenceState::kWaiting); }
  void finish(Sequence* sequence) { move(sequence, SequenceState::kFinished); }

 private:
  using List = std::vector<Sequence*>;
  static bool before(const Sequence* a, const Sequence* b) { return a->order < b->order; }
  static void insert(List& list, Sequence* sequence) {
    list.insert(std::upper_bound(list.begin(), list.end(), sequence, before), sequence);
  }
  static bool erase(List& list, Sequence* sequence) {
    const auto found = std::lower_bound(list.begin(), list.end(), sequence, before);
    if (found == list.end() || *found != sequence) return false;
    list.erase(found);
    return true;
  }
  List& waiting_of(const Sequence* sequence) { return waiting_[static_cast<size_t>(sequence->tenant)]; }
  void move(Sequence* sequence, SequenceState to) {
    if (sequence->state == SequenceState::kRunning) erase(running_, sequence);
    if (sequence->state == SequenceState::kWaiting && erase(waiting_of(sequence), sequence))
      count(sequence, -1);
    sequence->state = to;
    if (to == SequenceState::kRunning) insert(running_, sequence);
    if (to != SequenceState::kWaiting) return;
    insert(waiting_of(sequence), sequence);
    count(sequence, 1);
  }
  void count(const Sequence* sequence, int64_t by) {
    waiting_count_ += by;
    if (sequence->may_be_refused()) may_be_refused_[static_cast<size_t>(sequence->tenant)] += by;
  }

  List running_;
  std::vector<List> waiting_;
  std::vector<int64_t> may_be_refused_;  // by tenant
  int64_t waiting_count_ = 0;
};

}  // namespace hadal
