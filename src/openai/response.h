// Responses of the OpenAI API as JSON text: whole answers here, streams in stream.h. Pure functions, any thread. Text passed
// in should be valid UTF-8; what is not becomes U+FFFD, never broken JSON.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "openai/error.h"

namespace hadal::openai {

/// The same through one answer and all of its chunks.
struct ResponseMeta {
  std::string id;       // make_id("chatcmpl-")
  int64_t created = 0;  // seconds since 1970
  std::string model;    // as the request named it
  std::string system_fingerprint = {};  // of what computes: the same seed gives the same answer while it stays
};

/// `prefix` and 32 random hexadecimal digits.
std::string make_id(std::string_view prefix);

struct Usage {
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;
  int64_t cached_tokens = 0;                 // of the prompt, found in the cache
  std::optional<int64_t> reasoning_tokens;   // of the completion
};
/// {"prompt_tokens":...} with OpenAI's details and DeepSeek's prompt_cache_hit_tokens and prompt_cache_miss_tokens.
void append_usage(const Usage& usage, std::string* out);

/// One token with its probability. `bytes` are the token's own, perhaps half a character.
struct LogprobToken {
  int32_t id = 0;
  std::string bytes;
  float logprob = 0.0f;  // NaN: unknown (a prompt's first token): null
  int32_t rank = 0;      // 1: most likely; told with prompt_logprobs only
};
struct PositionLogprobs {
  LogprobToken chosen;
  std::vector<LogprobToken> top;  // most likely first
  bool in_text = true;            // false: a special token that the text leaves out
};
enum class TokenNames : uint8_t { kText, kIds };  // kIds: "token_id:5" (return_tokens_as_token_ids)

/// {"content":[{token,logprob,bytes,top_logprobs}]}
void append_chat_logprobs(const std::vector<PositionLogprobs>& positions, TokenNames names, std::string* out);
/// {"text_offset":[],"token_logprobs":[],"tokens":[],"top_logprobs":[]}. `*text_offset` is where the first token begins, in
/// characters of the answer's text, and is moved to the end.
void append_completion_logprobs(const std::vector<PositionLogprobs>& positions, TokenNames names, int64_t* text_offset,
                                std::string* out);

/// vLLM's prompt_logprobs: for each of the prompt's tokens {"id":{logprob,rank,decoded_token}} of it and its alternatives;
/// null for the first, which follows nothing.
void append_prompt_logprobs(const std::vector<PositionLogprobs>& positions, std::string* out);

/// What ended a choice beside finish_reason "stop": nothing to name, a token id, or a stop string.
using StopReason = std::variant<std::monostate, int32_t, std::string>;

struct ToolCall {
  std::string id, name, arguments;
};

struct ChatChoice {
  int32_t index = 0;
  std::string content;
  std::string reasoning;  // written as `reasoning_content` and `reasoning` if not empty
  std::vector<ToolCall> tool_calls;
  std::optional<std::vector<PositionLogprobs>> logprobs;
  std::string finish_reason;  // "stop", "length", "tool_calls", "abort"
  StopReason stop_reason;
  std::optional<std::vector<int32_t>> token_ids;  // return_token_ids
};
struct ChatCompletion {
  ResponseMeta meta;
  std::vector<ChatChoice> choices;
  Usage usage;
  std::optional<std::vector<int32_t>> prompt_token_ids;  // return_token_ids
  std::optional<std::vector<PositionLogprobs>> prompt_logprobs;
  TokenNames token_names = TokenNames::kText;
};
std::string chat_completion_json(const ChatCompletion& completion);

struct TextChoice {
  int32_t index = 0;
  std::string text;
  std::optional<std::vector<PositionLogprobs>> logprobs;
  std::string finish_reason;
  StopReason stop_reason;
  std::optional<std::vector<int32_t>> token_ids;
  std::optional<std::vector<int32_t>> prompt_token_ids;  // vLLM has them in each choice here
  std::optional<std::vector<PositionLogprobs>> prompt_logprobs;  // and these
};
struct TextCompletion {
  ResponseMeta meta;
  std::vector<TextChoice> choices;
  Usage usage;
  TokenNames token_names = TokenNames::kText;
};
std::string text_completion_json(const TextCompletion& completion);

struct ModelCard {
  std::string id;
  int64_t created = 0;
  std::string root;  // where the checkpoint lies, or its hub id
  int64_t max_model_len = 0;
};
std::string model_list_json(const std::vector<ModelCard>& models);
std::string model_json(const ModelCard& model);

/// {"version":"..."}
std::string version_json(std::string_view version);

// Parts that streams share.
void append_stop_reason(const StopReason& reason, std::string* out);
void append_string_or_null(std::string_view text, std::string* out);  // empty: null

}  // namespace hadal::openai
