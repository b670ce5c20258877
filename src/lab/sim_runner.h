// A runner without a model: a step takes the time that a StepCost says, on a clock that nobody waits for, and
// draws tokens that depend on the request's seed and the position alone.
//
// Threads: the engine's. Ownership: the clock outlives the runner.
#pragma once

#include <deque>
#include <functional>
#include <utility>

#include "base/clock.h"
#include "lab/step_cost.h"
#include "runner/runner.h"

namespace hadal {

class SimRunner final : public Runner {
 public:
  /// Called when a step has been launched: what it holds, and how long it will take.
  using OnStep = std::function<void(const StepPlan& plan, const StepShape& shape, double seconds)>;

  SimRunner(RunnerInfo info, const StepCost& cost, ManualClock* clock, OnStep on_step)
      : info_(std::move(info)), cost_(cost), clock_(clock), on_step_(std::move(on_step)) {}

  const RunnerInfo& info() const override { return info_; }
  StatusOr<Ticket> launch(const StepPlan& plan) override;
  /// Moves the clock to the step's end.
  StatusOr<StepResult> collect(Ticket ticket) override;

 private:
  struct Launched {
    Ticket ticket = 0;
    StepResult result;
  };
  RunnerInfo info_;
  StepCost cost_;
  ManualClock* clock_;
  OnStep on_step_;
  std::deque<Launched> launched_;
  Ticket next_ticket_ = 1;
};

StepShape shape_of(const StepPlan& plan);

/// Of a sequence of numbers that looks random: the index-th of a seed.
inline uint64_t scramble(uint64_t seed, uint64_t index) {
  uint64_t x = seed * 0x9e3779b97f4a7c15ull + index * 0xd1b54a32d192ed03ull + 0x632be59bd9b4e019ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

}  // namespace hadal
