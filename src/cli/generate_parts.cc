#include "cli/generate_parts.h"

#include <random>

namespace hadal {
namespace {

uint64_t random_seed() {
  std::random_device device;
  return (uint64_t{device()} << 32 | device()) >> 1;
}

SamplingParams sampling(const GenerateOptions& options, const GenerationDefaults& defaults) {
  SamplingParams params;
  params.temperature = static_cast<float>(options.temperature.value_or(defaults.temperature.value_or(1.0)));
  params.top_p = static_cast<float>(options.top_p.value_or(defaults.top_p.value_or(1.0)));
  params.min_p = static_cast<float>(options.min_p.value_or(defaults.min_p.value_or(0.0)));
  params.top_k = options.top_k.value_or(defaults.top_k.value_or(0));
  params.seed = options.seed ? *options.seed : random_seed();
  return params;
}

}  // namespace

StatusOr<std::vector<int32_t>> chat_ids(const nlohmann::ordered_json& messages,
                                        const GenerateOptions& options, const LoadedEngine& loaded) {
  if (loaded.chat_template == nullptr) {
    return failed_precondition("{} has no chat template; leave out --chat, or give one with --chat-template",
                               loaded.folder);
  }
  ChatRequest request;
  request.messages = nlohmann::ordered_json::array();
  if (options.system) request.messages.push_back({{"role", "system"}, {"content", *options.system}});
  for (const auto& message : messages) request.messages.push_back(message);
  request.add_generation_prompt = true;
  request.kwargs = nlohmann::ordered_json::object();
  request.kwargs["thinking"] = options.thinking;
  request.kwargs["enable_thinking"] = options.thinking;
  request.bos_token = loaded.tokenizer->bos_token().value_or("");
  request.eos_token = loaded.tokenizer->eos_token().value_or("");
  ASSIGN_OR_RETURN(const std::string prompt, loaded.chat_template->render(request));
  return loaded.tokenizer->encode(prompt, AddSpecial::kNo);  // a template writes its own BOS
}

StatusOr<std::vector<int32_t>> prompt_ids(const std::string& prompt, const GenerateOptions& options,
                                          const LoadedEngine& loaded) {
  if (!options.chat) return loaded.tokenizer->encode(prompt, AddSpecial::kYes);
  using Json = nlohmann::ordered_json;
  return chat_ids(Json::array({Json::object({{"role", "user"}, {"content", prompt}})}), options, loaded);
}

EngineRequest request_for(std::vector<int32_t> ids, int32_t max_tokens, const GenerateOptions& options,
                          const LoadedEngine& loaded) {
  EngineRequest request;
  request.prompt_ids = std::move(ids);
  request.sampling = sampling(options, loaded.config.generation);
  const auto room = loaded.max_model_len - static_cast<int32_t>(request.prompt_ids.size());
  request.stop.max_tokens = std::max(1, std::min(max_tokens, room));
  request.stop.stop = options.stop;
  request.stop.ignore_eos = options.ignore_eos;
  if (options.ignore_eos) return request;
  request.stop.stop_token_ids = loaded.config.eos;
  if (loaded.tokenizer && loaded.tokenizer->eos_id())
    request.stop.stop_token_ids.push_back(*loaded.tokenizer->eos_id());  // as hadal serve
  return request;
}

}  // namespace hadal
