// How many sequences a cache holds: blocks as they fill, against places reserved at admission.
#include <algorithm>
#include <deque>

#include "lab/scenario_parts.h"

namespace hadal {
namespace {

constexpr int32_t kAnswer = 1000;    // the longest answer of the trace
constexpr int32_t kReserved = 4096;  // a fixed reservation

/// Token places of a sequence, in the middle over the steps of its life in which it generates: each request
/// counts as often as it has output tokens.
struct Arithmetic {
  double paged = 0, used = 0, reserved_answer = 0;
};

Arithmetic count(const std::vector<SimRequest>& requests, int32_t block) {
  Arithmetic sum;
  double steps = 0;
  for (const SimRequest& one : requests) {
    for (int32_t i = 1; i <= one.output_tokens; ++i) {
      const int32_t tokens = one.prompt_tokens + i;
      sum.used += tokens;
      sum.paged += (tokens + block - 1) / block * block;
    }
    sum.reserved_answer += static_cast<double>(one.output_tokens) * (one.prompt_tokens + kAnswer);
    steps += one.output_tokens;
  }
  return {sum.paged / steps, sum.used / steps, sum.reserved_answer / steps};
}

/// First come, first served with places reserved: sequences held, mean over the steps in which some wait.
/// A step makes a token for each; prompts take no time. `reserve` of a request, or its whole length if that
/// is more.
template <typename Reserve>
double held_with_reservations(const std::vector<SimRequest>& requests, int64_t places, Reserve reserve) {
  struct Held {
    int32_t left;
    int64_t places;
  };
  std::vector<Held> held;
  size_t next = 0;
  double sum = 0, steps = 0;
  while (next < requests.size()) {
    while (next < requests.size()) {
      const SimRequest& one = requests[next];
      const int64_t wanted = std::max<int64_t>(reserve(one), one.prompt_tokens + one.output_tokens);
      if (wanted > places) break;
      places -= wanted;
      held.push_back({one.output_tokens, wanted});
      ++next;
    }
    if (held.empty()) return 0;  // the first one fits nowhere
    if (next == requests.size()) break;
    sum += static_cast<double>(held.size());
    steps += 1;
    std::erase_if(held, [&](Held& one) {
      const bool ends = --one.left <= 0;
      if (ends) places += one.places;
      return ends;
    });
  }
  return steps > 0 ? sum / steps : 0;
}

}  // namespace

StatusOr<ScenarioReport> simulate_paging(const ScenarioOptions& options) {
  const std::vector<SimRequest> requests = trace_requests(options, 0);
  SimulationOptions made = simulation_options(options, 1024, 8192);
  if (!options.num_blocks) made.num_blocks = 131072 / made.block_tokens;
  made.engine.policy = options.policy.value_or(SchedulingPolicy::kFcfs);
  ASSIGN_OR_RETURN(const auto simulation, Simulation::create(made));
  for (const SimRequest& one : requests) simulation->submit(one);
  RETURN_IF_ERROR(simulation->run());
  double last_wait = 0;
  for (const SimStep& step : simulation->steps()) {
    if (step.waiting > 0) last_wait = step.begin_s;
  }
  const Measured run = measure_steps(*simulation, 0, last_wait);

  const int64_t places = int64_t{made.num_blocks} * made.block_tokens;
  const Arithmetic mean = count(requests, made.block_tokens);
  const auto room = static_cast<double>(places);
  const double answer = held_with_reservations(
      requests, places, [](const SimRequest& one) { return one.prompt_tokens + kAnswer; });
  const double fixed = held_with_reservations(requests, places, [](const SimRequest&) { return kReserved; });
  const auto number = [](double value) { return Cell(value, 1); };
  ScenarioReport report{.name = "paging", .title = "Sequences held by the same memory"};
  report.notes = {
      fmt::format("{} requests of the trace in its order, all there at time 0; {} blocks of {} tokens",
                  requests.size(), made.num_blocks, made.block_tokens),
      "arithmetic: places over the mean places of a sequence, each request counted once for each token it "
      "makes",
      fmt::format("run: the engine (mean over {} steps with requests waiting), and first come, first served "
                  "with places reserved",
                  run.steps),
      fmt::format(
          "in the run {:.2f} % of the places in held blocks were used; {} preemptions, {} prompt tokens "
          "computed again of {}",
          100 * run.used_share, simulation->stats().preemptions, simulation->stats().prompt_tokens_recomputed,
          simulation->stats().prompt_tokens)};
  report.columns = {"held by", "places of one", "arithmetic", "run", "paged is, arithmetic", "paged is, run"};
  report.rows = {{"paged blocks", number(mean.paged), number(room / mean.paged), number(run.running),
                  Cell(1, 3), Cell(1, 3)},
                 {"prompt + 1000 reserved", number(mean.reserved_answer), number(room / mean.reserved_answer),
                  number(answer), Cell(mean.reserved_answer / mean.paged, 3), Cell(run.running / answer, 3)},
                 {"4096 reserved", number(kReserved), number(room / kReserved), number(fixed),
                  Cell(kReserved / mean.paged, 3), Cell(run.running / fixed, 3)}};
  report.requirements = {
      {"sequences over prompt + 1000 reserved, arithmetic", mean.reserved_answer / mean.paged, 1.6},
      {"sequences over prompt + 1000 reserved, run", run.running / answer, 1.6},
      {"sequences over 4096 reserved, arithmetic", kReserved / mean.paged, 3.2},
      {"sequences over 4096 reserved, run", run.running / fixed, 3.2},
      {"share of held places that is used, run", run.used_share, 0.96}};
  return report;
}

}  // namespace hadal
