#include "server/service.h"

#include <algorithm>
#include <random>

#include "base/mutex.h"
#include "openai/converted.h"

namespace hadal {
namespace {

constexpr int32_t kCompletionsDefaultMaxTokens = 16;  // OpenAI's and vLLM's

/// How many tokens may be made: what was asked for, else the endpoint's default, never past the context.
openai::Result<int32_t> choose_max_tokens(const Service& service, const openai::CommonRequest& fields,
                                          DefaultLength length, size_t prompt_tokens) {
  const int64_t context = service.loaded.max_model_len;
  const auto prompt = static_cast<int64_t>(prompt_tokens);
  const int64_t room = context - prompt;
  if (fields.max_tokens && *fields.max_tokens <= room) return std::max(*fields.max_tokens, 1);
  if (fields.max_tokens || room < 1)
    return openai::context_length_exceeded(context, prompt, fields.max_tokens.value_or(0));
  int64_t wanted = length == DefaultLength::kContext ? room : kCompletionsDefaultMaxTokens;
  if (service.loaded.config.generation.max_new_tokens)
    wanted = std::min<int64_t>(wanted, *service.loaded.config.generation.max_new_tokens);
  return static_cast<int32_t>(std::clamp<int64_t>(wanted, 1, room));
}

SamplingParams sampling_params(const GenerationDefaults& defaults, const openai::CommonRequest& fields,
                               int32_t logprobs) {
  SamplingParams params;
  params.temperature = static_cast<float>(fields.temperature.value_or(defaults.temperature.value_or(1.0)));
  params.top_p = static_cast<float>(fields.top_p.value_or(defaults.top_p.value_or(1.0)));
  params.min_p = static_cast<float>(fields.min_p.value_or(defaults.min_p.value_or(0.0)));
  // a top_k over any vocabulary keeps all, as 0 does
  const int64_t top_k = fields.top_k.value_or(defaults.top_k.value_or(0));
  params.top_k = static_cast<int32_t>(std::clamp<int64_t>(top_k, 0, INT32_MAX));
  params.presence_penalty = static_cast<float>(fields.presence_penalty.value_or(0.0));
  params.frequency_penalty = static_cast<float>(fields.frequency_penalty.value_or(0.0));
  params.repetition_penalty =
      static_cast<float>(fields.repetition_penalty.value_or(defaults.repetition_penalty.value_or(1.0)));
  if (fields.resume) {
    params.seed = static_cast<uint64_t>(fields.resume->seed);
    params.choice = static_cast<uint32_t>(fields.resume->choice);
  } else {
    params.seed = fields.seed ? static_cast<uint64_t>(*fields.seed) : draw_seed();
  }
  params.logprobs = logprobs;
  params.logit_bias = fields.logit_bias;
  return params;
}

openai::MaybeError check_resume(const Service& service, const openai::Resume& resume, int32_t max_tokens) {
  const char* kPlace = "resume.output_token_ids";
  for (size_t index = 0; index < resume.output_token_ids.size(); ++index) {
    const int32_t id = resume.output_token_ids[index];
    if (id >= service.loaded.config.vocab) {
      return openai::invalid_request(fmt::format("'{}[{}]': token id {} is out of vocabulary (0 to {}).",
                                                 kPlace, index, id, service.loaded.config.vocab - 1),
                                     kPlace);
    }
  }
  if (resume.output_token_ids.size() > static_cast<size_t>(max_tokens)) {
    return openai::invalid_request(fmt::format("'{}' has {} tokens, more than this request may have ({}).",
                                               kPlace, resume.output_token_ids.size(), max_tokens),
                                   kPlace);
  }
  return std::nullopt;
}

}  // namespace

bool Service::serves(std::string_view model) const {
  return model.empty() || std::find(model_names.begin(), model_names.end(), model) != model_names.end();
}

Status Service::can_serve() const {
  if (draining.load()) return unavailable("The server is shutting down.");
  return loaded.engine->health();
}

uint64_t draw_seed() {
  static Mutex mutex;
  static std::random_device device;
  MutexLock lock(mutex);
  return (uint64_t{device()} << 32 | device()) >> 1;
}

openai::Result<EngineParams> engine_params(const Service& service, const openai::CommonRequest& fields,
                                           int32_t logprobs, DefaultLength length, size_t prompt_tokens) {
  auto max_tokens = choose_max_tokens(service, fields, length, prompt_tokens);
  if (!max_tokens.ok()) return max_tokens.error();
  if (service.loaded.tokenizer == nullptr && !fields.stop.empty()) {
    return openai::invalid_request(
        "stop strings need a tokenizer, and this server runs with --skip-tokenizer-init; use stop_token_ids",
        "stop");
  }
  EngineParams params;
  params.sampling = sampling_params(service.loaded.config.generation, fields, logprobs);
  params.stop.max_tokens = *max_tokens;
  params.stop.min_tokens = fields.min_tokens;
  params.stop.stop = fields.stop;
  params.stop.stop_token_ids = fields.stop_token_ids;
  params.stop.include_stop_str_in_output = fields.include_stop_str_in_output;
  params.stop.ignore_eos = fields.ignore_eos;
  if (!fields.ignore_eos) {
    params.stop.stop_token_ids.insert(params.stop.stop_token_ids.end(), service.eos_ids.begin(),
                                      service.eos_ids.end());
  }
  if (fields.min_tokens > params.stop.max_tokens) {
    return openai::invalid_request(fmt::format("min_tokens ({}) must not be over max_tokens ({}).",
                                               fields.min_tokens, params.stop.max_tokens),
                                   "min_tokens");
  }
  if (fields.resume) {
    if (auto error = check_resume(service, *fields.resume, *max_tokens)) return *error;
  }
  return params;
}

namespace {

struct RefusalRow {
  int status;
  const char* code;
  const char* message;
};

RefusalRow refusal_row(Refusal refusal) {
  switch (refusal) {
    case Refusal::kTenantQueueFull:
      return {429, "tenant_queue_full", "As many requests of this tenant wait as may; try again later."};
    case Refusal::kQueueFull:
      return {503, "queue_full", "The server's queue is full; try again later."};
    case Refusal::kDeadline:
      return {503, "deadline_unreachable", "The first token cannot be there by the request's deadline."};
    case Refusal::kBusy:
      return {503, "busy", "The server is overloaded; try again."};
    case Refusal::kDraining:
      return {503, "draining", "The server is shutting down; try elsewhere."};
    case Refusal::kEngineDead:
      return {503, "engine_dead", "The engine has failed and the server is going down; try elsewhere."};
  }
  return {503, "unavailable", "Try again."};
}

}  // namespace

void respond_json(http::ResponseWriter& writer, int status, std::string body) {
  writer.respond(status, {{"Content-Type", "application/json"}}, std::move(body));
}

void respond_error(http::ResponseWriter& writer, const openai::ApiError& error, ErrorForm form) {
  http::Headers headers{{"Content-Type", "application/json"}};
  if (error.status == 429 || error.status == 503)
    headers.add("Retry-After", fmt::format("{}", error.retry_after_seconds.value_or(1)));
  if (error.status == 401) headers.add("WWW-Authenticate", "Bearer");
  writer.respond(error.status, std::move(headers),
                 form == ErrorForm::kAnthropic ? openai::anthropic_error_body(error) : error.body());
}

openai::ApiError refuse(const Service& service, Refusal refusal) {
  const RefusalRow row = refusal_row(refusal);
  service.metrics->on_refused(row.code);
  openai::ApiError error = openai::error_for_status(row.status, row.message);
  error.code = row.code;
  error.retry_after_seconds = std::max(service.loaded.engine->retry_after_seconds(), 1);
  return error;
}

openai::ApiError submit_error(const Service& service, const Status& status) {
  if (!service.loaded.engine->health().ok()) return refuse(service, Refusal::kEngineDead);
  if (absl::IsResourceExhausted(status)) return refuse(service, Refusal::kTenantQueueFull);
  if (!absl::IsUnavailable(status)) return openai::error_from_status(status);
  return refuse(service, Engine::queue_full(status) ? Refusal::kQueueFull : Refusal::kDraining);
}

}  // namespace hadal
