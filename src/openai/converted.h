// Requests of other APIs, read as the chat completion that they mean: /v1/responses (OpenAI) and /v1/messages
// (Anthropic). Their bodies are turned into a chat body, field by field, and that is parsed by the table of
// request_fields.h, so that ranges and checks are said once. Sampling fields that vLLM adds to chat (top_k,
// seed, chat_template_kwargs, ...) pass through by their names. Errors name the place in the body that came.
//
// Pure functions, any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "openai/request.h"

namespace hadal::openai {

struct ResponsesRequest : ChatCompletionRequest {
  JsonPtr
      shown;  // what the answer repeats of the request: instructions, tools, tool_choice, temperature, ...
};
/// Fields: docs/endpoints.md.
Result<ResponsesRequest> parse_responses(std::string_view json, const RequestLimits& limits = {});

/// A conversation that ends with an assistant's message is continued, as Anthropic does.
enum class MessagesUse : uint8_t { kAnswer, kCountTokens };  // counting needs no max_tokens
Result<ChatCompletionRequest> parse_messages(std::string_view json, MessagesUse use,
                                             const RequestLimits& limits = {});

/// {"type":"error","error":{"type":...,"message":...}}
std::string anthropic_error_body(const ApiError& error);

}  // namespace hadal::openai
