// A tenant with a guaranteed part of the cache beside one that takes all it can get.
#include <algorithm>

#include "lab/percentiles.h"
#include "lab/scenario_parts.h"

namespace hadal {
namespace {

constexpr double kFloor = 0.25;

struct Case {
  const char* name;
  double floor;
  SchedulingPolicy policy;
};

constexpr Case kCases[] = {{"floor of 25 %", kFloor, SchedulingPolicy::kFair},
                           {"no floor", 0.0, SchedulingPolicy::kFair},
                           {"fcfs", 0.0, SchedulingPolicy::kFcfs}};

struct Run {
  Summary wait, first_token;  // seconds
  int64_t late = 0;           // requests that were not in the first step they could be in
  int64_t late_heads = 0;     // of them those that no earlier request of the tenant was before in that step
  double steps_late = 0;      // most steps that one waited
  int64_t own_preemptions = 0, others_preemptions = 0;
  double tokens_per_s = 0, blocks = 0;
};

StatusOr<Run> run_case(const Case& one, SimulationOptions options, double seconds, uint64_t seed) {
  options.engine.policy = one.policy;
  options.engine.tenants = {{.name = "guarded", .kv_floor = one.floor}, {.name = "greedy"}};
  ASSIGN_OR_RETURN(const auto simulation, Simulation::create(options));
  Clients clients(simulation.get(), seed);
  clients.start({.tenant = "greedy",
                 .clients = 192,
                 .prompt_low = 1000,
                 .prompt_high = 4000,
                 .output_low = 200,
                 .output_high = 1000});
  // 8 of at most 2,500 tokens are 320 blocks of 64, and the floor is 512
  clients.start({.tenant = "guarded",
                 .clients = 8,
                 .prompt_low = 200,
                 .prompt_high = 2000,
                 .output_low = 50,
                 .output_high = 500,
                 .pause_s = 2.0});
  constexpr double kWarmUp = 60.0;
  const double end = kWarmUp + seconds;
  RETURN_IF_ERROR(simulation->run(end));
  Run run;
  std::vector<double> waits, begins;
  double last_scheduled = -1;  // of the tenant's earlier requests
  for (const SimStep& step : simulation->steps()) begins.push_back(step.begin_s);
  for (const SimOutcome& request : simulation->outcomes()) {
    if (simulation->tenant_names()[static_cast<size_t>(request.tenant)] != "guarded") continue;
    if (request.arrival_s < kWarmUp || request.due_s < 0) continue;
    const double scheduled = request.scheduled_s >= 0 ? request.scheduled_s : simulation->now_s();
    waits.push_back(scheduled - request.due_s);
    const auto place = [&](double at) { return std::lower_bound(begins.begin(), begins.end(), at); };
    const auto late = static_cast<double>(place(scheduled) - place(request.due_s));
    run.late += late > 0 ? 1 : 0;
    run.late_heads += late > 0 && last_scheduled < request.due_s ? 1 : 0;
    last_scheduled = std::max(last_scheduled, scheduled);
    run.steps_late = std::max(run.steps_late, late);
  }
  run.wait = summarize(waits);
  run.first_token = summarize(first_token_waits(*simulation, "guarded", kWarmUp, end));
  const Measured steps = measure_steps(*simulation, kWarmUp, end);
  run.tokens_per_s = steps.prompt_tokens_per_s + steps.output_tokens_per_s;
  for (const TenantStats& tenant : simulation->stats().tenants)
    (tenant.name == "guarded" ? run.own_preemptions : run.others_preemptions) += tenant.preemptions;
  return run;
}

}  // namespace

StatusOr<ScenarioReport> simulate_floors(const ScenarioOptions& options) {
  const double seconds = options.seconds.value_or(300.0);
  SimulationOptions made = simulation_options(options, 256, 2048);
  if (!options.num_blocks) made.num_blocks = 131072 / made.block_tokens;
  ScenarioReport report{.name = "floors",
                        .title = "A guarded tenant beside a greedy one, on " + options.cost_name};
  report.columns = {"guarded has",      "requests",         "in a later step", "not behind their own",
                    "most steps later", "wait p99 ms",      "wait max ms",     "TTFT p99 ms",
                    "preempted",        "greedy preempted", "tokens/s in all"};
  for (const Case& one : kCases) {
    ASSIGN_OR_RETURN(const Run run, run_case(one, made, seconds, options.seed));
    report.rows.push_back(
        {one.name, Cell(static_cast<double>(run.wait.count), 0), Cell(static_cast<double>(run.late), 0),
         Cell(static_cast<double>(run.late_heads), 0), Cell(run.steps_late, 0), Cell(1e3 * run.wait.p99, 2),
         Cell(1e3 * run.wait.max, 2), Cell(1e3 * run.first_token.p99, 2),
         Cell(static_cast<double>(run.own_preemptions), 0),
         Cell(static_cast<double>(run.others_preemptions), 0), Cell(run.tokens_per_s, 0)});
    if (one.floor > 0) {
      report.requirements.push_back(
          {"first of their tenant's queue, within the floor, and not in the first step they could be in",
           static_cast<double>(run.late_heads), 0, Requirement::Sense::kAtMost});
      report.requirements.push_back({"preemptions of the guarded tenant",
                                     static_cast<double>(run.own_preemptions), 0,
                                     Requirement::Sense::kAtMost});
    }
  }
  report.notes = {
      fmt::format("{} blocks of {} tokens, {} tokens a step, {} places", made.num_blocks, made.block_tokens,
                  made.engine.max_num_batched_tokens, made.engine.max_num_seqs),
      "greedy: 192 requests in flight, prompts of 1,000 to 4,000 tokens, outputs of 200 to 1,000",
      "guarded: 8 clients, prompts of 200 to 2,000 tokens, outputs of 50 to 500, pauses of 2 s in the mean; "
      "all 8 at their longest fit into the floor",
      "wait: from the first step that could have had a part of the request to the first that had; a step "
      "preempts for the first of a tenant's queue alone, so one that came together with another may be a "
      "step "
      "later: behind its own tenant's, not behind the greedy one"};
  return report;
}

}  // namespace hadal
