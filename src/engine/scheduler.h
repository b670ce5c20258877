// Who runs in the next step, with how many tokens and how many new blocks. plan() is a pure function: values
// in, values out, no ids chosen, nothing changed; the commit (engine/step_builder.h) picks the blocks, all or
// nothing. The rule is in docs/contracts/scheduler.md; engine/planner.h carries it out.
//
// Threads: none of its own.
#pragma once

#include <compare>
#include <cstdint>
#include <vector>

#include "base/clock.h"
#include "engine/tenants.h"
#include "kvcache/kv_cache.h"

namespace hadal {

/// Lower runs first: by priority, then first come, first served, then by choice.
struct Order {
  int32_t priority = 0;
  uint64_t request = 0;
  uint32_t choice = 0;
  friend auto operator<=>(const Order&, const Order&) = default;
};

inline constexpr int32_t kMaxPreemptions = 3;  // of one sequence, while others can be preempted

/// A sequence as the scheduler sees it.
struct SequenceView {
  Order order;
  TenantId tenant = kDefaultTenant;
  int32_t prompt = 0;  // prompt tokens
  int32_t known = 0;   // prompt + output tokens whose ids exist, or will when a step in flight has drawn them
  int32_t computed = 0;         // of them in the cache or in flight; == known: it waits for a step in flight
  int32_t charged = 0;          // tokens that the tenant has been charged for
  int32_t places = 1;           // sequences that it is, or will be once its prompt is done (n choices)
  int32_t preemptions = 0;      // so far
  bool returns_logits = false;  // one row more when its prompt is done
  bool has_run = false;         // some step had a part of it: its deadline no longer counts
  MonotonicTime deadline = MonotonicTime::max();              // for the first token
  const std::vector<std::vector<BlockId>>* tables = nullptr;  // per group
  const PrefixChain* chain = nullptr;                         // waiting ones: for HitSource

  int32_t remaining() const { return known - computed; }
  bool generates() const { return remaining() == 1 && computed >= prompt; }
};

/// A cache group: its blocks by state, and by account.
struct GroupView {
  const CacheGroupSpec* spec = nullptr;
  const BlockPool* pool = nullptr;  // read only
};

struct TenantView {
  double weight = 1.0;
  double counter = 0.0;
  int32_t max_running = 0;  // places; 0: no limit of its own
  bool active = false;
};

/// `running` in order. `waiting`: per tenant in order, as many as a step could admit and one more.
struct PlanState {
  std::vector<SequenceView> running;
  std::vector<std::vector<SequenceView>> waiting;  // by tenant
  std::vector<TenantView> tenants;
  std::vector<GroupView> groups;
  const KvCache* cache = nullptr;  // for prefix hits
  double tokens_per_second = 0.0;  // measured; 0: not yet
};

enum class SchedulingPolicy : uint8_t { kFair, kFcfs, kStatic };

struct StepBudget {
  int32_t max_tokens = 0;  // >= max_sequences
  int32_t max_rows = 0;    // >= max_sequences
  int32_t max_sequences = 0;
  int32_t chunk = 0;  // > 0: prompt pieces of exactly this many tokens (the last one shorter); <= max_tokens
  int32_t long_prefill_threshold = 0;  // > 0: most prompt tokens of one sequence in a step
  int32_t most_prompt_logits = 0;      // > 0: the same for one whose prompt's logits are wanted
  double output_token_cost = 2.0;      // of computing an output token; a prompt token costs 1
  SchedulingPolicy policy = SchedulingPolicy::kFair;
};

/// A waiting sequence by its place in PlanState::waiting.
struct WaitingIndex {
  TenantId tenant = 0;
  int32_t index = 0;
};

/// One sequence's part of a step.
struct Grant {
  bool admitted = false;  // `waiting` names it, else `index` is into running
  int32_t index = 0;
  WaitingIndex waiting;
  int32_t tokens = 0;
  double charge = 0.0;  // virtual tokens, over the weight
  PrefixHit hit;        // of an admitted sequence
};

struct StepDecision {
  std::vector<WaitingIndex> refused;  // deadlines that cannot be met
  std::vector<int32_t>
      preempted;  // indices into running, in the order of their choice; their blocks are free for the grants
  std::vector<Grant> grants;  // to be committed in this order
  int32_t tokens = 0;
};

StepDecision plan(const PlanState& state, const StepBudget& budget, MonotonicTime now);

/// What computing [from, to) of a sequence costs its tenant: tokens beyond `charged` only, output tokens
/// dearer, not yet divided by the weight.
double step_charge(const SequenceView& sequence, int32_t from, int32_t to, double output_token_cost);

}  // namespace hadal
