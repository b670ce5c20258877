#include "server/service.h"

#include <algorithm>
#include <random>

#include "base/mutex.h"

namespace hadal {
namespace {

constexpr int32_t kCompletionsDefaultMaxTokens = 16;  // OpenAI's and vLLM's

/// How many tokens may be made: what was asked for, else the endpoint's default, never past the context.
openai::Result<int32_t> choose_max_tokens(const Service& service, const openai::CommonRequest& fields,
                                          Endpoint endpoint, size_t prompt_tokens) {
  const int64_t context = service.loaded.max_model_len;
  const auto prompt = static_cast<int64_t>(prompt_tokens);
  const int64_t room = context - prompt;
  if (fields.max_tokens && *fields.max_tokens <= room) return std::max(*fields.max_tokens, 1);
  if (fields.max_tokens || room < 1)
    return openai::context_length_exceeded(context, prompt, fields.max_tokens.value_or(0));
  int64_t wanted = endpoint == Endpoint::kChat ? room : kCompletionsDefaultMaxTokens;
  if (service.loaded.config.generation.max_new_tokens)
    wanted = *service.loaded.config.generation.max_new_tokens;
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
  params.seed = fields.seed ? static_cast<uint64_t>(*fields.seed) : draw_seed();
  params.logprobs = logprobs;
  params.logit_bias = fields.logit_bias;
  return params;
}

}  // namespace

bool Service::serves(std::string_view model) const {
  return model.empty() || std::find(model_names.begin(), model_names.end(), model) != model_names.end();
}

uint64_t draw_seed() {
  static Mutex mutex;
  static std::random_device device;
  MutexLock lock(mutex);
  return (uint64_t{device()} << 32 | device()) >> 1;
}

openai::Result<EngineParams> engine_params(const Service& service, const openai::CommonRequest& fields,
                                           int32_t logprobs, Endpoint endpoint, size_t prompt_tokens) {
  auto max_tokens = choose_max_tokens(service, fields, endpoint, prompt_tokens);
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
  return params;
}

}  // namespace hadal
