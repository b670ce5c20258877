// Requests and answers of /tokenize, /detokenize and /tokenizer_info (vLLM's form). Pure functions, any
// thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "openai/request.h"

namespace hadal::openai {

/// {"model","prompt"} or {"model","messages",...}, with add_special_tokens and return_token_strs. Fields of
/// the prompt are those of the endpoint that would take it.
struct TokenizeRequest {
  std::string model;
  std::optional<ChatCompletionRequest> chat;  // with messages
  CommonRequest fields;                       // without: of `prompt`
  std::string prompt;
  bool return_token_strs = false;
};
Result<TokenizeRequest> parse_tokenize(std::string_view json, const RequestLimits& limits = {});

/// {"model","tokens"}
struct DetokenizeRequest {
  std::string model;
  std::vector<int32_t> tokens;
};
Result<DetokenizeRequest> parse_detokenize(std::string_view json, const RequestLimits& limits = {});

/// {"count","max_model_len","tokens","token_strs"}
std::string tokenize_json(const std::vector<int32_t>& tokens, int64_t max_model_len,
                          const std::optional<std::vector<std::string>>& token_strs);
/// {"prompt"}
std::string detokenize_json(std::string_view text);

/// What a client needs to know to write prompts itself; where a checkpoint says nothing, null.
struct TokenizerInfo {
  std::optional<std::string> bos_token, eos_token, pad_token, unk_token;
  bool add_bos_token = false;
  int64_t model_max_length = 0;
  std::optional<std::string_view> chat_template;
};
std::string tokenizer_info_json(const TokenizerInfo& info);

}  // namespace hadal::openai
