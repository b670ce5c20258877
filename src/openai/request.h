// Requests of /v1/chat/completions and /v1/completions, parsed and validated from JSON text. Every field that is known
// is a row of the field table (fields.h), which docs/api.md is checked against; others are ignored as vLLM does.
//
// Nothing here knows a model: defaults that come from generation_config.json are applied by the server to what is absent.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "openai/api_error.h"

namespace hadal::openai {

/// What both endpoints share.
struct SamplingFields {
  std::optional<double> temperature, top_p, min_p;
  std::optional<int32_t> top_k;  // -1 and 0: all
  double presence_penalty = 0, frequency_penalty = 0;
  std::optional<double> repetition_penalty;
  std::optional<uint64_t> seed;
  std::optional<int32_t> max_tokens;  // max_completion_tokens wins over max_tokens
  int32_t min_tokens = 0;
  int32_t n = 1;
  std::vector<std::string> stop;
  std::vector<int32_t> stop_token_ids;
  std::vector<std::pair<int32_t, float>> logit_bias;
  bool ignore_eos = false;
  bool skip_special_tokens = true;
  bool include_stop_str_in_output = false;
  /// -1: none; otherwise how many alternatives beside the chosen token.
  int32_t logprobs = -1;
  bool return_token_ids = false;
  bool stream = false;
  bool include_usage = false;
  int32_t priority = 0;
  std::string cache_salt, user;
};

struct ChatCompletionRequest {
  std::string model;  // empty: not given
  SamplingFields sampling;
  /// ordered_json behind a pointer: messages (content parts already joined to strings), tools (null if none),
  /// chat_template_kwargs (object).
  std::shared_ptr<const nlohmann::ordered_json> messages, tools, template_kwargs;
  bool add_generation_prompt = true;
  bool continue_final_message = false;
};

struct CompletionRequest {
  std::string model;
  SamplingFields sampling;
  std::vector<std::string> text_prompts;              // exactly one of these two is not empty
  std::vector<std::vector<int32_t>> token_prompts;
  bool echo = false;
};

OrApiError<ChatCompletionRequest> parse_chat_completion(std::string_view body);
OrApiError<CompletionRequest> parse_completion(std::string_view body);

}  // namespace hadal::openai
