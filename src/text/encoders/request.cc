// From a chat request to the encoders' own arguments.
#include "text/chat_template.h"
#include "text/encoders/encoder_pieces.h"
#include "text/encoders/prompt_encoder.h"

namespace hadal {
namespace {

using encoders::Json;

Status read_bool(const Json& kwargs, std::string_view name, bool& out) {
  const Json& value = encoders::member(kwargs, name);
  if (value.is_null()) return OkStatus();
  if (!value.is_boolean()) return invalid_argument("chat template kwargs: {} must be a boolean", name);
  out = value.get<bool>();
  return OkStatus();
}

StatusOr<EncodeOptions> read_options(const Json& kwargs) {
  EncodeOptions options;
  RETURN_IF_ERROR(read_bool(kwargs, "enable_thinking", options.thinking));
  RETURN_IF_ERROR(read_bool(kwargs, "thinking", options.thinking));
  RETURN_IF_ERROR(read_bool(kwargs, "drop_thinking", options.drop_thinking));
  RETURN_IF_ERROR(read_bool(kwargs, "add_default_bos_token", options.add_default_bos_token));
  if (const Json& mode = encoders::member(kwargs, "thinking_mode"); !mode.is_null()) {
    if (mode != "chat" && mode != "thinking") {
      return invalid_argument("chat template kwargs: thinking_mode must be 'chat' or 'thinking'");
    }
    options.thinking = mode == "thinking";
  }
  if (const Json& effort = encoders::member(kwargs, "reasoning_effort"); !effort.is_null()) {
    if (!effort.is_string()) return invalid_argument("chat template kwargs: reasoning_effort must be a string");
    options.reasoning_effort = effort.get<std::string>();
  }
  return options;
}

/// The request's tools go where the encoders look for them: on the first message if it is a system or developer
/// message, else on a system message of their own in front.
StatusOr<Json> with_tools(const ChatRequest& request) {
  Json messages = request.messages;
  if (!encoders::truthy(request.tools)) return messages;
  if (!request.tools.is_array()) return invalid_argument("tools must be a list");
  RETURN_IF_ERROR(encoders::check_messages(messages));
  const std::string_view role = messages.empty() ? std::string_view() : encoders::role_of(messages[0]);
  if (role != "system" && role != "developer") {
    messages.insert(messages.begin(), Json::object({{"role", "system"}, {"content", ""}}));
  }
  Json& tools = messages[0]["tools"];
  if (tools.is_null()) tools = Json::array();
  if (!tools.is_array()) return invalid_argument("tools must be a list");
  for (const Json& tool : request.tools) tools.push_back(tool);
  return messages;
}

}  // namespace

StatusOr<std::string> encode_v32_request(const ChatRequest& request) {
  ASSIGN_OR_RETURN(const EncodeOptions options, read_options(request.kwargs));
  ASSIGN_OR_RETURN(const Json messages, with_tools(request));
  return encode_v32(messages, encoders::member(request.kwargs, "context"), options);
}

StatusOr<std::string> encode_v4_request(const ChatRequest& request) {
  ASSIGN_OR_RETURN(const EncodeOptions options, read_options(request.kwargs));
  ASSIGN_OR_RETURN(const Json messages, with_tools(request));
  return encode_v4(messages, encoders::member(request.kwargs, "context"), options);
}

}  // namespace hadal
