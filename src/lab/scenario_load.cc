// One run: a trace's lengths or equal ones; all at once, at the recorded times, or so many in flight.
#include <algorithm>
#include <limits>

#include "lab/percentiles.h"
#include "lab/scenario_parts.h"

namespace hadal {
namespace {

std::vector<SimRequest> requests_of(const ScenarioOptions& options) {
  if (!options.trace.empty()) return trace_requests(options, 0);
  const SimRequest one{.prompt_tokens = options.prompt_tokens, .output_tokens = options.output_tokens};
  return std::vector<SimRequest>(static_cast<size_t>(options.num_requests.value_or(384)), one);
}

std::vector<Cell> times_row(const char* what, const std::vector<double>& seconds) {
  const Summary sum = summarize(seconds);
  return {what, Cell(1e3 * sum.mean, 2), Cell(1e3 * sum.p50, 2), Cell(1e3 * sum.p90, 2),
          Cell(1e3 * sum.p99, 2)};
}

}  // namespace

StatusOr<ScenarioReport> simulate_load(const ScenarioOptions& options) {
  const SimulationOptions made = simulation_options(options, 256, 8192);
  ASSIGN_OR_RETURN(const auto simulation, Simulation::create(made));
  std::vector<SimRequest> requests = requests_of(options);
  const size_t count = requests.size();
  size_t sent = 0;
  const size_t at_first =
      options.concurrency > 0 ? std::min(count, static_cast<size_t>(options.concurrency)) : count;
  while (sent < at_first) simulation->submit(requests[sent++]);
  simulation->on_end = [&](const SimOutcome&) -> std::optional<SimRequest> {
    return sent < count ? std::optional(requests[sent++]) : std::nullopt;
  };
  RETURN_IF_ERROR(simulation->run());

  std::vector<double> first, whole;
  int64_t prompt = 0, output = 0;
  for (const SimOutcome& one : simulation->outcomes()) {
    first.push_back(one.first_token_s - one.arrival_s);
    whole.push_back(one.finish_s - one.arrival_s);
    prompt += one.prompt_tokens;
    output += one.delivered;
  }
  const Measured all = measure_steps(*simulation, 0, std::numeric_limits<double>::infinity());
  const EngineStats& stats = simulation->stats();
  const double end = simulation->now_s();
  ScenarioReport report{.name = "load", .title = "Simulated load on " + options.cost_name};
  report.notes = {
      fmt::format("{} requests, {} prompt and {} output tokens in {:.2f} s: {:.2f} requests/s, {:.1f} output "
                  "tokens/s, {:.1f} in all",
                  count, prompt, output, end, static_cast<double>(count) / end,
                  static_cast<double>(output) / end, static_cast<double>(prompt + output) / end),
      fmt::format("{} steps, p50 {:.2f} ms, p99 {:.2f} ms; {:.1f} sequences running, {:.1f} generating",
                  all.steps, 1e3 * all.step_p50_s, 1e3 * all.step_p99_s, all.running, all.decode_rows),
      fmt::format("of the places in held blocks {:.2f} % used; {} preemptions; {} prompt tokens from the "
                  "prefix cache, {} computed again",
                  100 * all.used_share, stats.preemptions, stats.prompt_tokens_cached,
                  stats.prompt_tokens_recomputed)};
  report.columns = {"ms", "mean", "p50", "p90", "p99"};
  report.rows = {times_row("TTFT", first), times_row("ITL", simulation->token_gaps()),
                 times_row("end to end", whole)};
  return report;
}

}  // namespace hadal
