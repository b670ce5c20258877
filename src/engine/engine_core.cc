#include "engine/engine_core.h"

#include <exception>

#include "base/check.h"
#include "base/log.h"
#include "engine/limits.h"

namespace hadal {
namespace {

/// Runs a call into the runner; what it throws becomes a Status.
template <typename Result, typename Call>
StatusOr<Result> guarded(const char* what, Call&& call) {
  try {
    return call();
  } catch (const std::exception& error) {
    return internal_error("{} threw: {}", what, error.what());
  } catch (...) {
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
  if (token < 0 || token >= vocab)
    return internal_error("the runner drew token {}, outside the vocabulary", token);
  return OkStatus();
}

}  // namespace

StatusOr<std::unique_ptr<EngineCore>> EngineCore::create(const EngineOptions& options,
                                                         std::unique_ptr<Runner> runner,
                                                         TextStreamFactory make_text,
                                                         std::shared_ptr<EngineObserver> observer,
                                                         const Clock& clock) {
  if (runner == nullptr) return invalid_argument("the engine needs a runner");
  RETURN_IF_ERROR(check_options(options, runner->info()));
  ASSIGN_OR_RETURN(KvCache cache, KvCache::create(cache_specs(runner->info())));
  if (observer == nullptr) observer = std::make_shared<EngineObserver>();
  return std::unique_ptr<EngineCore>(new EngineCore(options, std::move(runner), std::move(cache),
                                                    std::move(make_text), std::move(observer), clock));
}

EngineCore::EngineCore(const EngineOptions& options, std::unique_ptr<Runner> runner, KvCache cache,
                       TextStreamFactory make_text, std::shared_ptr<EngineObserver> observer,
                       const Clock& clock)
    : options_(options),
      budget_(step_budget(options, runner->info())),
      runner_(std::move(runner)),
      cache_(std::move(cache)),
      make_text_(std::move(make_text)),
      observer_(std::move(observer)),
      clock_(clock) {
  stats_.blocks_total = cache_.accounts().total;
}

Status EngineCore::check(const EngineRequest& request) const {
  return check_request(request, runner_->info(), budget_, cache_, make_text_ != nullptr);
}

void EngineCore::add(Submission submission) {
  const RequestId id = submission.id;
  auto state = make_request_state(std::move(submission), next_sequence_, cache_.new_sequence(), make_text_);
  next_sequence_ += state->choices.size();
  for (const auto& choice : state->choices) places_[choice->sequence.id] = {state.get(), choice.get()};
  lists_.wait(&state->choices[0]->sequence);
  ++queued_;
  RequestState& request = *(requests_[id] = std::move(state));
  if (!health_.ok()) {
    end_request(request, FinishReason::kError, health_);
    reap();
  }
}

void EngineCore::cancel(RequestId id) {
  const auto found = requests_.find(id);
  if (found == requests_.end()) return;
  end_request(*found->second, FinishReason::kAbort, OkStatus());
  reap();
}

void EngineCore::abort_all() {
  for (const auto& [id, request] : requests_) end_request(*request, FinishReason::kAbort, OkStatus());
  reap();
}

void EngineCore::die(const Status& why) {
  log_error("the engine stops: {}", message_of(why));
  health_ = why;
  for (const auto& [id, request] : requests_) end_request(*request, FinishReason::kError, why);
  reap();
}

void EngineCore::turn() {
  if (!has_work() || !health_.ok()) return;
  launch_step();
  if (!in_flight_.empty()) collect_step();
  reap();
}

void EngineCore::launch_step() {
  const StepDecision decision =
      plan(plan_state(lists_, cache_, budget_.max_sequences), budget_, clock_.now());
  const StepId id = next_step_++;
  StatusOr<CommittedStep> step = commit(decision, id, lists_, cache_);
  if (!step.ok() || step->parts.empty()) {
    // The oldest always gets tokens, so neither can happen; were it to, the engine must not spin or end.
    RequestState& oldest = *requests_.begin()->second;
    end_request(oldest, FinishReason::kError,
                step.ok() ? internal_error("request {} could not be scheduled", oldest.id) : step.status());
    return;
  }
  note_scheduled(*step);
  const MonotonicTime launched = clock_.now();
  const StatusOr<Runner::Ticket> ticket =
      guarded<Runner::Ticket>("launching a step", [&] { return runner_->launch(step->plan); });
  if (!ticket.ok()) {
    cache_.retire(id);
    fail_step(*step, ticket.status());
    return;
  }
  in_flight_.push_back({*ticket, std::move(*step), launched});
}

void EngineCore::note_scheduled(const CommittedStep& step) {
  stats_.preemptions += static_cast<int64_t>(step.preempted.size());
  for (const SequenceId id : step.preempted) find(id).request->prompt_logits.clear();
  for (const CommittedStep::Part& part : step.parts) {
    RequestState& request = *find(part.sequence).request;
    if (request.scheduled) continue;
    request.scheduled = true;
    request.first_scheduled = clock_.now();
    --queued_;
  }
}

void EngineCore::collect_step() {
  InFlight flight = std::move(in_flight_.front());
  in_flight_.pop_front();
  StatusOr<StepResult> result = collect_checked(flight);
  cache_.retire(flight.step.plan.id);
  if (!result.ok()) {
    fail_step(flight.step, result.status());
    return;
  }
  failed_steps_ = 0;
  ++stats_.steps;
  observer_->on_step(flight.step.tokens, seconds_between(flight.launched, clock_.now()));
  for (const CommittedStep::Part& part : flight.step.parts) advance(part);
  for (size_t i = 0; i < flight.step.results.size(); ++i)
    take_result(flight.step.results[i], result->rows[i]);
}

StatusOr<StepResult> EngineCore::collect_checked(const InFlight& flight) {
  ASSIGN_OR_RETURN(StepResult result,
                   guarded<StepResult>("a step", [&] { return runner_->collect(flight.ticket); }));
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
  cache_.trim(sequence.blocks, sequence.computed);
  if (!part.finishes_prompt || place.request->prompt_done) return;
  place.request->prompt_done = true;
  stats_.prompt_tokens += sequence.prompt_size();
  sequence.wants_prompt_logits = false;
  sequence.places = 1;
  for (Sequence* choice : sequence.choices) {
    choice->blocks = cache_.fork(sequence.blocks);
    choice->computed = sequence.computed;
    lists_.run(choice);
  }
  sequence.choices.clear();
}

void EngineCore::take_result(const ExpectedResult& expected, RowResult& row) {
  const Place place = find(expected.sequence);
  if (place.choice == nullptr || place.choice->finished) return;
  if (expected.kind == ExpectedResult::Kind::kSample) {
    take_sample(place, row.tokens[0]);
  } else {
    std::vector<float>& all = place.request->prompt_logits;
    all.insert(all.end(), row.logits.begin(), row.logits.end());
  }
}

void EngineCore::take_sample(Place place, const SampledToken& sampled) {
  RequestState& request = *place.request;
  Choice& choice = *place.choice;
  Sequence& sequence = choice.sequence;
  sequence.output.push_back(sampled.token);
  ++stats_.generation_tokens;
  observe_token(request, choice);

  const auto count = static_cast<int32_t>(sequence.output.size());
  const bool last =
      count >= request.request.stop.max_tokens || sequence.known() >= runner_->info().max_model_len;
  ChoiceText::Added added = choice.text->add(sampled.token, count, last);

  RequestOutput output = make_output(request, choice);
  output.text = std::move(added.text);
  output.finish = added.finish;
  output.stop_reason = std::move(added.stop_reason);
  output.tokens.push_back({sampled.token, sampled.logprob, sampled.rank, sampled.top});
  output.prompt_logits = std::exchange(request.prompt_logits, {});
  if (added.finish != FinishReason::kNone) {
    finish_choice(request, choice, std::move(output));
  } else if (!deliver(request, std::move(output))) {
    end_request(request, FinishReason::kAbort, OkStatus());
  }
}

void EngineCore::observe_token(RequestState& request, Choice& choice) {
  const MonotonicTime now = clock_.now();
  if (choice.sequence.output.size() > 1) {
    observer_->on_next_token(seconds_between(choice.last_token, now));
  } else if (request.first_token == MonotonicTime{}) {
    request.first_token = now;
    observer_->on_first_token(seconds_between(request.arrival, now));
  }
  choice.last_token = now;
}

/// Gives back what the choice holds and delivers its last output; the request ends with its last choice.
void EngineCore::finish_choice(RequestState& request, Choice& choice, RequestOutput output) {
  CHECK(!choice.finished && output.finish != FinishReason::kNone);
  choice.finished = true;
  cache_.release(choice.sequence.blocks);
  lists_.finish(&choice.sequence);
  request.last_finish = output.finish;
  deliver(request, std::move(output));
  if (--request.unfinished > 0) return;
  done_.push_back(request.id);
  if (!request.scheduled) --queued_;

  const MonotonicTime now = clock_.now();
  EngineObserver::Finished finished{.reason = request.last_finish,
                                    .prompt_tokens = choice.sequence.prompt_size(),
                                    .output_tokens = request.output_tokens(),
                                    .max_tokens = request.request.stop.max_tokens,
                                    .num_choices = request.request.num_choices};
  const bool started = request.first_token != MonotonicTime{};
  const MonotonicTime scheduled = request.scheduled ? request.first_scheduled : now;
  finished.queue_seconds = seconds_between(request.arrival, scheduled);
  finished.prefill_seconds = seconds_between(scheduled, started ? request.first_token : now);
  finished.decode_seconds = started ? seconds_between(request.first_token, now) : 0.0;
  finished.e2e_seconds = seconds_between(request.arrival, now);
  observer_->on_finished(finished);
}

void EngineCore::end_request(RequestState& request, FinishReason reason, const Status& error) {
  for (const auto& choice : request.choices) {
    if (choice->finished) continue;
    RequestOutput output = make_output(request, *choice);
    output.text = choice->text->end();
    output.finish = reason;
    output.error = error;
    finish_choice(request, *choice, std::move(output));
  }
}

void EngineCore::fail_step(const CommittedStep& step, const Status& error) {
  const Status shown = annotate(error, "the step that computed this request failed");
  log_error("step {} failed: {}", step.plan.id, message_of(error));
  for (const CommittedStep::Part& part : step.parts) {
    const Place place = find(part.sequence);
    if (place.request != nullptr) end_request(*place.request, FinishReason::kError, shown);
  }
  if (++failed_steps_ >= kMaxFailedSteps) {
    die(annotate(error, fmt::format("{} steps failed one after the other", failed_steps_)));
  }
}

void EngineCore::reap() {
  for (const RequestId id : std::exchange(done_, {})) {
    const auto found = requests_.find(id);
    for (const auto& choice : found->second->choices) places_.erase(choice->sequence.id);
    requests_.erase(found);
  }
}

EngineCore::Place EngineCore::find(SequenceId id) const {
  const auto found = places_.find(id);
  return found == places_.end() ? Place{} : found->second;
}

const EngineStats& EngineCore::stats() {
  const CacheAccounts accounts = cache_.accounts();
  stats_.running = static_cast<int64_t>(lists_.running().size());
  stats_.waiting = static_cast<int64_t>(lists_.waiting().size());
  stats_.blocks_used = accounts.held + accounts.in_flight;
  return stats_;
}

}  // namespace hadal
