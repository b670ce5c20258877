#include "lab/sim_runner.h"

#include <cmath>

namespace hadal {

StepShape shape_of(const StepPlan& plan) {
  StepShape shape;
  for (const StepRow& row : plan.rows) {
    const auto tokens = static_cast<int32_t>(row.tokens.size());
    if (tokens == 0) continue;  // a further draw from another row's logits
    (row.form == TokenForm::kOutput ? shape.decode_rows : shape.prompt_tokens) += tokens;
    shape.kv_tokens += row.first_position + tokens;
  }
  return shape;
}

StatusOr<Runner::Ticket> SimRunner::launch(const StepPlan& plan) {
  StepResult result;
  result.id = plan.id;
  for (const StepRow& row : plan.rows) {
    if (row.logits == LogitsWanted::kNone) continue;
    if (row.logits != LogitsWanted::kSampleLast)
      return internal_error("the simulated runner has no logits to return");
    const uint64_t number = scramble(row.sampling->seed, row.output_position);
    const auto token = static_cast<int32_t>(number % static_cast<uint64_t>(info_.vocab_size));
    result.rows.push_back({.sequence = row.sequence, .tokens = {{.token = token, .rank = 1}}});
  }
  const StepShape shape = shape_of(plan);
  result.device_seconds = cost_.seconds(shape);
  on_step_(plan, shape, result.device_seconds);
  launched_.push_back({next_ticket_, std::move(result)});
  return next_ticket_++;
}

StatusOr<StepResult> SimRunner::collect(Ticket ticket) {
  if (launched_.empty() || launched_.front().ticket != ticket)
    return internal_error("ticket {} is not the oldest launched step", ticket);
  StepResult result = std::move(launched_.front().result);
  launched_.pop_front();
  clock_->advance(Duration(std::llround(result.device_seconds * 1e9)));
  return result;
}

}  // namespace hadal
