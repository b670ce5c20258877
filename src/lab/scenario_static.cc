// Continuous against static batching: the same requests in the same order, all there at time 0, the same
// memory, the same step cost, no padding computed in either. A static batch is the next max_num_seqs
// requests: their prompts are computed in one step, whatever its size, and the next batch begins when the
// last of them has ended.
#include <algorithm>

#include "lab/scenario_parts.h"

namespace hadal {
namespace {

struct Run {
  double output_per_s = 0, requests_per_s = 0, decode_rows = 0, seconds = 0;
  int64_t preemptions = 0, steps = 0;
};

StatusOr<Run> run_policy(const SimulationOptions& options, const std::vector<SimRequest>& requests) {
  ASSIGN_OR_RETURN(const auto simulation, Simulation::create(options));
  for (const SimRequest& one : requests) simulation->submit(one);
  RETURN_IF_ERROR(simulation->run());
  Run run{.seconds = simulation->now_s()};
  int64_t output = 0;
  for (const SimOutcome& one : simulation->outcomes()) output += one.delivered;
  run.output_per_s = static_cast<double>(output) / run.seconds;
  run.requests_per_s = static_cast<double>(requests.size()) / run.seconds;
  run.decode_rows = measure_steps(*simulation, 0, run.seconds).decode_rows;
  run.steps = static_cast<int64_t>(simulation->steps().size());
  run.preemptions = simulation->stats().preemptions;
  return run;
}

/// A step that holds all prompts of a batch.
int32_t whole_batch_tokens(const std::vector<SimRequest>& requests, int32_t sequences) {
  int32_t longest = 0;
  for (const SimRequest& one : requests) longest = std::max(longest, one.prompt_tokens);
  return static_cast<int32_t>(std::min<int64_t>(int64_t{longest} * sequences, 1 << 28));
}

}  // namespace

StatusOr<ScenarioReport> simulate_static(const ScenarioOptions& options) {
  const std::vector<SimRequest> requests = trace_requests(options, 0);
  ScenarioReport report{.name = "static",
                        .title = "Continuous against static batching, saturated, on " + options.cost_name};
  report.columns = {"max_num_seqs", "policy", "output tok/s", "requests/s",
                    "generating",   "steps",  "preempted",    "against static"};
  std::vector<int32_t> sizes = {64, 128, 256};
  if (options.max_num_seqs) sizes = {*options.max_num_seqs};
  SimulationOptions made;
  for (const int32_t size : sizes) {
    double baseline = 0;
    for (const auto& [policy, name] :
         {std::pair(SchedulingPolicy::kStatic, "static"), std::pair(SchedulingPolicy::kFcfs, "fcfs"),
          std::pair(SchedulingPolicy::kFair, "fair")}) {
      made = simulation_options(options, size, 8192);
      made.engine.policy = policy;
      if (policy == SchedulingPolicy::kStatic)
        made.engine.max_num_batched_tokens = whole_batch_tokens(requests, size);
      ASSIGN_OR_RETURN(const Run run, run_policy(made, requests));
      if (policy == SchedulingPolicy::kStatic) baseline = run.output_per_s;
      const double ratio = run.output_per_s / baseline;
      report.rows.push_back({Cell(size, 0), name, Cell(run.output_per_s, 1), Cell(run.requests_per_s, 2),
                             Cell(run.decode_rows, 1), Cell(static_cast<double>(run.steps), 0),
                             Cell(static_cast<double>(run.preemptions), 0), Cell(ratio, 2)});
      if (policy != SchedulingPolicy::kStatic) {
        report.requirements.push_back(
            {fmt::format("throughput of {} over static at {}", name, size), ratio, 2.3});
      }
    }
  }
  report.notes = {
      fmt::format("{} requests of the trace in its order, all there at time 0", requests.size()),
      fmt::format("{} blocks of {} tokens for each; continuous with {} tokens a step, static with a whole "
                  "batch of prompts in one step",
                  made.num_blocks, made.block_tokens,
                  simulation_options(options, 256, 8192).engine.max_num_batched_tokens),
      "generating: sequences that make a token, mean over the steps"};
  return report;
}

}  // namespace hadal
