#include "engine/engine_core.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "engine/prompt_logprobs.h"

namespace hadal {

void EngineCore::reset_prefix_cache() { cache_.forget_prefixes(); }

void EngineCore::cancel(RequestId id) {
  const auto found = requests_.find(id);
  if (found == requests_.end()) return;
  end_request(*found->second, FinishReason::kAbort, OkStatus(), ErrorKind::kNone);
  reap();
}

void EngineCore::abort_all() {
  for (const auto& [id, request] : requests_)
    end_request(*request, FinishReason::kAbort, OkStatus(), ErrorKind::kNone);
  reap();
}

void EngineCore::die(const Status& why) {
  log_error("the engine stops: {}", message_of(why));
  health_ = why;
  for (const auto& [id, request] : requests_)
    end_request(*request, FinishReason::kError, why, ErrorKind::kEngineDead);
  in_flight_.clear();  // nothing is launched any more, nothing collected
  retire_collected();
  reap();
}

void EngineCore::refuse_late(const std::vector<SequenceId>& refused) {
  for (const SequenceId id : refused) {
    RequestState& request = *find(id).request;
    ++stats_.refused_deadline;
    end_request(
        request, FinishReason::kError,
        deadline_exceeded(
            "the first token cannot be there by the request's deadline; refused instead of served late"),
        ErrorKind::kDeadline);
  }
}

void EngineCore::note_scheduled(const CommittedStep& step) {
  last_preempted_ = step.preempted;
  for (const SequenceId id : step.preempted) {
    RequestState& request = *find(id).request;
    request.prompt_logits.clear();
    request.prompt_logprobs.clear();
    ++stats_.preemptions;
    ++tenant_stats(request.tenant).preemptions;
  }
  for (const CommittedStep::Part& part : step.parts) {
    RequestState& request = *find(part.sequence).request;
    stats_.prompt_tokens_recomputed += part.recomputed;
    if (request.scheduled) continue;
    request.scheduled = true;
    request.first_scheduled = clock_.now();
    const int32_t prompt = request.choices[0]->sequence.prompt_size();
    request.cached_tokens = std::min(part.hit_tokens, prompt);
    if (options_.prefix_caching && !request.request.wants_prompt_logits()) {
      stats_.prefix_queries += prompt;
      stats_.prefix_hits += request.cached_tokens;
    }
    stats_.prompt_tokens_cached += request.cached_tokens;
    unqueue(request);
  }
}

void EngineCore::unqueue(RequestState& request) {
  --queued_;
  --queued_by_tenant_[static_cast<size_t>(request.tenant)];
  queued_tokens_ -= request.choices[0]->sequence.prompt_size();
  drained_.add(1, clock_.now());
}

void EngineCore::take_result(const StepPlan& plan, const ExpectedResult& expected, RowResult& row) {
  const Place place = find(expected.sequence);
  if (place.choice == nullptr || place.choice->finished) return;
  if (expected.kind == ExpectedResult::Kind::kSample) {
    if (place.choice->sequence.pending == plan.id) place.choice->sequence.pending = 0;
    take_sample(place, row.tokens[0]);
    return;
  }
  RequestState& request = *place.request;
  if (request.request.prompt_logprobs >= 0) {
    append_prompt_logprobs(
        *place.choice->sequence.prompt, plan.rows[static_cast<size_t>(expected.row)].first_position,
        row.logits, runner_->info().vocab_size, request.request.prompt_logprobs, request.prompt_logprobs);
  }
  if (request.request.return_prompt_logits)
    request.prompt_logits.insert(request.prompt_logits.end(), row.logits.begin(), row.logits.end());
}

void EngineCore::take_sample(Place place, const SampledToken& sampled) {
  RequestState& request = *place.request;
  Choice& choice = *place.choice;
  Sequence& sequence = choice.sequence;
  if (sampled.token == kNoTokenDrawn) {
    end_request(request, FinishReason::kError,
                internal_error("no token can be drawn: a logit is not a number, or none is allowed"),
                ErrorKind::kStep);
    return;
  }
  sequence.append(sampled.token);
  cache_.append(sequence.chain, sampled.token);
  ++stats_.generation_tokens;
  ++tenant_stats(sequence.tenant).generation_tokens;
  observe_token(request, choice);

  const auto count = static_cast<int32_t>(sequence.output.size());
  const bool last =
      count >= request.request.stop.max_tokens || sequence.known() >= runner_->info().max_model_len;
  ChoiceText::Added added = choice.text->add(sampled.token, count, last);

  RequestOutput output = make_output(request, choice);
  output.text = std::move(added.text);
  output.resumed_text = std::exchange(request.resumed_text, {});
  output.finish = added.finish;
  output.stop_reason = std::move(added.stop_reason);
  output.stop_string = added.stop_string;
  output.tokens.push_back({sampled.token, sampled.logprob, sampled.rank, sampled.top});
  output.prompt_logits = std::exchange(request.prompt_logits, {});
  output.prompt_logprobs = std::exchange(request.prompt_logprobs, {});
  if (added.finish != FinishReason::kNone) {
    finish_choice(request, choice, std::move(output));
  } else if (!deliver(request, std::move(output))) {
    end_request(request, FinishReason::kAbort, OkStatus(), ErrorKind::kNone);
  }
}

void EngineCore::observe_token(RequestState& request, Choice& choice) {
  const MonotonicTime now = clock_.now();
  if (choice.last_token != MonotonicTime{}) {
    observer_->on_next_token(seconds_between(choice.last_token, now));
  } else if (request.first_token == MonotonicTime{}) {
    request.first_token = now;
    observer_->on_first_token(seconds_between(request.arrival, now));
    observer_->on_tenant_first_token(stats_.tenants[static_cast<size_t>(request.tenant)].name,
                                     seconds_between(request.arrival, now));
  }
  choice.last_token = now;
}

/// Gives back what the choice holds and delivers its last output; the request ends with its last choice.
void EngineCore::finish_choice(RequestState& request, Choice& choice, RequestOutput output) {
  CHECK(!choice.finished && output.finish != FinishReason::kNone);
  choice.finished = true;
  forget_row_in_flight(choice.sequence);
  cache_.release(choice.sequence.blocks);
  lists_.finish(&choice.sequence);
  request.last_finish = output.finish;
  deliver(request, std::move(output));
  if (--request.unfinished > 0) return;
  done_.push_back(request.id);
  if (!request.scheduled) unqueue(request);
  fair_.leave(request.tenant);

  const MonotonicTime now = clock_.now();
  EngineObserver::Finished finished{.reason = request.last_finish,
                                    .prompt_tokens = choice.sequence.prompt_size(),
                                    .cached_tokens = request.cached_tokens,
                                    .output_tokens = request.output_tokens(),
                                    .max_tokens = request.request.stop.max_tokens,
                                    .num_choices = request.request.num_choices,
                                    .tenant = stats_.tenants[static_cast<size_t>(request.tenant)].name};
  const bool started = request.first_token != MonotonicTime{};
  const MonotonicTime scheduled = request.scheduled ? request.first_scheduled : now;
  finished.queue_seconds = seconds_between(request.arrival, scheduled);
  finished.prefill_seconds = seconds_between(scheduled, started ? request.first_token : now);
  finished.decode_seconds = started ? seconds_between(request.first_token, now) : 0.0;
  finished.e2e_seconds = seconds_between(request.arrival, now);
  observer_->on_finished(finished);
}

void EngineCore::end_request(RequestState& request, FinishReason reason, const Status& error,
                             ErrorKind kind) {
  for (const auto& choice : request.choices) {
    if (choice->finished) continue;
    RequestOutput output = make_output(request, *choice);
    output.text = choice->text->end();
    output.resumed_text = std::exchange(request.resumed_text, {});
    output.finish = reason;
    output.error = error;
    output.error_kind = kind;
    finish_choice(request, *choice, std::move(output));
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
  stats_.waiting = lists_.waiting_count();
  stats_.blocks_used = accounts.held + accounts.in_flight;
  stats_.blocks_free = accounts.free;
  stats_.blocks_cached = accounts.cached;
  stats_.blocks_pinned = accounts.pinned;
  stats_.held_places = accounts.held_places;
  stats_.used_places = accounts.used_places;
  stats_.evictions = accounts.evictions;
  stats_.requests_per_second = drained_.per_second();
  for (TenantId tenant = 0; tenant < fair_.size(); ++tenant) {
    TenantStats& one = tenant_stats(tenant);
    one.waiting = static_cast<int64_t>(lists_.waiting(tenant).size());
    one.counter = fair_.counter(tenant);
    one.running = one.blocks_held = one.blocks_cached = 0;
    for (size_t g = 0; g < cache_.groups().size(); ++g) {
      const AccountCounts& counts = cache_.pool(g).accounts()[static_cast<size_t>(account_of_tenant(tenant))];
      one.blocks_held += counts.held;
      one.blocks_cached += counts.cached;
    }
  }
  for (const Sequence* sequence : lists_.running()) ++tenant_stats(sequence->tenant).running;
  return stats_;
}

}  // namespace hadal
