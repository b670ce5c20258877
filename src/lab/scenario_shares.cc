// Two tenants that are as unlike as can be and both want more than they get. What each was served is counted
// from the rows of the steps, not read from the scheduler's counters.
#include <algorithm>
#include <cmath>

#include "lab/scenario_parts.h"

namespace hadal {
namespace {

constexpr double kWarmUp = 30.0, kWindow = 10.0;

struct Case {
  const char* name;
  double short_weight, long_weight;
  int32_t max_num_seqs;
  SchedulingPolicy policy;
  bool required;  // both want more than they get
};

constexpr Case kCases[] = {
    {"1 : 1", 1, 1, 32, SchedulingPolicy::kFair, true},
    {"1 : 3", 1, 3, 32, SchedulingPolicy::kFair, true},
    {"3 : 1", 3, 1, 32, SchedulingPolicy::kFair, true},
    {"fcfs", 1, 1, 32, SchedulingPolicy::kFcfs, false},
    {"1 : 1, places for all", 1, 1, 256, SchedulingPolicy::kFair, false},
    {"fcfs, places for all", 1, 1, 256, SchedulingPolicy::kFcfs, false},
};

struct Windows {
  double lowest = 1, mean = 0, highest = 0;  // the short tenant's share of what was served
  double deviation = 0;                      // largest of either tenant's, over its fair share
  double short_per_s = 0, long_per_s = 0;    // virtual tokens
  double tokens_per_s = 0, running = 0;
};

StatusOr<Windows> run_case(const Case& one, SimulationOptions options, double seconds, uint64_t seed) {
  options.engine.policy = one.policy;
  options.engine.tenants = {{.name = "short", .weight = one.short_weight},
                            {.name = "long", .weight = one.long_weight}};
  ASSIGN_OR_RETURN(const auto simulation, Simulation::create(options));
  Clients clients(simulation.get(), seed);
  clients.start({.tenant = "short",
                 .clients = 64,
                 .prompt_low = 64,
                 .prompt_high = 256,
                 .output_low = 64,
                 .output_high = 256});
  clients.start({.tenant = "long",
                 .clients = 4,
                 .prompt_low = 8000,
                 .prompt_high = 16000,
                 .output_low = 16,
                 .output_high = 64});
  const auto count = static_cast<size_t>(std::max(1.0, std::floor(seconds / kWindow)));
  const double end = kWarmUp + kWindow * static_cast<double>(count);
  RETURN_IF_ERROR(simulation->run(end));
  std::vector<std::pair<double, double>> served(count);
  for (const SimStep& step : simulation->steps()) {
    // a step counts where it ends
    const double at = (step.begin_s + step.seconds - kWarmUp) / kWindow;
    if (at < 0 || at >= static_cast<double>(count)) continue;
    served[static_cast<size_t>(at)].first += step.charges[0];
    served[static_cast<size_t>(at)].second += step.charges[1];
  }
  Windows sum;
  const double fair = one.short_weight / (one.short_weight + one.long_weight);
  for (const auto& [short_part, long_part] : served) {
    const double share = short_part / (short_part + long_part);
    sum.lowest = std::min(sum.lowest, share);
    sum.highest = std::max(sum.highest, share);
    sum.mean += share / static_cast<double>(count);
    sum.deviation =
        std::max({sum.deviation, std::abs(share / fair - 1), std::abs((1 - share) / (1 - fair) - 1)});
    sum.short_per_s += short_part / (end - kWarmUp);
    sum.long_per_s += long_part / (end - kWarmUp);
  }
  const Measured steps = measure_steps(*simulation, kWarmUp, end);
  sum.tokens_per_s = steps.prompt_tokens_per_s + steps.output_tokens_per_s;
  sum.running = steps.running;
  return sum;
}

}  // namespace

StatusOr<ScenarioReport> simulate_shares(const ScenarioOptions& options) {
  const double seconds = options.seconds.value_or(200.0);
  ScenarioReport report{.name = "shares", .title = "Two unlike saturating tenants, on " + options.cost_name};
  report.columns = {"weights short : long", "max_num_seqs",   "short's share, mean", "lowest",   "highest",
                    "largest deviation",    "short served/s", "long served/s",       "tokens/s", "running"};
  for (const Case& one : kCases) {
    ScenarioOptions own = options;
    own.max_num_seqs.reset();
    const SimulationOptions made = simulation_options(own, one.max_num_seqs, 512);
    ASSIGN_OR_RETURN(const Windows sum, run_case(one, made, seconds, options.seed));
    report.rows.push_back({one.name, Cell(one.max_num_seqs, 0), Cell(100 * sum.mean, 2, " %"),
                           Cell(100 * sum.lowest, 2, " %"), Cell(100 * sum.highest, 2, " %"),
                           Cell(100 * sum.deviation, 2, " %"), Cell(sum.short_per_s, 0),
                           Cell(sum.long_per_s, 0), Cell(sum.tokens_per_s, 0), Cell(sum.running, 1)});
    if (one.required) {
      report.requirements.push_back(
          {fmt::format("largest deviation from the share in a window, weights {}", one.name), sum.deviation,
           0.05, Requirement::Sense::kAtMost});
    }
  }
  report.notes = {
      "short: 64 clients in a closed loop, prompts of 64 to 256 tokens, outputs of 64 to 256",
      "long: 4 clients in a closed loop, prompts of 8,000 to 16,000 tokens, outputs of 16 to 64",
      "served: tokens computed for the first time, output tokens twice; windows of 10 s of simulated time",
      fmt::format("{} tokens a step; {:.0f} s measured after {:.0f} s of warm-up",
                  simulation_options(options, 32, 512).engine.max_num_batched_tokens, seconds, kWarmUp),
      "with places for all the short tenant gets all that it asks for, and nobody is slowed for it"};
  return report;
}

}  // namespace hadal
