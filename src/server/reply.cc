#include "server/reply.h"

#include <algorithm>
#include <functional>

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

Reply::Reply(ReplyOptions options, std::shared_ptr<const Service> service,
             std::shared_ptr<http::ResponseWriter> writer)
    : options_(std::move(options)), service_(std::move(service)), writer_(std::move(writer)) {
  const auto count = options_.prompts.size() * static_cast<size_t>(options_.fields.n);
  MutexLock lock(mutex_);
  unfinished_ = count;
  choices_.resize(count);
  body_ = make_reply_writer(options_.endpoint, options_.meta, options_.fields, count);
  if (!options_.split_reasoning) return;
  for (Choice& choice : choices_) {
    choice.reasoning = std::make_unique<ReasoningParser>(service_->reasoning, options_.starts_in_reasoning);
  }
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
  over_ = true;
  cancel_all();
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
  const size_t index = prompt * static_cast<size_t>(options_.fields.n) + static_cast<size_t>(output.choice);
  if (index < choices_.size() && !choices_[index].finished) deliver_locked(index, prompt, output);
}

void Reply::deliver_locked(size_t index, size_t prompt, RequestOutput& output) {
  if (output.finish == FinishReason::kError || output.finish == FinishReason::kAbort)
    return fail_locked(error_of(output));
  Choice& choice = choices_[index];
  const bool first_choice = output.choice == 0;
  if (first_choice && !choice.begun) cached_tokens_ += output.cached_tokens;
  choice.output_tokens = output.output_tokens;
  const bool last = output.finish != FinishReason::kNone;
  std::string events = body_->piece(make_piece(choice, index, prompt, output));
  choice.begun = true;
  if (options_.fields.stream) send(std::move(events));
  if (!last || over_) return;
  choice.finished = true;
  if (--unfinished_ == 0) complete();
}

/// As vLLM: the stop string, or the id of a stop token that was asked for; nothing for the model's own end.
openai::StopReason Reply::stop_reason_of(const RequestOutput& output) const {
  if (output.stop_reason.empty()) return {};
  const auto& strings = options_.fields.stop;
  if (std::find(strings.begin(), strings.end(), output.stop_reason) != strings.end())
    return output.stop_reason;
  for (const int32_t id : options_.fields.stop_token_ids) {
    if (output.stop_reason == fmt::format("{}", id)) return id;
  }
  return {};
}

ReplyPiece Reply::make_piece(Choice& choice, size_t index, size_t prompt, RequestOutput& output) {
  const bool last = output.finish != FinishReason::kNone;
  ReplyPiece piece;
  piece.choice = static_cast<int32_t>(index);
  piece.first = !choice.begun;
  if (piece.first && prompt < options_.echo.size()) piece.content = options_.echo[prompt];
  if (choice.reasoning) {
    // a resumed request: what the first engine's text settled has been sent
    if (!output.resumed_text.empty()) (void)choice.reasoning->push(output.resumed_text);
    ReasoningDelta split = choice.reasoning->push(output.text);
    piece.content += split.content;
    piece.reasoning = std::move(split.reasoning);
    if (last) {
      const ReasoningDelta rest = choice.reasoning->flush();
      piece.content += rest.content;
      piece.reasoning += rest.reasoning;
    }
  } else {
    piece.content += output.text;
  }
  if (options_.logprobs >= 0) add_logprobs(output, piece);
  if (options_.fields.return_token_ids) {
    piece.token_ids.emplace();
    for (const OutputToken& token : output.tokens) piece.token_ids->push_back(token.id);
    if (piece.first) piece.prompt_ids = &options_.prompts[prompt];
  }
  if (last) {
    piece.finish_reason = finish_reason_name(output.finish);
    piece.stop_reason = stop_reason_of(output);
  }
  return piece;
}

void Reply::add_logprobs(const RequestOutput& output, ReplyPiece& piece) const {
  const Tokenizer* tokenizer = service_->loaded.tokenizer.get();
  const auto entry = [tokenizer](int32_t id, float logprob) {
    return openai::LogprobToken{
        .id = id,
        .bytes = tokenizer != nullptr ? tokenizer->token_bytes(id) : fmt::format("token_id:{}", id),
        .logprob = logprob};
  };
  piece.logprobs.emplace();
  for (const OutputToken& token : output.tokens) {
    openai::PositionLogprobs position;
    position.chosen = entry(token.id, token.logprob);
    for (const TokenLogprob& other : token.top) position.top.push_back(entry(other.token, other.logprob));
    piece.logprobs->push_back(std::move(position));
  }
}

void Reply::send(std::string events) {
  if (!stream_started_) {
    stream_started_ = true;
    writer_->start_stream(200, {{"Content-Type", "text/event-stream; charset=utf-8"},
                                {"Cache-Control", "no-cache"},
                                {"x-hadal-seed", fmt::format("{}", options_.seed)}});
  }
  if (!events.empty() && !writer_->write(events)) {
    over_ = true;
    cancel_all();
  }
}

openai::Usage Reply::usage() const {
  openai::Usage usage;
  for (const auto& prompt : options_.prompts) usage.prompt_tokens += static_cast<int64_t>(prompt.size());
  for (const Choice& choice : choices_) usage.completion_tokens += choice.output_tokens;
  // a resumed request may find some of its output in the cache, too
  usage.cached_tokens = std::min(cached_tokens_, usage.prompt_tokens);
  return usage;
}

void Reply::complete() {
  std::string end = body_->finish(usage());
  over_ = true;
  if (options_.fields.stream) {
    send(std::move(end));
    writer_->finish();
  } else {
    writer_->respond(
        200, {{"Content-Type", "application/json"}, {"x-hadal-seed", fmt::format("{}", options_.seed)}},
        std::move(end));
  }
}

void Reply::fail_locked(const openai::ApiError& error) {
  if (over_) return;
  if (stream_started_) {
    std::string events;
    openai::append_error_event(error, &events);
    openai::append_done(&events);
    send(std::move(events));
    writer_->finish();
  } else {
    respond_error(*writer_, error);
  }
  over_ = true;
  cancel_all();
}

void Reply::cancel_all() {
  for (const RequestId id : requests_) service_->loaded.engine->cancel(id);
}

}  // namespace hadal
