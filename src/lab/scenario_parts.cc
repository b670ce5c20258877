#include "lab/scenario_parts.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "lab/percentiles.h"

namespace hadal {
namespace {

int32_t between(int32_t low, int32_t high, uint64_t number) {
  return low + static_cast<int32_t>(number % static_cast<uint64_t>(high - low + 1));
}

}  // namespace

Clients::Clients(Simulation* simulation, uint64_t seed) : simulation_(simulation), seed_(seed) {
  simulation_->on_end = [this](const SimOutcome& ended) -> std::optional<SimRequest> {
    return next_of(simulation_->tenant_names()[static_cast<size_t>(ended.tenant)]);
  };
}

void Clients::start(const ClientKind& kind) {
  uint64_t seed = seed_;
  for (const char letter : kind.tenant) seed = scramble(seed, static_cast<uint64_t>(letter));
  tenants_[kind.tenant] = {.kind = kind, .seed = seed};
  for (int32_t i = 0; i < kind.clients; ++i) simulation_->submit(next_of(kind.tenant));
}

SimRequest Clients::next_of(const std::string& tenant) {
  Tenant& one = tenants_.at(tenant);
  const uint64_t number = scramble(one.seed, one.sent++);
  const ClientKind& kind = one.kind;
  const double chance = static_cast<double>(scramble(number, 2) >> 11) * 0x1p-53;  // [0, 1)
  return {.arrival_s = simulation_->now_s() - kind.pause_s * std::log1p(-chance),
          .prompt_tokens = between(kind.prompt_low, kind.prompt_high, scramble(number, 0)),
          .output_tokens = between(kind.output_low, kind.output_high, scramble(number, 1)),
          .tenant = tenant};
}

SimulationOptions simulation_options(const ScenarioOptions& options, int32_t max_num_seqs,
                                     int32_t max_num_batched_tokens) {
  SimulationOptions made;
  made.cost = options.cost;
  made.seed = options.seed;
  made.block_tokens = options.block_tokens;
  const int64_t room = options.kv_tokens / options.block_tokens;
  made.num_blocks = options.num_blocks.value_or(static_cast<int32_t>(room));
  made.engine.max_num_seqs = options.max_num_seqs.value_or(max_num_seqs);
  made.engine.max_num_batched_tokens =
      std::max(options.max_num_batched_tokens.value_or(max_num_batched_tokens), made.engine.max_num_seqs);
  made.engine.policy = options.policy.value_or(SchedulingPolicy::kFair);
  return made;
}

std::vector<SimRequest> trace_requests(const ScenarioOptions& options, int32_t most) {
  const int32_t wanted = options.num_requests.value_or(most);
  const size_t count =
      wanted > 0 ? std::min(options.trace.size(), static_cast<size_t>(wanted)) : options.trace.size();
  std::vector<SimRequest> requests;
  for (size_t i = 0; i < count; ++i) {
    const TraceRequest& one = options.trace[i];
    requests.push_back({.arrival_s = options.recorded_arrivals ? one.arrival_s / options.time_scale : 0.0,
                        .prompt_tokens = one.input_tokens,
                        .output_tokens = std::max(1, one.output_tokens),
                        .hash_ids = one.hash_ids});
  }
  return requests;
}

Measured measure_steps(const Simulation& simulation, double from_s, double to_s) {
  Measured sum;
  std::vector<double> seconds;
  double prompt = 0, output = 0;
  int64_t with_blocks = 0;
  for (const SimStep& step : simulation.steps()) {
    if (step.begin_s < from_s || step.begin_s >= to_s) continue;
    ++sum.steps;
    seconds.push_back(step.seconds);
    sum.seconds += step.seconds;
    sum.running += step.running;
    sum.decode_rows += step.shape.decode_rows;
    if (step.held_places > 0) {
      ++with_blocks;
      sum.used_share += static_cast<double>(step.used_places) / static_cast<double>(step.held_places);
    }
    for (size_t t = 0; t < step.own_tokens.size(); ++t) {
      prompt += step.prompt_tokens[t];
      output += step.own_tokens[t] - step.prompt_tokens[t];
    }
  }
  if (sum.steps == 0) return sum;
  const auto steps = static_cast<double>(sum.steps);
  sum.running /= steps;
  sum.decode_rows /= steps;
  if (with_blocks > 0) sum.used_share /= static_cast<double>(with_blocks);
  sum.prompt_tokens_per_s = prompt / sum.seconds;
  sum.output_tokens_per_s = output / sum.seconds;
  std::sort(seconds.begin(), seconds.end());
  sum.step_p50_s = percentile(seconds, 50);
  sum.step_p99_s = percentile(seconds, 99);
  return sum;
}

std::vector<double> first_token_waits(const Simulation& simulation, const std::string& tenant, double from_s,
                                      double to_s) {
  std::vector<double> waits;
  for (const SimOutcome& one : simulation.outcomes()) {
    if (simulation.tenant_names()[static_cast<size_t>(one.tenant)] != tenant) continue;
    if (one.arrival_s < from_s || one.arrival_s >= to_s) continue;
    waits.push_back((one.first_token_s >= 0 ? one.first_token_s : simulation.now_s()) - one.arrival_s);
  }
  return waits;
}

}  // namespace hadal
