// Continuous against static batching: the same requests in the same order, all there at time 0, the same
// memory, the same step cost, no padding computed in either. A static batch is the next max_num_seqs
// requests: their prompts are computed in one step, whatever its size, and the next batch begins when the
// last of them has ended.
#include <algorithm>

#include "lab/scenario_parts.h"

namespace hadal {
namespace {

constexpr int32_t kAnswer = 1000;  // the longest of the trace

struct Variant {
  const char* name;
  SchedulingPolicy policy;
  int32_t max_num_seqs;
};

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
  double prompt = 0;
  for (const SimRequest& one : requests) prompt += one.prompt_tokens / static_cast<double>(requests.size());
  ScenarioReport report{.name = "static",
                        .title = "Continuous against static batching, saturated, on " + options.cost_name};
  report.columns = {"blocks",     "policy", "max_num_seqs", "output tok/s",  "requests/s",
                    "generating", "steps",  "preempted",    "against static"};
  std::vector<int32_t> sizes = {32, 64, 128, 256};
  if (options.max_num_seqs) sizes = {*options.max_num_seqs};
  for (const int32_t size : sizes) {
    const auto reserved = static_cast<int32_t>(size * (prompt + kAnswer) / options.block_tokens);
    const Variant variants[] = {{"static", SchedulingPolicy::kStatic, size},
                                {"fcfs", SchedulingPolicy::kFcfs, size},
                                {"fcfs, memory alone", SchedulingPolicy::kFcfs, 4 * size},
                                {"fair, memory alone", SchedulingPolicy::kFair, 4 * size}};
    double baseline = 0;
    for (const Variant& one : variants) {
      ScenarioOptions own = options;
      own.max_num_seqs = one.max_num_seqs;
      SimulationOptions made = simulation_options(own, one.max_num_seqs, 8192);
      made.num_blocks = options.num_blocks.value_or(reserved);
      made.engine.policy = one.policy;
      const bool is_static = one.policy == SchedulingPolicy::kStatic;
      if (is_static) made.engine.max_num_batched_tokens = whole_batch_tokens(requests, size);
      ASSIGN_OR_RETURN(const Run run, run_policy(made, requests));
      if (is_static) baseline = run.output_per_s;
      const double ratio = run.output_per_s / baseline;
      report.rows.push_back({Cell(made.num_blocks, 0), one.name, Cell(one.max_num_seqs, 0),
                             Cell(run.output_per_s, 1), Cell(run.requests_per_s, 2), Cell(run.decode_rows, 1),
                             Cell(static_cast<double>(run.steps), 0),
                             Cell(static_cast<double>(run.preemptions), 0), Cell(ratio, 2)});
      if (!is_static) {
        report.requirements.push_back(
            {fmt::format("{} over static batches of {}", one.name, size), ratio, 2.3});
      }
    }
  }
  report.notes = {
      fmt::format("{} requests of the trace in its order, all there at time 0", requests.size()),
      "blocks: room for a static batch that reserves prompt + 1,000 tokens of each; all rows have the same",
      "fcfs: as many sequences as the static batch; memory alone: as many as find blocks, since nothing is "
      "reserved",
      fmt::format("continuous with {} tokens a step, static with a whole batch of prompts in one step",
                  options.max_num_batched_tokens.value_or(8192)),
      "generating: sequences that make a token, mean over the steps"};
  return report;
}

}  // namespace hadal
