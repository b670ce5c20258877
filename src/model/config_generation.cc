#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "model/config_parts.h"
#include "tensor/printable.h"

namespace hadal {
namespace {

using Json = nlohmann::json;

std::optional<double> optional_number(ConfigReader& in, std::string_view key,
                                      ConfigReader::NumberRange range) {
  if (in.value(key) == nullptr) return std::nullopt;
  return in.number_or(key, range, 0.0);
}

std::optional<int32_t> optional_integer(ConfigReader& in, std::string_view key, ConfigReader::Range range) {
  if (in.value(key) == nullptr) return std::nullopt;
  return in.integer_or(key, range, 0);
}

/// Bookkeeping, and do_sample: as in vLLM the temperature decides, not it.
constexpr std::string_view kHarmless[] = {"_from_model_config",
                                          "transformers_version",
                                          "do_sample",
                                          "pad_token_id",
                                          "use_cache",
                                          "max_length",
                                          "trust_remote_code",
                                          "output_attentions",
                                          "output_hidden_states",
                                          "cache_implementation",
                                          "return_dict_in_generate",
                                          "output_scores"};

}  // namespace

Status apply_generation_config(std::string_view generation_json, ModelConfig& config) {
  ASSIGN_OR_RETURN(const Json json, parse_config_object(generation_json, "generation_config.json"));
  ConfigReader in(json, "generation_config.json");
  const ConfigReader::Range token = {0, config.vocab - 1};
  const auto bos = in.integers_or_empty("bos_token_id", token);
  const auto eos = in.integers_or_empty("eos_token_id", token);
  GenerationDefaults defaults;
  defaults.temperature = optional_number(in, "temperature", {0.0, 100.0});
  defaults.top_p = optional_number(in, "top_p", {1e-6, 1.0});
  defaults.min_p = optional_number(in, "min_p", {0.0, 1.0});
  defaults.repetition_penalty = optional_number(in, "repetition_penalty", {1e-6, 100.0});
  defaults.top_k = optional_integer(in, "top_k", {-1, 1 << 24});
  defaults.max_new_tokens = optional_integer(in, "max_new_tokens", {1, 1 << 30});
  RETURN_IF_ERROR(in.status());
  if (const auto unknown = in.unknown_key(kHarmless))
    log_warning("generation_config.json: setting {} is not known and is left out", *unknown);

  if (!bos.empty()) config.bos = bos.front();
  if (!eos.empty()) config.eos = eos;
  config.generation = defaults;
  return OkStatus();
}

}  // namespace hadal
