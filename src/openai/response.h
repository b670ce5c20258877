// Response bodies and SSE events of /v1/chat/completions, /v1/completions and /v1/models (specs/interfaces.md 1, 2).
// Pure functions of plain values; every text passed in is valid UTF-8.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hadal::openai {

struct Usage {
  int32_t prompt_tokens = 0, completion_tokens = 0, cached_tokens = 0;
  std::optional<int32_t> reasoning_tokens;
};

struct LogprobEntry {
  std::string token;  // text; bytes are given beside it
  std::string bytes;
  float logprob = 0;
};

/// One generated token with its alternatives.
struct TokenLogprobs {
  LogprobEntry chosen;
  std::vector<LogprobEntry> top;
  int32_t text_offset = 0;  // completions: characters from the start of the text
};

struct ResponseHead {
  std::string id;  // "chatcmpl-...", "cmpl-..."
  int64_t created = 0;
  std::string model;
};

/// One choice, whole (for a response) or what is new of it (for a chunk).
struct ChoiceDelta {
  int32_t index = 0;
  std::string content;    // chat: content; completions: text
  std::string reasoning;  // chat only; given as reasoning_content and as reasoning
  bool with_logprobs = false;
  std::vector<TokenLogprobs> logprobs;
  std::string finish_reason;  // empty: null
  std::optional<std::string> stop_reason;  // vLLM's extension
  bool with_token_ids = false;
  std::vector<int32_t> token_ids;
};

enum class UsageField : uint8_t { kAbsent, kNull };  // in chunks: absent, or null under include_usage

// whole responses
std::string chat_response(const ResponseHead& head, const std::vector<ChoiceDelta>& choices, const Usage& usage,
                          const std::vector<int32_t>* prompt_token_ids);
std::string completion_response(const ResponseHead& head, const std::vector<ChoiceDelta>& choices, const Usage& usage,
                                const std::vector<int32_t>* prompt_token_ids);

// SSE events, "data: {...}\n\n" each
std::string chat_first_chunk(const ResponseHead& head, int32_t index, UsageField usage,
                             const std::vector<int32_t>* prompt_token_ids);  // role assistant, content ""
std::string chat_chunk(const ResponseHead& head, const ChoiceDelta& delta, UsageField usage);
std::string completion_chunk(const ResponseHead& head, const ChoiceDelta& delta, UsageField usage,
                             const std::vector<int32_t>* prompt_token_ids);
std::string chat_usage_chunk(const ResponseHead& head, const Usage& usage);
std::string completion_usage_chunk(const ResponseHead& head, const Usage& usage);
std::string error_event(const struct ApiError& error);
inline constexpr std::string_view kDoneEvent = "data: [DONE]\n\n";

struct ModelCard {
  std::string id;
  int64_t created = 0;
  int32_t max_model_len = 0;
  std::string root;
};
std::string models_response(const std::vector<ModelCard>& models);

}  // namespace hadal::openai
