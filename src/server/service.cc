#include "server/service.h"

#include <algorithm>
#include <random>

#include "base/mutex.h"

namespace hadal {
namespace {

constexpr int32_t kCompletionsDefaultMaxTokens = 16;  // OpenAI's and vLLM's

/// Random numbers for seeds and ids, from the system.
uint64_t random_bits() {
  static Mutex mutex;
  static std::random_device device;
  MutexLock lock(mutex);
  return uint64_t{device()} << 32 | device();
}

/// How many tokens may be made: what was asked for, else the endpoint's default, never past the context.
openai::OrApiError<int32_t> choose_max_tokens(const Service& service, const openai::SamplingFields& fields,
                                              Endpoint endpoint, size_t prompt_tokens) {
  const int64_t context = service.loaded.max_model_len;
  const int64_t room = context - static_cast<int64_t>(prompt_tokens);
  if (room < 1) {
    openai::ApiError error = openai::invalid(
        endpoint == Endpoint::kChat ? "messages" : "prompt",
        fmt::format("This model's maximum context length is {} tokens. However, your request has {} input tokens. Please "
                    "reduce the length of the input.",
                    context, prompt_tokens));
    error.code = "context_length_exceeded";
    return error;
  }
  if (fields.max_tokens) {
    if (*fields.max_tokens > room) {
      openai::ApiError error = openai::invalid(
          "max_tokens", fmt::format("This model's maximum context length is {} tokens. However, you requested {} output "
                                    "tokens and your prompt contains {} tokens. Please reduce one of them.",
                                    context, *fields.max_tokens, prompt_tokens));
      error.code = "context_length_exceeded";
      return error;
    }
    return *fields.max_tokens;
  }
  int64_t wanted = endpoint == Endpoint::kChat ? room : kCompletionsDefaultMaxTokens;
  if (service.loaded.config.generation.max_new_tokens) wanted = *service.loaded.config.generation.max_new_tokens;
  return static_cast<int32_t>(std::clamp<int64_t>(wanted, 1, room));
}

SamplingParams sampling_params(const GenerationDefaults& defaults, const openai::SamplingFields& fields) {
  SamplingParams params;
  params.temperature = static_cast<float>(fields.temperature.value_or(defaults.temperature.value_or(1.0)));
  params.top_p = static_cast<float>(fields.top_p.value_or(defaults.top_p.value_or(1.0)));
  params.min_p = static_cast<float>(fields.min_p.value_or(defaults.min_p.value_or(0.0)));
  params.top_k = fields.top_k.value_or(defaults.top_k.value_or(0));
  params.presence_penalty = static_cast<float>(fields.presence_penalty);
  params.frequency_penalty = static_cast<float>(fields.frequency_penalty);
  params.repetition_penalty =
      static_cast<float>(fields.repetition_penalty.value_or(defaults.repetition_penalty.value_or(1.0)));
  params.seed = fields.seed ? *fields.seed : random_bits() >> 1;  // fits a signed 64-bit client
  params.logprobs = fields.logprobs;
  params.logit_bias = fields.logit_bias;
  return params;
}

}  // namespace

bool Service::serves(std::string_view model) const {
  return model.empty() || std::find(model_names.begin(), model_names.end(), model) != model_names.end();
}

openai::OrApiError<EngineParams> engine_params(const Service& service, const openai::SamplingFields& fields,
                                               Endpoint endpoint, size_t prompt_tokens) {
  auto max_tokens = choose_max_tokens(service, fields, endpoint, prompt_tokens);
  if (auto* error = std::get_if<openai::ApiError>(&max_tokens)) return *error;
  if (service.loaded.tokenizer == nullptr && !fields.stop.empty()) {
    return openai::invalid("stop", "stop strings need a tokenizer, and this server runs with --skip-tokenizer-init; use "
                                   "stop_token_ids");
  }
  EngineParams params;
  params.sampling = sampling_params(service.loaded.config.generation, fields);
  params.stop.max_tokens = std::get<int32_t>(max_tokens);
  params.stop.min_tokens = fields.min_tokens;
  params.stop.stop = fields.stop;
  params.stop.stop_token_ids = fields.stop_token_ids;
  params.stop.include_stop_str_in_output = fields.include_stop_str_in_output;
  params.stop.ignore_eos = fields.ignore_eos;
  if (!fields.ignore_eos) {
    params.stop.stop_token_ids.insert(params.stop.stop_token_ids.end(), service.eos_ids.begin(), service.eos_ids.end());
  }
  if (fields.min_tokens > params.stop.max_tokens) {
    return openai::invalid("min_tokens", fmt::format("min_tokens ({}) must not be over max_tokens ({}).", fields.min_tokens,
                                                     params.stop.max_tokens));
  }
  return params;
}

std::string make_response_id(Endpoint endpoint) {
  return fmt::format("{}-{:016x}{:016x}", endpoint == Endpoint::kChat ? "chatcmpl" : "cmpl", random_bits(), random_bits());
}

}  // namespace hadal
