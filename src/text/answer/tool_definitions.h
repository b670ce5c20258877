// Tool definitions in words, for checkpoints whose template writes calls but no definitions (V3 and V3.1 as
// published): what the models' cards tell to append to the system message.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/status.h"
#include "text/answer/tool_parser.h"

namespace hadal {

/// `tools` is OpenAI's list. Errors: invalid_argument for a tool without a function; unimplemented for a
/// format whose encoder writes the definitions itself.
StatusOr<std::string> tool_definitions(const ToolFormat& format, const nlohmann::ordered_json& tools);

}  // namespace hadal
