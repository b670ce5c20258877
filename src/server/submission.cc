#include "server/handlers.h"

#include <nlohmann/json.hpp>

#include "server/reply.h"

namespace hadal {
namespace {

using openai::ApiError;

/// Chat messages to prompt ids.
openai::Result<Submission> prepare_chat(const Service& service,
                                        const openai::ChatCompletionRequest& request) {
  const LoadedEngine& loaded = service.loaded;
  if (loaded.tokenizer == nullptr) {
    return openai::invalid_request(
        "chat needs a tokenizer, and this server runs with --skip-tokenizer-init; send token ids "
        "to /v1/completions",
        "messages");
  }
  if (loaded.chat_template == nullptr) {
    return openai::invalid_request(
        "this checkpoint has no chat template; start the server with --chat-template FILE, or "
        "use /v1/completions",
        "messages");
  }
  ChatRequest chat;
  chat.messages = *request.messages;
  // templates older than OpenAI's name for the role would drop the message
  const std::string& source = loaded.chat_template->source();  // empty for an encoder, which knows the role
  if (!source.empty() && source.find("developer") == std::string::npos) {
    for (auto& message : chat.messages) {
      if (message["role"] == "developer") message["role"] = "system";
    }
  }
  if (request.tools != nullptr && !request.tool_choice_none) chat.tools = *request.tools;
  if (request.chat_template_kwargs != nullptr) chat.kwargs = *request.chat_template_kwargs;
  chat.add_generation_prompt = request.add_generation_prompt;
  chat.bos_token = loaded.tokenizer->bos_token().value_or("");
  chat.eos_token = loaded.tokenizer->eos_token().value_or("");
  auto prompt = loaded.chat_template->render(chat);
  if (!prompt.ok()) return openai::invalid_request(std::string(message_of(prompt.status())), "messages");

  Submission submission;
  submission.endpoint = Endpoint::kChat;
  submission.fields = request;
  submission.logprobs = request.top_logprobs;
  // a template writes its own BOS
  const AddSpecial special = request.add_special_tokens.value_or(false) ? AddSpecial::kYes : AddSpecial::kNo;
  submission.prompts.push_back(loaded.tokenizer->encode(*prompt, special));
  submission.split_reasoning = service.reasoning != ReasoningKind::kNone;
  submission.starts_in_reasoning = submission.split_reasoning && prompt_opens_thinking(*prompt);
  return submission;
}

openai::Result<Submission> prepare_completion(const Service& service,
                                              const openai::CompletionRequest& request) {
  const LoadedEngine& loaded = service.loaded;
  Submission submission;
  submission.endpoint = Endpoint::kCompletions;
  submission.fields = request;
  submission.logprobs = request.logprobs;
  if (request.echo && (request.max_tokens == 0 || request.logprobs >= 0)) {
    return openai::invalid_request("echo together with max_tokens 0 or logprobs is not supported yet",
                                   "echo");
  }
  const AddSpecial special = request.add_special_tokens.value_or(true) ? AddSpecial::kYes : AddSpecial::kNo;
  for (const openai::Prompt& prompt : request.prompts) {
    if (!prompt.is_ids && loaded.tokenizer == nullptr) {
      return openai::invalid_request(
          "text prompts need a tokenizer, and this server runs with --skip-tokenizer-init; send "
          "token ids",
          "prompt");
    }
    submission.prompts.push_back(prompt.is_ids ? prompt.ids : loaded.tokenizer->encode(prompt.text, special));
    const auto& ids = submission.prompts.back();
    if (ids.empty()) return openai::invalid_request("The prompt is empty.", "prompt");
    for (const int32_t id : ids) {
      if (id < 0 || id >= loaded.config.vocab) {
        return openai::invalid_request(
            fmt::format("Token id {} is out of vocabulary (0 to {}).", id, loaded.config.vocab - 1),
            "prompt");
      }
    }
    if (request.echo) {
      submission.echo.push_back(loaded.tokenizer ? loaded.tokenizer->decode(ids, SkipSpecial::kYes) : "");
    }
  }
  return submission;
}

/// Parse on this thread, prepare and submit on a worker.
template <typename Parsed, typename Prepare>
void handle(const std::shared_ptr<const Service>& service, WorkPool& pool, const http::Request& http,
            openai::Result<Parsed> parsed, const WriterPtr& writer, Prepare prepare) {
  if (!parsed.ok()) return respond_error(*writer, parsed.error());
  auto origin = read_origin(http, service->trust);
  if (!origin.ok()) return respond_error(*writer, origin.error());
  if (origin->tenant_ignored) service->metrics->on_untrusted_tenant();
  if (service->draining.load()) return respond_error(*writer, refuse(*service, Refusal::kDraining));
  auto request = std::make_shared<Parsed>(std::move(*parsed));
  if (!service->serves(request->model))
    return respond_error(*writer, openai::model_not_found(request->model));
  const bool queued = pool.submit([service, request, writer, prepare, origin = std::move(*origin)] {
    if (!writer->alive()) return;
    auto prepared = prepare(*service, *request);
    if (!prepared.ok()) return respond_error(*writer, prepared.error());
    Submission submission = std::move(*prepared);
    submission.origin = origin;
    submission.model = request->model.empty() ? service->model_names.front() : request->model;
    submit_to_engine(service, std::move(submission), writer);
  });
  if (!queued) respond_error(*writer, refuse(*service, Refusal::kBusy));
}

}  // namespace

void respond_error(http::ResponseWriter& writer, const ApiError& error) {
  http::Headers headers{{"Content-Type", "application/json"}};
  if (error.status == 429 || error.status == 503) {
    headers.add("Retry-After", fmt::format("{}", error.retry_after_seconds.value_or(1)));
  }
  writer.respond(error.status, std::move(headers), error.body());
}

void submit_to_engine(const std::shared_ptr<const Service>& service, Submission submission,
                      WriterPtr writer) {
  std::vector<EngineParams> params;
  for (const auto& prompt : submission.prompts) {
    auto made =
        engine_params(*service, submission.fields, submission.logprobs, submission.endpoint, prompt.size());
    if (!made.ok()) return respond_error(*writer, made.error());
    params.push_back(std::move(*made));
    params.back().sampling.seed = params.front().sampling.seed;  // one seed is reported for the whole answer
  }
  const int32_t n = submission.fields.n;
  auto reply = std::make_shared<Reply>(
      ReplyOptions{
          .endpoint = submission.endpoint,
          .meta = {.id = openai::make_id(submission.endpoint == Endpoint::kChat ? "chatcmpl-" : "cmpl-"),
                   .created = static_cast<int64_t>(Clock::real().unix_seconds()),
                   .model = submission.model},
          .fields = submission.fields,
          .logprobs = submission.logprobs,
          .seed = params.front().sampling.seed,
          .split_reasoning = submission.split_reasoning,
          .starts_in_reasoning = submission.starts_in_reasoning,
          .prompts = submission.prompts,
          .echo = submission.echo},
      service, writer);
  writer->on_disconnect([weak = std::weak_ptr<Reply>(reply)] {
    if (auto alive = weak.lock()) alive->client_gone();
  });
  for (size_t index = 0; index < submission.prompts.size(); ++index) {
    EngineRequest request;
    request.prompt_ids = std::move(submission.prompts[index]);
    request.sampling = params[index].sampling;
    // the choices of one answer must differ although they share the seed
    if (!submission.fields.resume)
      request.sampling.choice = static_cast<uint32_t>(index) * static_cast<uint32_t>(n);
    request.stop = params[index].stop;
    request.num_choices = n;
    request.detokenize = service->loaded.tokenizer != nullptr;
    request.skip_special_tokens = submission.fields.skip_special_tokens;
    request.priority = submission.fields.priority;
    request.tenant = submission.origin.tenant;
    request.cache_salt = submission.fields.cache_salt;
    request.deadline = submission.origin.deadline;
    if (submission.fields.resume) request.resume_ids = submission.fields.resume->output_token_ids;
    request.sink = reply->sink(index);
    const auto id = service->loaded.engine->submit(std::move(request));
    if (!id.ok()) return reply->fail(submit_error(*service, id.status()));
    reply->add_request(*id);
  }
}

void handle_chat_completion(const std::shared_ptr<const Service>& service, WorkPool& pool,
                            http::Request request, WriterPtr writer) {
  handle(service, pool, request, openai::parse_chat_completion(request.body), writer, prepare_chat);
}

void handle_completion(const std::shared_ptr<const Service>& service, WorkPool& pool, http::Request request,
                       WriterPtr writer) {
  handle(service, pool, request, openai::parse_completion(request.body), writer, prepare_completion);
}

void handle_reset_prefix_cache(const Service& service, const http::Request& request,
                               http::ResponseWriter& writer) {
  if (!service.trust.trusts(request)) {
    return respond_error(
        writer, openai::error_for_status(403,
                                         "Only a trusted hop may reset the prefix cache: a Unix socket, or "
                                         "x-hadal-hop-secret."));
  }
  service.loaded.engine->reset_prefix_cache();
  writer.respond(200, {{"Content-Type", "text/plain"}}, "");
}

}  // namespace hadal
