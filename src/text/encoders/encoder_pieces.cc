#include "text/encoders/encoder_pieces.h"

#include "text/python_json.h"

namespace hadal::encoders {
namespace {

StatusOr<Json> read_arguments(const Json& arguments, std::string_view name, BadArguments bad) {
  if (arguments.is_object()) return arguments;
  if (!arguments.is_string()) return invalid_argument("tool call '{}': arguments must be a JSON string", name);
  const auto& text = arguments.get_ref<const std::string&>();
  Json parsed = Json::parse(text, nullptr, false);
  if (parsed.is_discarded()) {
    if (bad == BadArguments::kKeepAsText) return Json::object({{"arguments", text}});
    return invalid_argument("tool call '{}': its arguments are not JSON", name);
  }
  if (!parsed.is_object()) return invalid_argument("tool call '{}': its arguments are no JSON object", name);
  return parsed;
}

StatusOr<std::string> dsml_invoke(const Json& call, BadArguments bad) {
  const Json& function = member(call, "function");
  const Json& name = member(function, "name");
  if (!name.is_string()) return invalid_argument("a tool call has no function name");
  const auto& name_text = name.get_ref<const std::string&>();
  ASSIGN_OR_RETURN(const Json arguments, read_arguments(member(function, "arguments"), name_text, bad));
  std::string out = fmt::format("<{}invoke name=\"{}\">\n", kDsml, name_text);
  bool first = true;
  for (const auto& [key, value] : arguments.items()) {
    if (!std::exchange(first, false)) out += '\n';
    std::string shown;
    if (value.is_string()) {
      shown = value.get<std::string>();
    } else {
      ASSIGN_OR_RETURN(shown, python_json(value));
    }
    out += fmt::format("<{}parameter name=\"{}\" string=\"{}\">", kDsml, key, value.is_string() ? "true" : "false");
    out += shown;
    out += fmt::format("</{}parameter>", kDsml);
  }
  return out + fmt::format("\n</{}invoke>", kDsml);
}

}  // namespace

bool truthy(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
    case Json::value_t::discarded: return false;
    case Json::value_t::boolean: return value.get<bool>();
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned: return value.get<int64_t>() != 0;
    case Json::value_t::number_float: return value.get<double>() != 0;
    case Json::value_t::string: return !value.get_ref<const std::string&>().empty();
    default: return !value.empty();
  }
}

const Json& member(const Json& object, std::string_view name) {
  static const Json kNull;
  if (!object.is_object()) return kNull;
  const auto found = object.find(name);
  return found == object.end() ? kNull : *found;
}

std::string_view role_of(const Json& message) {
  const Json& role = member(message, "role");
  return role.is_string() ? std::string_view(role.get_ref<const std::string&>()) : std::string_view();
}

bool is_turn_of_user(const Json& message) {
  const std::string_view role = role_of(message);
  return role == "user" || role == "developer";
}

StatusOr<std::string> text_of(const Json& content, std::string_view role, std::string_view if_null) {
  if (content.is_null()) return std::string(if_null);
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array()) return invalid_argument("the content of a {} message must be text", role);
  std::string out;
  for (const Json& part : content) {
    const Json& text = member(part, "text");
    if (member(part, "type") != "text" || !text.is_string()) {
      return invalid_argument("the content of a {} message has a part that is not text", role);
    }
    if (!out.empty()) out += '\n';
    out += text.get_ref<const std::string&>();
  }
  return out;
}

Status check_messages(const Json& messages) {
  if (!messages.is_array()) return invalid_argument("messages must be a list");
  for (const Json& message : messages) {
    if (!member(message, "role").is_string()) return invalid_argument("a message has no role");
  }
  return OkStatus();
}

int last_user_index(const std::vector<const Json*>& messages) {
  for (size_t i = messages.size(); i > 0; --i) {
    if (is_turn_of_user(*messages[i - 1])) return static_cast<int>(i - 1);
  }
  return -1;
}

StatusOr<std::string> tool_schemas(const Json& tools) {
  if (!tools.is_array()) return invalid_argument("tools must be a list");
  std::string out;
  for (const Json& tool : tools) {
    if (!tool.is_object() || !tool.contains("function")) return invalid_argument("a tool has no function");
    ASSIGN_OR_RETURN(const std::string schema, python_json(tool["function"]));
    if (!out.empty()) out += '\n';
    out += schema;
  }
  return out;
}

StatusOr<std::string> dsml_tool_calls(const Json& tool_calls, std::string_view block, BadArguments bad) {
  if (!tool_calls.is_array()) return invalid_argument("tool_calls must be a list");
  std::string out = fmt::format("<{}{}>\n", kDsml, block);
  bool first = true;
  for (const Json& call : tool_calls) {
    if (!std::exchange(first, false)) out += '\n';
    ASSIGN_OR_RETURN(const std::string invoke, dsml_invoke(call, bad));
    out += invoke;
  }
  return out + fmt::format("\n</{}{}>", kDsml, block);
}

StatusOr<std::string> response_format_text(const Json& response_format) {
  ASSIGN_OR_RETURN(const std::string schema, python_json(response_format));
  return "## Response Format:\n\nYou MUST strictly adhere to the following schema to reply:\n" + schema;
}

std::string substitute(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  size_t position = 0;
  while (true) {
    const size_t hit = text.find(from, position);
    out += text.substr(position, hit - position);
    if (hit == std::string_view::npos) return out;
    out += to;
    position = hit + from.size();
  }
}

}  // namespace hadal::encoders
