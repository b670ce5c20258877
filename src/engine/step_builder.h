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
    bool finishes_prompt = false;  // its choices are born when the step is collected
  };
  StepPlan plan;
  std::vector<Part> parts;
  std::vector<ExpectedResult> results;  // one for each row that wants logits, in plan order
  std::vector<SequenceId> preempted;
  int32_t tokens = 0;
};

/// The scheduler's view of the lists and the cache; at most `max_waiting` of those that wait (no step admits
/// more).
PlanState plan_state(const SequenceLists& lists, const KvCache& cache, int32_t max_waiting);

/// Takes the blocks of all grants or of none. Errors: internal when the decision does not fit the cache (a
/// bug); preempted sequences are then waiting, all else is unchanged.
StatusOr<CommittedStep> commit(const StepDecision& decision, StepId id, SequenceLists& lists, KvCache& cache);

}  // namespace hadal
