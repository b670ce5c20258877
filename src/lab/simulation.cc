#include "lab/simulation.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "lab/traces.h"

namespace hadal {

/// Hands a request's outputs to the simulation.
class Simulation::Sink final : public OutputSink {
 public:
  Sink(Simulation* simulation, size_t index) : simulation_(simulation), index_(index) {}
  void deliver(RequestOutput output) override { simulation_->delivered(index_, output); }

 private:
  Simulation* simulation_;
  size_t index_;
};

StatusOr<std::unique_ptr<Simulation>> Simulation::create(const SimulationOptions& options) {
  std::unique_ptr<Simulation> made(new Simulation(options));
  RunnerInfo info;
  info.vocab_size = 100000;
  info.max_model_len = options.max_model_len;
  info.max_tokens_per_step = options.engine.max_num_batched_tokens;
  info.max_rows_per_step = 2 * options.engine.max_num_seqs + 2;
  info.groups = {{"kv", options.block_tokens, options.num_blocks + 1, 0}};
  info.device = "simulated";
  EngineOptions engine = options.engine;
  engine.hash_secret = options.seed;
  Simulation* self = made.get();
  auto runner =
      std::make_unique<SimRunner>(info, options.cost, &made->clock_,
                                  [self](const StepPlan& plan, const StepShape& shape, double seconds) {
                                    self->note_step(plan, shape, seconds);
                                  });
  ASSIGN_OR_RETURN(made->core_,
                   EngineCore::create(engine, std::move(runner), nullptr, nullptr, made->clock_));
  return made;
}

int32_t Simulation::tenant_number(const std::string& name) {
  const auto found = std::find(tenants_.begin(), tenants_.end(), name);
  if (found != tenants_.end()) return static_cast<int32_t>(found - tenants_.begin());
  tenants_.push_back(name);
  return static_cast<int32_t>(tenants_.size()) - 1;
}

size_t Simulation::submit(SimRequest request) {
  const size_t index = requests_.size();
  request.arrival_s = std::max(request.arrival_s, now_s());
  outcomes_.push_back({.tenant = tenant_number(request.tenant),
                       .prompt_tokens = request.prompt_tokens,
                       .output_tokens = request.output_tokens,
                       .arrival_s = request.arrival_s});
  last_token_.push_back(-1.0);
  arriving_.emplace(std::pair(request.arrival_s, index), index);
  requests_.push_back(std::move(request));
  return index;
}

/// Ids that no other request has, except where the trace says that the text is the same.
std::vector<int32_t> Simulation::prompt_of(const SimRequest& request, size_t index) const {
  std::vector<int32_t> prompt(static_cast<size_t>(request.prompt_tokens));
  const uint64_t own = scramble(options_.seed, index);
  for (size_t i = 0; i < prompt.size(); ++i) {
    const size_t block = i / kMooncakeBlockTokens;
    const uint64_t number = block < request.hash_ids.size()
                                ? scramble(options_.seed + static_cast<uint64_t>(request.hash_ids[block]),
                                           i % kMooncakeBlockTokens)
                                : scramble(own, i);
    prompt[i] = static_cast<int32_t>(number % 100000);
  }
  return prompt;
}

Status Simulation::add(size_t index) {
  const SimRequest& request = requests_[index];
  EngineRequest made;
  made.prompt_ids = prompt_of(request, index);
  made.sampling.seed = index;
  made.stop.max_tokens = request.output_tokens;
  made.tenant = request.tenant;
  made.sink = std::make_shared<Sink>(this, index);
  RETURN_IF_ERROR(annotate(core_->check(made), fmt::format("request {}", index)));
  by_sequence_.push_back(index);
  due_.push_back(index);
  const TenantId tenant = core_->tenant_of(made);
  const auto at = MonotonicTime{} + Duration(std::llround(request.arrival_s * 1e9));
  core_->add({by_sequence_.size(), std::move(made), std::min(at, clock_.now()), tenant});
  return OkStatus();
}

Status Simulation::run(double until_s) {
  while (now_s() < until_s) {
    while (!arriving_.empty() && arriving_.begin()->first.first <= now_s()) {
      const size_t index = arriving_.begin()->second;
      arriving_.erase(arriving_.begin());
      RETURN_IF_ERROR(add(index));
    }
    if (core_->has_work()) {
      core_->turn();
      RETURN_IF_ERROR(core_->health());
    } else if (!arriving_.empty()) {
      const double gap = arriving_.begin()->first.first - now_s();
      clock_.advance(Duration(std::llround(std::ceil(gap * 1e9))));
    } else {
      return OkStatus();
    }
    for (const size_t index : std::exchange(ended_, {})) {
      if (outcomes_[index].finish == FinishReason::kError)
        return internal_error("request {} ended with an error", index);
      if (!on_end) continue;
      if (std::optional<SimRequest> next = on_end(SimOutcome(outcomes_[index]))) submit(std::move(*next));
    }
  }
  return OkStatus();
}

void Simulation::note_step(const StepPlan& plan, const StepShape& shape, double seconds) {
  const EngineStats& stats = core_->stats();
  SimStep step{.begin_s = now_s(),
               .seconds = seconds,
               .shape = shape,
               .running = static_cast<int32_t>(stats.running),
               .waiting = static_cast<int32_t>(stats.waiting),
               .used_places = stats.used_places,
               .held_places = stats.held_places};
  step.charges.resize(tenants_.size());
  step.prompt_tokens.resize(tenants_.size());
  step.own_tokens.resize(tenants_.size());
  for (const size_t index : std::exchange(due_, {})) outcomes_[index].due_s = step.begin_s;
  for (const StepRow& row : plan.rows) note_row(row, &step);
  steps_.push_back(std::move(step));
}

/// What a row serves its tenant, counted here from the row alone: the engine's counters are not asked.
void Simulation::note_row(const StepRow& row, SimStep* step) {
  const size_t index = by_sequence_[row.sequence - 1];
  if (row.sampling != nullptr)
    CHECK_MSG(row.sampling->seed == index, "one choice each, numbered as they came");
  SimOutcome& one = outcomes_[index];
  if (one.scheduled_s < 0) one.scheduled_s = step->begin_s;
  const int32_t to = row.first_position + static_cast<int32_t>(row.tokens.size());
  const int32_t from = std::max(row.first_position, one.reached);
  const int32_t fresh = std::max(0, to - from);
  const bool prompt = row.form == TokenForm::kPrompt;
  const auto tenant = static_cast<size_t>(one.tenant);
  step->charges[tenant] += fresh * (prompt ? 1.0 : options_.engine.output_token_cost);
  step->prompt_tokens[tenant] += prompt ? fresh : 0;
  step->own_tokens[tenant] += fresh;
  one.reached = std::max(one.reached, to);
}

void Simulation::delivered(size_t index, const RequestOutput& output) {
  SimOutcome& one = outcomes_[index];
  const double now = now_s();
  one.delivered += static_cast<int32_t>(output.tokens.size());
  if (!output.tokens.empty()) {
    if (one.first_token_s < 0) one.first_token_s = now;
    if (last_token_[index] >= 0) gaps_.push_back(now - last_token_[index]);
    last_token_[index] = now;
  }
  if (output.finish == FinishReason::kNone) return;
  one.finish = output.finish;
  one.finish_s = now;
  ended_.push_back(index);
}

}  // namespace hadal
