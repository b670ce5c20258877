#include "server/handlers.h"

#include <nlohmann/json.hpp>

#include "server/reply.h"

namespace hadal {
namespace {

using openai::ApiError;

ApiError overloaded() {
  return {.status = 503, .message = "The server is overloaded; try again.", .type = "server_error", .param = "",
          .code = "overloaded"};
}

ApiError draining() {
  return {.status = 503, .message = "The server is shutting down; try again elsewhere.", .type = "server_error",
          .param = "", .code = "unavailable"};
}

/// Chat messages to prompt ids.
openai::OrApiError<Submission> prepare_chat(const Service& service, const openai::ChatCompletionRequest& request) {
  const LoadedEngine& loaded = service.loaded;
  if (loaded.tokenizer == nullptr) {
    return openai::invalid("messages", "chat needs a tokenizer, and this server runs with --skip-tokenizer-init; send token "
                                       "ids to /v1/completions");
  }
  if (loaded.chat_template == nullptr) {
    return openai::invalid("messages", "this checkpoint has no chat template; start the server with --chat-template FILE, "
                                       "or use /v1/completions");
  }
  ChatRequest chat;
  chat.messages = *request.messages;
  if (request.tools != nullptr) chat.tools = *request.tools;
  if (request.template_kwargs != nullptr) chat.kwargs = *request.template_kwargs;
  chat.add_generation_prompt = request.add_generation_prompt;
  chat.bos_token = loaded.tokenizer->bos_token().value_or("");
  chat.eos_token = loaded.tokenizer->eos_token().value_or("");
  auto prompt = loaded.chat_template->render(chat);
  if (!prompt.ok()) return openai::invalid("messages", std::string(message_of(prompt.status())));

  Submission submission;
  submission.endpoint = Endpoint::kChat;
  submission.fields = request.sampling;
  submission.prompts.push_back(loaded.tokenizer->encode(*prompt, AddSpecial::kNo));  // a template writes its own BOS
  submission.split_reasoning = loaded.tokenizer->token_to_id("</think>").has_value();
  submission.starts_in_reasoning = submission.split_reasoning && prompt_opens_thinking(*prompt);
  return submission;
}

openai::OrApiError<Submission> prepare_completion(const Service& service, const openai::CompletionRequest& request) {
  const LoadedEngine& loaded = service.loaded;
  if (loaded.tokenizer == nullptr && !request.text_prompts.empty()) {
    return openai::invalid("prompt", "text prompts need a tokenizer, and this server runs with --skip-tokenizer-init; send "
                                     "token ids");
  }
  Submission submission;
  submission.endpoint = Endpoint::kCompletions;
  submission.fields = request.sampling;
  submission.prompts = request.token_prompts;
  for (const std::string& text : request.text_prompts) {
    submission.prompts.push_back(loaded.tokenizer->encode(text, AddSpecial::kYes));
  }
  const int32_t vocab = loaded.config.vocab;
  for (const auto& prompt : submission.prompts) {
    if (prompt.empty()) return openai::invalid("prompt", "The prompt is empty.");
    for (const int32_t id : prompt) {
      if (id < 0 || id >= vocab) {
        return openai::invalid("prompt", fmt::format("Token id {} is out of vocabulary (0 to {}).", id, vocab - 1));
      }
    }
  }
  if (request.echo) {
    for (const auto& prompt : submission.prompts) {
      submission.echo.push_back(loaded.tokenizer ? loaded.tokenizer->decode(prompt, SkipSpecial::kYes) : "");
    }
  }
  return submission;
}

/// Parse on this thread, prepare and submit on a worker.
template <typename Parsed, typename Prepare>
void handle(const std::shared_ptr<const Service>& service, WorkPool& pool, openai::OrApiError<Parsed> parsed,
            const WriterPtr& writer, Prepare prepare) {
  if (auto* error = std::get_if<ApiError>(&parsed)) return respond_error(*writer, *error);
  if (service->draining.load()) return respond_error(*writer, draining());
  auto request = std::make_shared<Parsed>(std::move(std::get<Parsed>(parsed)));
  if (!service->serves(request->model)) return respond_error(*writer, openai::model_not_found(request->model));
  const bool queued = pool.submit([service, request, writer, prepare] {
    if (!writer->alive()) return;
    auto prepared = prepare(*service, *request);
    if (auto* error = std::get_if<ApiError>(&prepared)) return respond_error(*writer, *error);
    auto submission = std::move(std::get<Submission>(prepared));
    submission.model = request->model.empty() ? service->model_names.front() : request->model;
    submit_to_engine(service, std::move(submission), writer);
  });
  if (!queued) respond_error(*writer, overloaded());
}

}  // namespace

void respond_error(http::ResponseWriter& writer, const ApiError& error) {
  http::Headers headers{{"Content-Type", "application/json"}};
  if (error.status == 429 || error.status == 503) headers.add("Retry-After", "1");
  writer.respond(error.status, std::move(headers), openai::to_json(error));
}

void submit_to_engine(const std::shared_ptr<const Service>& service, Submission submission, WriterPtr writer) {
  std::vector<EngineParams> params;
  for (const auto& prompt : submission.prompts) {
    auto made = engine_params(*service, submission.fields, submission.endpoint, prompt.size());
    if (auto* error = std::get_if<ApiError>(&made)) return respond_error(*writer, *error);
    params.push_back(std::get<EngineParams>(std::move(made)));
    params.back().sampling.seed = params.front().sampling.seed;  // one seed is reported for the whole answer
  }
  const int32_t n = submission.fields.n;
  auto reply = std::make_shared<Reply>(
      ReplyOptions{.endpoint = submission.endpoint,
                   .head = {.id = make_response_id(submission.endpoint),
                            .created = static_cast<int64_t>(Clock::real().unix_seconds()),
                            .model = submission.model},
                   .fields = submission.fields,
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
    request.sampling.choice = static_cast<uint32_t>(index) * static_cast<uint32_t>(n);
    request.stop = params[index].stop;
    request.num_choices = n;
    request.detokenize = service->loaded.tokenizer != nullptr;
    request.skip_special_tokens = submission.fields.skip_special_tokens;
    request.priority = submission.fields.priority;
    request.sink = reply->sink(index);
    const auto id = service->loaded.engine->submit(std::move(request));
    if (!id.ok()) return reply->fail(openai::from_status(id.status()));
    reply->add_request(*id);
  }
}

void handle_chat_completion(const std::shared_ptr<const Service>& service, WorkPool& pool, http::Request request,
                            WriterPtr writer) {
  handle(service, pool, openai::parse_chat_completion(request.body), writer, prepare_chat);
}

void handle_completion(const std::shared_ptr<const Service>& service, WorkPool& pool, http::Request request,
                       WriterPtr writer) {
  handle(service, pool, openai::parse_completion(request.body), writer, prepare_completion);
}

}  // namespace hadal
