// Executes StepPlans on one rank (or, for several ranks, sends each rank the same plan).
//
// launch() starts a step and returns at once where the device allows it; collect() waits for it. On a CPU one
// step is in flight (launch does the work), on a GPU two. Blocks named by a plan may be freed or hashed only
// when the last ticket that uses them has been collected.
//
// Threads: one thread (the engine's). Errors: launch/collect fail as a whole; the runner stays usable.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "runner/step_plan.h"

namespace hadal {

/// A cache group as the block manager needs it: no layers, no bytes, no models.
struct RunnerCacheGroup {
  std::string name;
  int32_t block_tokens = 64;
  int32_t num_blocks = 0;  // with the null block 0
  int32_t window = 0;      // > 0: blocks wholly before the window may be given back
};

struct RunnerInfo {
  int32_t vocab_size = 0;
  int32_t max_model_len = 0;
  int32_t max_tokens_per_step = 0;
  int32_t max_rows_per_step = 0;
  int32_t steps_in_flight = 1;
  bool forms_differ =
      false;  // a prompt token's cache record differs in bits from the same token's as output (MLA)
  std::vector<RunnerCacheGroup> groups;
  std::string device;  // "cpu (avx512bf16, 2 threads)"
};

/// How often each routed expert has been chosen since the runner was made, by tokens that are no padding.
struct ExpertLoad {
  int32_t experts = 0;           // 0: the model has none, or the runner does not count
  std::vector<int32_t> layers;   // model layers with experts, ascending
  std::vector<uint64_t> chosen;  // [layers.size()][experts]
  /// Steps that were looked at one by one, and the experts that they chose, a layer; their sum over the
  /// steps.
  uint64_t sampled_steps = 0;
  std::vector<uint64_t> active;  // [layers.size()]
  /// Choices of the layer's most chosen expert over the mean of its experts, of recent steps (a step counts
  /// half as much when ExpertLoadMeter::kHalfLife others have followed); 0 before any step.
  std::vector<double> imbalance;  // [layers.size()]
};

class Runner {
 public:
  using Ticket = uint64_t;
  virtual ~Runner() = default;
  virtual const RunnerInfo& info() const = 0;
  virtual StatusOr<Ticket> launch(const StepPlan& plan) = 0;
  /// Tickets are collected in the order of their launches.
  virtual StatusOr<StepResult> collect(Ticket ticket) = 0;
  /// As of some step within the last second of work. Any thread.
  virtual ExpertLoad expert_load() const { return {}; }
};

}  // namespace hadal
