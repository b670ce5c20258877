// Commits what the scheduler decided: preempts, takes the blocks, and writes the plan that the runner gets.
//
// Threads: the engine's.
#pragma once

#include <vector>

#include "base/status.h"
#include "engine/scheduler.h"
#include "engine/sequence.h"
#include "kvcache/kv_cache.h"
#include "runner/step_plan.h"

namespace hadal {

/// What is to be done with one result row of a step.
struct ExpectedResult {
  enum class Kind : uint8_t { kSample, kPromptLogits };
  SequenceId sequence = 0;
  Kind kind = Kind::kSample;
  int32_t row = 0;  // in the plan
};

struct CommittedStep {
  struct Part {
    SequenceId sequence = 0;
    int32_t tokens = 0;
    bool takes_pending = false;    // its one token is drawn by the step before
    double charge = 0.0;           // what its tenant was charged
    bool finishes_prompt = false;  // its choices are born when the step is collected
    bool admitted = false;
    bool first_time = false;  // no step had a part of it before
    int32_t hit_tokens = 0;   // of an admitted one
    int32_t recomputed = 0;   // of `tokens`: prompt tokens that had been computed before a preemption
  };
  StepPlan plan;
  std::vector<Part> parts;
  std::vector<ExpectedResult> results;  // one for each row that wants logits, in plan order
  std::vector<SequenceId> refused;      // still waiting; whoever gets the step ends them
  std::vector<SequenceId> preempted;
  int32_t tokens = 0;
};

/// What the plan sees of a tenant beside its sequences.
struct TenantLimits {
  int32_t max_running = 0;
};

/// The scheduler's view of the lists, the counters and the cache. Of those that wait it holds, of
/// every tenant, as many as a step could admit and one more, which finds no place; and all up to the last
/// that has a deadline.
PlanState plan_state(const SequenceLists& lists, const FairClock& clock,
                     const std::vector<TenantLimits>& limits, const KvCache& cache, int32_t max_sequences);

/// Holds the hits, takes the blocks of all grants or of none, charges the tenants. Errors: internal when the
/// decision does not fit the cache (a bug); preempted sequences are then waiting, all else is unchanged.
StatusOr<CommittedStep> commit(const StepDecision& decision, StepId id, SequenceLists& lists,
                               FairClock& clock, KvCache& cache);

}  // namespace hadal
