// A greedy tenant with 64 long requests in flight, and a polite one that sends one short request at a time.
#include <algorithm>

#include "lab/percentiles.h"
#include "lab/scenario_parts.h"

namespace hadal {
namespace {

constexpr double kWarmUp = 30.0;  // until the greedy tenant's requests are spread over their lives

struct Run {
  Summary first_token;
  double step_p99_s = 0, tokens_per_s = 0;
  int64_t preemptions = 0;
};

ClientKind greedy() {
  return {.tenant = "greedy",
          .clients = 64,
          .prompt_low = 4000,
          .prompt_high = 8000,
          .output_low = 400,
          .output_high = 1000};
}

ClientKind polite() {
  return {.tenant = "polite",
          .clients = 1,
          .prompt_low = 64,
          .prompt_high = 256,
          .output_low = 16,
          .output_high = 64,
          .pause_s = 0.2};
}

enum class Beside : uint8_t { kNobody, kGreedy };

StatusOr<Run> run_once(const SimulationOptions& options, Beside beside, double seconds, uint64_t seed) {
  ASSIGN_OR_RETURN(const auto simulation, Simulation::create(options));
  Clients clients(simulation.get(), seed);
  if (beside == Beside::kGreedy) clients.start(greedy());
  clients.start(polite());
  const double end = kWarmUp + seconds;
  RETURN_IF_ERROR(simulation->run(end));
  const Measured steps = measure_steps(*simulation, kWarmUp, end);
  return Run{.first_token = summarize(first_token_waits(*simulation, "polite", kWarmUp, end)),
             .step_p99_s = steps.step_p99_s,
             .tokens_per_s = steps.prompt_tokens_per_s + steps.output_tokens_per_s,
             .preemptions = simulation->stats().preemptions};
}

}  // namespace

StatusOr<ScenarioReport> simulate_polite(const ScenarioOptions& options) {
  const double seconds = options.seconds.value_or(300.0);
  ScenarioReport report{.name = "polite",
                        .title = "A polite tenant beside a greedy one, on " + options.cost_name};
  report.columns = {"max_num_seqs", "policy",      "requests",        "TTFT p50 ms", "TTFT p99 ms",
                    "TTFT max ms",  "step p99 ms", "tokens/s in all", "preempted"};
  std::vector<int32_t> sizes = {256, 32};
  if (options.max_num_seqs) sizes = {*options.max_num_seqs};
  for (const int32_t size : sizes) {
    SimulationOptions made = simulation_options(options, size, 512);
    const auto row = [&](const char* name, const Run& run) {
      report.rows.push_back({Cell(size, 0), name, Cell(static_cast<double>(run.first_token.count), 0),
                             Cell(1e3 * run.first_token.p50, 2), Cell(1e3 * run.first_token.p99, 2),
                             Cell(1e3 * run.first_token.max, 2), Cell(1e3 * run.step_p99_s, 2),
                             Cell(run.tokens_per_s, 0), Cell(static_cast<double>(run.preemptions), 0)});
    };
    ASSIGN_OR_RETURN(const Run alone, run_once(made, Beside::kNobody, seconds, options.seed));
    ASSIGN_OR_RETURN(const Run fair, run_once(made, Beside::kGreedy, seconds, options.seed));
    made.engine.policy = SchedulingPolicy::kFcfs;
    ASSIGN_OR_RETURN(const Run fcfs, run_once(made, Beside::kGreedy, seconds, options.seed));
    row("alone", alone);
    row("fair", fair);
    row("fcfs", fcfs);
    // alone, its first token takes one step: that is the step of its own
    report.requirements.push_back(
        {fmt::format(
             "TTFT p99 in ms at {} places: alone {:.2f} + a running step {:.2f} + a step of its own {:.2f}",
             size, 1e3 * alone.first_token.p99, 1e3 * fair.step_p99_s, 1e3 * alone.first_token.p99),
         1e3 * fair.first_token.p99, 1e3 * (2 * alone.first_token.p99 + fair.step_p99_s),
         Requirement::Sense::kAtMost});
    report.requirements.push_back({fmt::format("throughput over fcfs at {} places", size),
                                   fair.tokens_per_s / fcfs.tokens_per_s, 0.95});
  }
  report.notes = {
      "greedy: 64 requests in flight, prompts of 4,000 to 8,000 tokens, outputs of 400 to 1,000",
      "polite: one request at a time, prompt 64 to 256, output 16 to 64, pauses of 0.2 s in the mean",
      fmt::format("{} tokens a step; {:.0f} s measured after {:.0f} s of warm-up",
                  simulation_options(options, 64, 512).engine.max_num_batched_tokens, seconds, kWarmUp)};
  return report;
}

}  // namespace hadal
