// The prompt formats of DeepSeek-V3.2 and V4, whose checkpoints bring encoders in place of a template.
//
// Both follow the published encoders case by case, quirks of the reference included where a prompt comes out;
// what makes the reference fail is an invalid_argument here. Pure functions.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <string>
#include <vector>

#include "base/status.h"

namespace hadal {

struct ChatRequest;

/// The arguments of the published encode_messages.
struct EncodeOptions {
  bool thinking = false;              // thinking_mode "thinking", not "chat"
  bool drop_thinking = true;          // leave out the reasoning of earlier turns
  bool add_default_bos_token = true;  // only where there is no context
  std::string reasoning_effort;       // V4: "", "high" or "max"
};

/// `messages` is a list of objects {role, content, tools, response_format, tool_calls, reasoning_content, ...};
/// `context` (a list, or null) are the messages before them, which are looked at and not rendered.
StatusOr<std::string> encode_v32(const nlohmann::ordered_json& messages, const nlohmann::ordered_json& context,
                                 const EncodeOptions& options);
StatusOr<std::string> encode_v4(const nlohmann::ordered_json& messages, const nlohmann::ordered_json& context,
                                const EncodeOptions& options);

/// The same for a chat request: options from its kwargs, its tools put on the first system message.
StatusOr<std::string> encode_v32_request(const ChatRequest& request);
StatusOr<std::string> encode_v4_request(const ChatRequest& request);

}  // namespace hadal
