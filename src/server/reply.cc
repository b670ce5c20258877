#include "server/reply.h"

#include <algorithm>
#include <functional>

#include "http/sse.h"
#include "server/request_log.h"

namespace hadal {
namespace {

/// One prompt's way into the reply.
class PromptSink final : public OutputSink {
 public:
  using Deliver = std::function<void(RequestOutput)>;
  explicit PromptSink(Deliver deliver) : deliver_(std::move(deliver)) {}
  void deliver(RequestOutput output) override { deliver_(std::move(output)); }

 private:
  Deliver deliver_;
};

}  // namespace

Reply::Reply(Submission submission, const openai::ResponseMeta& meta, uint64_t seed,
             std::shared_ptr<const Service> service, std::shared_ptr<http::ResponseWriter> writer)
    : asked_(std::move(submission)),
      seed_(seed),
      service_(std::move(service)),
      writer_(std::move(writer)),
      id_(meta.id) {
  const auto count = asked_.prompts.size() * static_cast<size_t>(asked_.fields.n);
  MutexLock lock(mutex_);
  unfinished_ = count;
  choices_.resize(count);
  prompt_tokens_.resize(asked_.prompts.size());
  body_ = asked_.make_writer(meta, count);
  if (asked_.answer.plain()) return;
  for (Choice& choice : choices_) choice.parser = std::make_unique<AnswerParser>(asked_.answer);
}

std::shared_ptr<OutputSink> Reply::sink(size_t prompt) {
  return std::make_shared<PromptSink>([self = shared_from_this(), prompt](RequestOutput output) {
    self->deliver(prompt, std::move(output));
  });
}

void Reply::add_request(RequestId id) {
  MutexLock lock(mutex_);
  requests_.push_back(id);
  if (over_) service_->loaded.engine->cancel(id);
}

void Reply::fail(const openai::ApiError& error) {
  MutexLock lock(mutex_);
  fail_locked(error);
}

void Reply::client_gone() {
  MutexLock lock(mutex_);
  end("client_gone");
  cancel_all();
}

std::optional<MonotonicTime> Reply::keep_open(MonotonicTime now, Duration interval) {
  MutexLock lock(mutex_);
  if (over_ || !writer_->alive()) return std::nullopt;
  if (now < last_sent_ + interval) return last_sent_ + interval;
  if (writer_->unsent_bytes() == 0) send(body_->ping());
  return now + interval;
}

/// What ended the request before its answer was complete. 503 where another try may help at once, 500 where
/// the engine failed.
openai::ApiError Reply::error_of(const RequestOutput& output) const {
  if (output.finish == FinishReason::kAbort) return refuse(*service_, Refusal::kDraining);
  openai::ApiError error;
  switch (output.error_kind) {
    case ErrorKind::kNone:
      return openai::error_from_status(output.error);
    case ErrorKind::kDeadline:
      return refuse(*service_, Refusal::kDeadline);
    case ErrorKind::kStep:
      error = openai::error_for_status(
          500, "The engine could not compute a step of this request; the server's log says why.");
      error.code = "step_failed";
      return error;
    case ErrorKind::kEngineDead:
      error = openai::error_for_status(
          500, "The engine failed while this request ran, and the server is going down.");
      error.code = "engine_dead";
      return error;
  }
  return error;
}

void Reply::deliver(size_t prompt, RequestOutput output) {
  MutexLock lock(mutex_);
  if (over_) return;
  const size_t index = prompt * static_cast<size_t>(asked_.fields.n) + static_cast<size_t>(output.choice);
  if (index < choices_.size() && !choices_[index].finished) deliver_locked(index, prompt, output);
}

void Reply::deliver_locked(size_t index, size_t prompt, RequestOutput& output) {
  if (output.finish == FinishReason::kError || output.finish == FinishReason::kAbort)
    return fail_locked(error_of(output));
  Choice& choice = choices_[index];
  const bool first_choice = output.choice == 0;
  // they come with the first output of all, and are each choice's
  if (!output.prompt_logprobs.empty()) prompt_tokens_[prompt] = std::move(output.prompt_logprobs);
  if (first_choice && !choice.begun) cached_tokens_ += output.cached_tokens;
  choice.output_tokens = asked_.prompt_only ? 0 : output.output_tokens;
  const bool last = output.finish != FinishReason::kNone;
  const size_t tokens = output.tokens.size();
  ReplyPiece piece = make_piece(choice, index, prompt, output);
  if (last) choice.finish_reason = piece.finish_reason;
  std::string events = write_piece(choice, std::move(piece), tokens);
  choice.begun = true;
  if (asked_.fields.stream) send(std::move(events));
  if (!last || over_) return;
  choice.finished = true;
  if (--unfinished_ == 0) complete();
}

std::string Reply::write_piece(Choice& choice, ReplyPiece piece, size_t tokens) {
  const int32_t interval = std::max(service_->stream_interval, asked_.fields.stream_interval);
  if (!asked_.fields.stream || interval <= 1) return body_->piece(std::move(piece));
  std::string events;
  for (ReplyPiece& ready : choice.gather.add(std::move(piece), tokens, interval))
    events += body_->piece(std::move(ready));
  return events;
}

/// As vLLM: the stop string, or the id of a stop token that was asked for; nothing for the model's own end.
openai::StopReason Reply::stop_reason_of(const RequestOutput& output) const {
  if (output.stop_reason.empty()) return {};
  if (output.stop_string) return output.stop_reason;
  for (const int32_t id : asked_.fields.stop_token_ids) {
    if (output.stop_reason == fmt::format("{}", id)) return id;
  }
  return {};
}

ReplyPiece Reply::make_piece(Choice& choice, size_t index, size_t prompt, RequestOutput& output) {
  ReplyPiece piece;
  piece.choice = static_cast<int32_t>(index);
  piece.first = !choice.begun;
  if (piece.first) begin_piece(prompt, piece);
  if (!asked_.prompt_only) {
    add_text(choice, output, piece);
    if (asked_.logprobs >= 0) add_logprobs(output, piece);
  }
  if (asked_.fields.return_token_ids) {
    piece.token_ids.emplace();
    if (!asked_.prompt_only) {
      for (const OutputToken& token : output.tokens) piece.token_ids->push_back(token.id);
    }
    if (piece.first) piece.prompt_ids = &asked_.prompts[prompt];
  }
  if (output.finish != FinishReason::kNone) {
    piece.finish_reason = asked_.prompt_only ? "length" : finish_reason_name(output.finish);
    if (choice.called && output.finish == FinishReason::kStop) piece.finish_reason = "tool_calls";
    piece.stop_reason = stop_reason_of(output);
  }
  if (asked_.fields.continuous_usage_stats) piece.usage = usage();
  return piece;
}

/// What only a choice's first piece has: the echoed prompt, its log-probabilities.
void Reply::begin_piece(size_t prompt, ReplyPiece& piece) {
  if (prompt < asked_.echo.size()) piece.content = asked_.echo[prompt];
  if (asked_.prompt_logprobs == PromptLogprobs::kNone) return;
  std::vector<openai::PositionLogprobs> positions = prompt_positions(prompt);
  if (asked_.prompt_logprobs == PromptLogprobs::kField) {
    piece.prompt_logprobs = std::move(positions);
  } else {
    piece.echoed_tokens = positions.size();
    piece.logprobs = std::move(positions);
  }
}

void Reply::add_text(Choice& choice, const RequestOutput& output, ReplyPiece& piece) const {
  if (choice.parser == nullptr) {
    piece.content += output.text;
    return;
  }
  // a resumed request: what the first engine's text settled has been sent
  if (!output.resumed_text.empty()) choice.called |= !choice.parser->push(output.resumed_text).calls.empty();
  if (choice.parser->in_reasoning()) choice.reasoning_tokens += static_cast<int32_t>(output.tokens.size());
  add_delta(choice, choice.parser->push(output.text), piece);
  if (output.finish != FinishReason::kNone) add_delta(choice, choice.parser->flush(), piece);
}

void Reply::add_delta(Choice& choice, AnswerDelta delta, ReplyPiece& piece) const {
  piece.content += delta.content;
  if (asked_.include_reasoning) piece.reasoning += delta.reasoning;
  for (ToolCallPiece& call : delta.calls) {
    choice.called = true;
    if (asked_.one_call && call.index > 0) continue;
    ReplyPiece::Call one{
        .index = call.index, .id = {}, .name = std::move(call.name), .arguments = std::move(call.arguments)};
    if (!one.name.empty()) one.id = openai::make_id("call_");
    piece.calls.push_back(std::move(one));
  }
}

void Reply::send(std::string events) {
  if (!stream_started_) {
    stream_started_ = true;
    http::Headers headers = http::sse_headers();
    headers.add("x-hadal-seed", fmt::format("{}", seed_));
    writer_->start_stream(200, std::move(headers));
  }
  if (events.empty()) return;
  last_sent_ = Clock::real().now();
  if (writer_->write(events)) return;
  end("client_gone");
  cancel_all();
}

/// Once: later reasons do not count.
void Reply::end(std::string_view reason) {
  if (over_) return;
  over_ = true;
  if (service_->log_requests)
    log_request_end(id_, reason, usage(), seconds_between(began_, Clock::real().now()));
}

openai::Usage Reply::usage() const {
  openai::Usage usage;
  for (const auto& prompt : asked_.prompts) usage.prompt_tokens += static_cast<int64_t>(prompt.size());
  for (const Choice& choice : choices_) {
    usage.completion_tokens += choice.output_tokens;
    if (choice.parser != nullptr)
      usage.reasoning_tokens = usage.reasoning_tokens.value_or(0) + choice.reasoning_tokens;
  }
  // a resumed request may find some of its output in the cache, too
  usage.cached_tokens = std::min(cached_tokens_, usage.prompt_tokens);
  return usage;
}

void Reply::complete() {
  std::string last = body_->finish(usage());
  std::string reasons;
  for (const Choice& choice : choices_) {
    if (reasons.find(choice.finish_reason) == std::string::npos)
      reasons += (reasons.empty() ? "" : ",") + choice.finish_reason;
  }
  if (asked_.fields.stream) {
    send(std::move(last));
    end(reasons);
    writer_->finish();
  } else {
    end(reasons);
    writer_->respond(200, {{"Content-Type", "application/json"}, {"x-hadal-seed", fmt::format("{}", seed_)}},
                     std::move(last));
  }
}

void Reply::fail_locked(const openai::ApiError& error) {
  if (over_) return;
  if (stream_started_) {
    std::string events;
    for (Choice& choice : choices_) {
      if (auto held = choice.gather.take()) events += body_->piece(std::move(*held));
    }
    send(events + body_->error(error));
    end(error.code.value_or("error"));
    writer_->finish();
  } else {
    end(error.code.value_or("error"));
    respond_error(*writer_, error, asked_.error_form);
  }
  cancel_all();
}

void Reply::cancel_all() {
  for (const RequestId id : requests_) service_->loaded.engine->cancel(id);
}

}  // namespace hadal
