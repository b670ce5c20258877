// From a completion of V3.2 or V4, as a whole, back to a message: the published parse_message_from_completion_text.
//
// It takes exactly formed text only; for text as it streams in see reasoning_parser.h.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace hadal {

struct ParsedToolCall {
  std::string name;
  std::string arguments;  // JSON text, its values as the model wrote them
};

struct ParsedCompletion {
  std::string content;
  std::string reasoning_content;
  std::vector<ParsedToolCall> tool_calls;
};

/// `text` ends with the EOS token (which may be missing after tool calls). `thinking`: the prompt opened <think>.
/// invalid_argument for whatever is not in form.
StatusOr<ParsedCompletion> parse_completion_v32(std::string_view text, bool thinking);
StatusOr<ParsedCompletion> parse_completion_v4(std::string_view text, bool thinking);

}  // namespace hadal
