#include "server/reply.h"

#include "openai/api_error.h"

namespace hadal {
namespace {

const char* const kEventStream = "text/event-stream; charset=utf-8";
const char* const kJson = "application/json";

/// One prompt's way into the reply.
class PromptSink final : public OutputSink {
 public:
  using Deliver = std::function<void(RequestOutput)>;
  explicit PromptSink(Deliver deliver) : deliver_(std::move(deliver)) {}
  void deliver(RequestOutput output) override { deliver_(std::move(output)); }

 private:
  Deliver deliver_;
};

openai::ApiError error_of(const RequestOutput& output) {
  if (output.finish == FinishReason::kAbort) {
    return {.status = 503, .message = "The server is shutting down; try again.", .type = "server_error", .param = "",
            .code = "unavailable"};
  }
  return openai::from_status(output.error);
}

size_t count_characters(std::string_view text) {
  size_t count = 0;
  for (const char byte : text) count += (static_cast<unsigned char>(byte) & 0xC0) != 0x80 ? 1 : 0;
  return count;
}

}  // namespace

Reply::Reply(ReplyOptions options, std::shared_ptr<const Service> service, std::shared_ptr<http::ResponseWriter> writer)
    : options_(std::move(options)), service_(std::move(service)), writer_(std::move(writer)) {
  const auto count = options_.prompts.size() * static_cast<size_t>(options_.fields.n);
  MutexLock lock(mutex_);
  unfinished_ = count;
  choices_.resize(count);
  for (size_t index = 0; index < count; ++index) {
    Choice& choice = choices_[index];
    choice.whole.index = static_cast<int32_t>(index);
    choice.whole.with_logprobs = options_.fields.logprobs >= 0;
    choice.whole.with_token_ids = options_.fields.return_token_ids;
    if (options_.split_reasoning) {
      choice.reasoning = std::make_unique<ReasoningParser>(ReasoningKind::kAuto, options_.starts_in_reasoning);
    }
  }
}

std::shared_ptr<OutputSink> Reply::sink(size_t prompt) {
  return std::make_shared<PromptSink>(
      [self = shared_from_this(), prompt](RequestOutput output) { self->deliver(prompt, std::move(output)); });
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

void Reply::deliver(size_t prompt, RequestOutput output) {
  MutexLock lock(mutex_);
  if (over_) return;
  const size_t index = prompt * static_cast<size_t>(options_.fields.n) + static_cast<size_t>(output.choice);
  if (index < choices_.size() && !choices_[index].finished) deliver_locked(index, prompt, output);
}

void Reply::deliver_locked(size_t index, size_t prompt, RequestOutput& output) {
  if (output.finish == FinishReason::kError || output.finish == FinishReason::kAbort) return fail_locked(error_of(output));
  Choice& choice = choices_[index];
  if (index % static_cast<size_t>(options_.fields.n) == 0 && output.cached_tokens > 0 && !choice.begun) {
    cached_tokens_ += output.cached_tokens;
  }
  choice.output_tokens = output.output_tokens;
  openai::ChoiceDelta delta = make_delta(choice, index, output);
  if (!choice.begun && index / static_cast<size_t>(options_.fields.n) < options_.echo.size()) {
    delta.content = options_.echo[prompt] + delta.content;
  }
  if (options_.fields.stream) stream_delta(choice, prompt, delta);
  choice.begun = true;
  openai::ChoiceDelta& whole = choice.whole;
  if (!options_.fields.stream) {
    whole.content += delta.content;
    whole.reasoning += delta.reasoning;
    for (auto& entry : delta.logprobs) whole.logprobs.push_back(std::move(entry));
    whole.token_ids.insert(whole.token_ids.end(), delta.token_ids.begin(), delta.token_ids.end());
    whole.finish_reason = delta.finish_reason;
    whole.stop_reason = delta.stop_reason;
  }
  if (output.finish == FinishReason::kNone) return;
  choice.finished = true;
  if (--unfinished_ == 0) complete();
}

openai::ChoiceDelta Reply::make_delta(Choice& choice, size_t index, RequestOutput& output) {
  openai::ChoiceDelta delta;
  delta.index = static_cast<int32_t>(index);
  const bool last = output.finish != FinishReason::kNone;
  if (choice.reasoning) {
    auto split = choice.reasoning->push(output.text);
    delta.content = std::move(split.content);
    delta.reasoning = std::move(split.reasoning);
    if (last) {
      auto rest = choice.reasoning->flush();
      delta.content += rest.content;
      delta.reasoning += rest.reasoning;
    }
  } else {
    delta.content = std::move(output.text);
  }
  delta.with_logprobs = options_.fields.logprobs >= 0;
  if (delta.with_logprobs) add_logprobs(choice, output, delta);
  delta.with_token_ids = options_.fields.return_token_ids;
  if (delta.with_token_ids) {
    for (const OutputToken& token : output.tokens) delta.token_ids.push_back(token.id);
  }
  if (last) {
    delta.finish_reason = finish_reason_name(output.finish);
    if (!output.stop_reason.empty()) delta.stop_reason = output.stop_reason;
  }
  return delta;
}

void Reply::add_logprobs(Choice& choice, const RequestOutput& output, openai::ChoiceDelta& delta) {
  const Tokenizer* tokenizer = service_->loaded.tokenizer.get();
  const auto entry = [&](int32_t id, float logprob) {
    openai::LogprobEntry made;
    made.logprob = logprob;
    if (tokenizer != nullptr) {
      made.bytes = tokenizer->token_bytes(id);
      made.token = tokenizer->decode(std::span(&id, 1), SkipSpecial::kNo);
    } else {
      made.token = fmt::format("token_id:{}", id);
    }
    return made;
  };
  for (const OutputToken& token : output.tokens) {
    openai::TokenLogprobs made;
    made.chosen = entry(token.id, token.logprob);
    for (const TokenLogprob& other : token.top) made.top.push_back(entry(other.token, other.logprob));
    made.text_offset = choice.text_offset;
    choice.text_offset += static_cast<int32_t>(count_characters(made.chosen.token));
    delta.logprobs.push_back(std::move(made));
  }
}

void Reply::write_locked(std::string_view event) {
  if (!stream_started_) {
    stream_started_ = true;
    writer_->start_stream(200, {{"Content-Type", kEventStream},
                                {"Cache-Control", "no-cache"},
                                {"x-hadal-seed", fmt::format("{}", options_.seed)}});
  }
  if (!writer_->write(event)) {
    over_ = true;
    cancel_all();
  }
}

void Reply::stream_delta(Choice& choice, size_t prompt, const openai::ChoiceDelta& delta) {
  if (chat() && !choice.begun) {
    write_locked(openai::chat_first_chunk(options_.head, delta.index, usage_field(), prompt_ids(prompt)));
  }
  const bool news = !delta.content.empty() || !delta.reasoning.empty() || !delta.logprobs.empty() ||
                    !delta.token_ids.empty() || !delta.finish_reason.empty();
  if (!news) return;
  if (chat()) {
    write_locked(openai::chat_chunk(options_.head, delta, usage_field()));
  } else {
    write_locked(openai::completion_chunk(options_.head, delta, usage_field(), choice.begun ? nullptr : prompt_ids(prompt)));
  }
}

openai::Usage Reply::usage() const {
  openai::Usage usage;
  for (const auto& prompt : options_.prompts) usage.prompt_tokens += static_cast<int32_t>(prompt.size());
  for (const Choice& choice : choices_) usage.completion_tokens += choice.output_tokens;
  usage.cached_tokens = cached_tokens_;
  return usage;
}

void Reply::complete() {
  over_ = true;
  if (options_.fields.stream) {
    if (options_.fields.include_usage) {
      write_locked(chat() ? openai::chat_usage_chunk(options_.head, usage())
                          : openai::completion_usage_chunk(options_.head, usage()));
    }
    write_locked(openai::kDoneEvent);
    writer_->finish();
    return;
  }
  std::vector<openai::ChoiceDelta> choices;
  for (Choice& choice : choices_) choices.push_back(std::move(choice.whole));
  const std::vector<int32_t>* ids = options_.prompts.size() == 1 ? prompt_ids(0) : nullptr;
  writer_->respond(200, {{"Content-Type", kJson}, {"x-hadal-seed", fmt::format("{}", options_.seed)}},
                   chat() ? openai::chat_response(options_.head, choices, usage(), ids)
                          : openai::completion_response(options_.head, choices, usage(), ids));
}

void Reply::fail_locked(const openai::ApiError& error) {
  if (over_) return;
  if (stream_started_) {
    write_locked(openai::error_event(error));
    write_locked(openai::kDoneEvent);
    writer_->finish();
  } else {
    http::Headers headers{{"Content-Type", kJson}};
    if (error.status == 429 || error.status == 503) headers.add("Retry-After", "1");
    writer_->respond(error.status, std::move(headers), openai::to_json(error));
  }
  over_ = true;
  cancel_all();
}

void Reply::cancel_all() {
  for (const RequestId id : requests_) service_->loaded.engine->cancel(id);
}

}  // namespace hadal
