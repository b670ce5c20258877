// The real engine (engine/engine_core.h: plan, commit, cache, tenants) over a runner that only takes time:
// requests in, and who got what when. Simulated time; the same options and requests give the same run.
//
//   ASSIGN_OR_RETURN(auto simulation, Simulation::create(options));
//   simulation->submit({.arrival_s = 0, .prompt_tokens = 1000, .output_tokens = 100});
//   RETURN_IF_ERROR(simulation->run());
//   simulation->outcomes() ...
//
// As in the server, what arrives while a step runs is seen when it has ended.
//
// Threads: one.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/engine_core.h"
#include "lab/sim_runner.h"
#include "lab/step_cost.h"

namespace hadal {

struct SimulationOptions {
  EngineOptions engine;
  StepCost cost;
  int32_t block_tokens = 64;
  int32_t num_blocks = 1024;  // that hold tokens
  int32_t max_model_len = 131072;
  uint64_t seed = 0;  // of the prompts' ids
};

struct SimRequest {
  double arrival_s = 0.0;
  int32_t prompt_tokens = 0, output_tokens = 0;
  std::string tenant;
  std::vector<int64_t> hash_ids;  // one for each 512 tokens: equal ids are equal text
};

/// What became of a request. Times are seconds of the simulation; negative: not yet.
struct SimOutcome {
  int32_t tenant = 0;  // into tenant_names()
  int32_t prompt_tokens = 0, output_tokens = 0;
  int32_t delivered = 0;
  double arrival_s = 0.0;
  double due_s = -1.0;        // begin of the first step that could have had a part of it
  double scheduled_s = -1.0;  // begin of the first step that had
  double first_token_s = -1.0, finish_s = -1.0;
  FinishReason finish = FinishReason::kNone;
  int32_t reached = 0;  // tokens computed at least once, or found in the cache
};

struct SimStep {
  double begin_s = 0.0, seconds = 0.0;
  StepShape shape;
  int32_t running = 0, waiting = 0;                // when it was launched
  int64_t used_places = 0, held_places = 0;        // when it was launched
  std::vector<double> charges;                     // by tenant: tokens computed for the first time, weighed
  std::vector<int32_t> prompt_tokens, own_tokens;  // by tenant, computed for the first time: prompt, all
};

class Simulation {
 public:
  static StatusOr<std::unique_ptr<Simulation>> create(const SimulationOptions& options);

  /// A request to come at its arrival (now, if that is past). Returns its index into outcomes().
  size_t submit(SimRequest request);
  /// Called when a request has ended: what its client sends next.
  std::function<std::optional<SimRequest>(const SimOutcome&)> on_end;

  /// Until nothing is left to do, or the first step's end at or after `until_s`. Errors: a request that the
  /// engine refuses, an engine that died.
  Status run(double until_s = std::numeric_limits<double>::infinity());

  double now_s() const { return seconds_between(MonotonicTime{}, clock_.now()); }
  const std::vector<SimOutcome>& outcomes() const { return outcomes_; }
  const std::vector<SimStep>& steps() const { return steps_; }
  const std::vector<double>& token_gaps() const { return gaps_; }  // seconds between a request's tokens
  const std::vector<std::string>& tenant_names() const { return tenants_; }
  const EngineStats& stats() { return core_->stats(); }

 private:
  class Sink;
  explicit Simulation(const SimulationOptions& options) : options_(options) {}
  int32_t tenant_number(const std::string& name);
  std::vector<int32_t> prompt_of(const SimRequest& request, size_t index) const;
  Status add(size_t index);
  void note_step(const StepPlan& plan, const StepShape& shape, double seconds);
  void note_row(const StepRow& row, SimStep* step);
  void delivered(size_t index, const RequestOutput& output);

  const SimulationOptions options_;
  ManualClock clock_;
  std::unique_ptr<EngineCore> core_;
  std::vector<std::string> tenants_;
  std::vector<SimRequest> requests_;
  std::vector<SimOutcome> outcomes_;
  std::vector<double> last_token_;                        // by request
  std::map<std::pair<double, size_t>, size_t> arriving_;  // by time, then by number
  std::vector<size_t> by_sequence_;                       // sequence n is request by_sequence_[n - 1]
  std::vector<size_t> due_;                               // added since the last step
  std::vector<size_t> ended_;
  std::vector<SimStep> steps_;
  std::vector<double> gaps_;
};

}  // namespace hadal
