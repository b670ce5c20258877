// Steps on their way: launched into a queue, collected in order. What a step brought is handed to the
// requests in engine_core.cc.
#include <algorithm>
#include <exception>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "engine/engine_core.h"

namespace hadal {
namespace {

/// Runs a call into the runner; what it throws becomes a Status, and nothing is known of the runner's state
/// then.
template <typename Result, typename Call>
StatusOr<Result> guarded(const char* what, bool* threw, Call&& call) {
  try {
    return call();
  } catch (const std::exception& error) {
    *threw = true;
    return internal_error("{} threw: {}", what, error.what());
  } catch (...) {
    *threw = true;
    return internal_error("{} threw", what);
  }
}

Status check_row(const ExpectedResult& expected, const StepRow& asked, const RowResult& row, int32_t vocab) {
  if (row.sequence != expected.sequence) {
    return internal_error("the runner answered for sequence {} instead of {}", row.sequence,
                          expected.sequence);
  }
  if (expected.kind == ExpectedResult::Kind::kPromptLogits) {
    if (row.logits.size() != asked.tokens.size() * static_cast<size_t>(vocab)) {
      return internal_error("the runner returned {} logits for {} tokens", row.logits.size(),
                            asked.tokens.size());
    }
    return OkStatus();
  }
  if (row.tokens.size() != 1)
    return internal_error("the runner drew {} tokens instead of 1", row.tokens.size());
  const int32_t token = row.tokens[0].token;
  if (token != kNoTokenDrawn && (token < 0 || token >= vocab))
    return internal_error("the runner drew token {}, outside the vocabulary", token);
  return OkStatus();
}

}  // namespace

size_t EngineCore::depth() const { return runner_->info().steps_in_flight > 1 ? 2 : 1; }

void EngineCore::turn() {
  if (!has_work() || !health_.ok()) return;
  while (in_flight_.size() < depth() && launch_step()) {
  }
  if (health_.ok() && !in_flight_.empty()) collect_step();
  reap();
}

void EngineCore::drain() {
  while (health_.ok() && !in_flight_.empty()) collect_step();
  reap();
}

/// False if nothing was launched.
bool EngineCore::launch_step() {
  if (requests_.empty()) return false;  // what is in flight is nobody's
  cache_.set_time(std::chrono::duration<double>(clock_.now().time_since_epoch()).count());
  PlanState state = plan_state(lists_, fair_, tenant_limits_, cache_, budget_.max_sequences);
  state.tokens_per_second = stats_.tokens_per_second;
  const StepDecision decision = plan(state, budget_, clock_.now());
  // Blocks of sequences in flight do not come back before their step does: who is to be preempted is decided
  // when nothing is in flight.
  if (!in_flight_.empty() && !decision.preempted.empty()) return false;
  const StepId id = next_step_++;
  StatusOr<CommittedStep> step = commit(decision, id, lists_, fair_, cache_);
  if (step.ok()) refuse_late(step->refused);
  if (step.ok() && step->parts.empty() && !step->refused.empty()) return false;
  if (step.ok() && step->parts.empty() && !in_flight_.empty())
    return false;  // all wait for what is in flight
  if (!step.ok() || step->parts.empty()) {
    // The leader always gets tokens, so neither can happen; were it to, the engine must not spin or end.
    RequestState& oldest = *requests_.begin()->second;
    end_request(oldest, FinishReason::kError,
                step.ok() ? internal_error("request {} could not be scheduled", oldest.id) : step.status(),
                ErrorKind::kStep);
    return false;
  }
  note_scheduled(*step);
  const MonotonicTime launched = clock_.now();
  bool threw = false;
  const StatusOr<Runner::Ticket> ticket =
      guarded<Runner::Ticket>("launching a step", &threw, [&] { return runner_->launch(step->plan); });
  if (!ticket.ok()) {
    retire_collected();
    fail_step(*step, ticket.status(), threw ? Fatal::kYes : Fatal::kNo);
    return false;
  }
  in_flight_.push_back({*ticket, std::move(*step), launched});
  return true;
}

/// Steps up to the oldest in flight have been collected, or were never launched.
void EngineCore::retire_collected() {
  cache_.retire((in_flight_.empty() ? next_step_ : in_flight_.front().step.plan.id) - 1);
}

/// The choice has ended: a row in flight that goes on with a token drawn on the device is superfluous. Its
/// result will be dropped; nothing counts it.
void EngineCore::forget_row_in_flight(const Sequence& sequence) {
  for (InFlight& flight : in_flight_) {
    for (CommittedStep::Part& part : flight.step.parts) {
      if (part.sequence != sequence.id || !part.takes_pending) continue;
      fair_.charge(sequence.tenant, -std::exchange(part.charge, 0.0));
      flight.step.tokens -= std::exchange(part.tokens, 0);
    }
  }
}

void EngineCore::collect_step() {
  InFlight flight = std::move(in_flight_.front());
  in_flight_.pop_front();
  Fatal fatal = Fatal::kNo;
  StatusOr<StepResult> result = collect_checked(flight, &fatal);
  retire_collected();
  if (!result.ok()) {
    fail_step(flight.step, result.status(), fatal);
    return;
  }
  failed_steps_ = 0;
  ++stats_.steps;
  const double seconds = seconds_between(std::max(flight.launched, last_collect_), clock_.now());
  last_collect_ = clock_.now();
  measure(flight.step, seconds);
  observer_->on_step(flight.step.tokens, seconds);
  for (const CommittedStep::Part& part : flight.step.parts) advance(part);
  for (size_t i = 0; i < flight.step.results.size(); ++i)
    take_result(flight.step.plan, flight.step.results[i], result->rows[i]);
  if (!options_.cache_metrics) return;
  for (const BlockLifeEvent& event : cache_.take_events()) observer_->on_block_life(event);
}

/// Tokens a second at the engine's best: what a deadline is held against must not be pessimistic. A better
/// step counts at once; a worse one slowly, and only if the step was at least half full.
void EngineCore::measure(const CommittedStep& step, double seconds) {
  constexpr double kWorse = 0.05;
  if (seconds <= 0) return;
  const double rate = step.tokens / seconds;
  double& best = stats_.tokens_per_second;
  if (rate > best) {
    best = rate;
  } else if (2 * step.tokens >= budget_.max_tokens) {
    best += kWorse * (rate - best);
  }
}

StatusOr<StepResult> EngineCore::collect_checked(const InFlight& flight, Fatal* fatal) {
  bool threw = false;
  StatusOr<StepResult> collected =
      guarded<StepResult>("a step", &threw, [&] { return runner_->collect(flight.ticket); });
  *fatal = threw ? Fatal::kYes : Fatal::kNo;
  ASSIGN_OR_RETURN(StepResult result, std::move(collected));
  const std::vector<ExpectedResult>& expected = flight.step.results;
  if (result.rows.size() != expected.size()) {
    return internal_error("the runner returned {} rows instead of {}", result.rows.size(), expected.size());
  }
  for (size_t i = 0; i < expected.size(); ++i) {
    const StepRow& asked = flight.step.plan.rows[static_cast<size_t>(expected[i].row)];
    RETURN_IF_ERROR(check_row(expected[i], asked, result.rows[i], runner_->info().vocab_size));
  }
  return result;
}

/// The tokens of a part are in the cache now.
void EngineCore::advance(const CommittedStep::Part& part) {
  const Place place = find(part.sequence);
  if (place.choice == nullptr || place.choice->sequence.state != SequenceState::kRunning) return;
  Sequence& sequence = place.choice->sequence;
  sequence.computed += part.tokens;
  sequence.launched -= part.tokens;
  cache_.publish(sequence.blocks, sequence.chain, sequence.computed);
  cache_.trim(sequence.blocks, sequence.computed);
  if (sequence.computed < sequence.prompt_size() || place.request->prompt_done) return;
  place.request->prompt_done = true;
  stats_.prompt_tokens += sequence.prompt_size();
  tenant_stats(sequence.tenant).prompt_tokens += sequence.prompt_size();
  sequence.wants_prompt_logits = false;
  sequence.places = 1;
  for (Sequence* choice : sequence.choices) {
    choice->blocks = cache_.fork(sequence.blocks);
    choice->computed = choice->charged = sequence.computed;
    choice->has_run = true;
    lists_.run(choice);
  }
  sequence.choices.clear();
}

/// A runner that threw is in no known state, and a lost device stays lost: the engine dies with it. One that
/// answered with an error has left everything as it was, and is asked again for the others.
void EngineCore::fail_step(const CommittedStep& step, const Status& error, Fatal fatal) {
  const Status shown = annotate(error, "the step that computed this request failed");
  log_error("step {} failed: {}", step.plan.id, message_of(error));
  for (const CommittedStep::Part& part : step.parts) {
    const Place place = find(part.sequence);
    if (place.request != nullptr) end_request(*place.request, FinishReason::kError, shown, ErrorKind::kStep);
  }
  if (fatal == Fatal::kYes || error.code() == absl::StatusCode::kAborted) {
    die(annotate(error, "the engine cannot go on"));
  } else if (++failed_steps_ >= kMaxFailedSteps) {
    die(annotate(error, fmt::format("{} steps failed one after the other", failed_steps_)));
  }
}

}  // namespace hadal
