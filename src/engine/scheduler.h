// Who runs in the next step, with how many tokens and how many new blocks. plan() is a pure function: values
// in, values out, no ids chosen, nothing changed; the commit (engine/step_builder.h) picks the blocks, all or
// nothing.
//
// The rule (docs/contracts/scheduler.md):
//   1. The oldest running sequence goes first and never waits: if it finds no block, the last-arrived are
//   preempted.
//   2. Every other running sequence that generates gets its one token, oldest first; one that finds no block
//   preempts
//      the last-arrived. With nobody younger it waits, its blocks kept.
//   3. Running prompts go on, oldest first, with what is left of the budget and as far as free blocks reach.
//   4. Waiting sequences are admitted in order of arrival while their whole known length fits beside what the
//   running
//      ones still need for theirs. The first that does not fit ends it: nobody overtakes.
// So the oldest always progresses, and since a request that could not fit alone is refused at submit, all
// finish.
//
// Threads: none of its own.
#pragma once

#include <compare>
#include <cstdint>
#include <vector>

#include "base/clock.h"
#include "kvcache/block_math.h"

namespace hadal {

/// First come, first served: by request, then by choice.
struct Order {
  uint64_t request = 0;
  uint32_t choice = 0;
  friend auto operator<=>(const Order&, const Order&) = default;
};

/// A sequence as the scheduler sees it.
struct SequenceView {
  Order order;
  int32_t prompt = 0;           // prompt tokens
  int32_t known = 0;            // prompt + output tokens whose ids exist
  int32_t computed = 0;         // of them in the cache; computed < known
  int32_t places = 1;           // sequences that it is, or will be once its prompt is done (n choices)
  bool returns_logits = false;  // one row more when its prompt is done
  const std::vector<std::vector<BlockId>>* tables = nullptr;  // per group

  int32_t remaining() const { return known - computed; }
  bool generates() const { return remaining() == 1 && computed >= prompt; }
};

/// A cache group: its free blocks, and how many hold each block.
struct GroupView {
  const CacheGroupSpec* spec = nullptr;
  int32_t free = 0;
  const std::vector<int32_t>* refs = nullptr;
};

/// Both lists in rising order.
struct PlanState {
  std::vector<SequenceView> running;
  std::vector<SequenceView> waiting;
  std::vector<GroupView> groups;
};

struct StepBudget {
  int32_t max_tokens = 0;  // >= max_sequences
  int32_t max_rows = 0;    // >= max_sequences
  int32_t max_sequences = 0;
  int32_t chunk = 0;  // > 0: prompt pieces of exactly this many tokens (the last one shorter); <= max_tokens
};

/// One sequence's part of a step.
struct Grant {
  bool admitted = false;  // index is into waiting, else into running
  int32_t index = 0;
  int32_t tokens = 0;
  std::vector<int32_t> new_blocks;  // per group
};

struct StepDecision {
  std::vector<int32_t>
      preempted;  // indices into running, last-arrived first; their blocks are free for the grants
  std::vector<Grant> grants;  // to be committed in this order
  int32_t tokens = 0;
};

/// `now` is for deadlines: this policy has none.
StepDecision plan(const PlanState& state, const StepBudget& budget, MonotonicTime now);

}  // namespace hadal
