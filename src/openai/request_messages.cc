// Reads messages and tools into the form that chat templates take.
#include "openai/request_fields.h"
#include "openai/value_readers.h"

namespace hadal::openai {
namespace {

constexpr size_t kMaxMessageKeys = 64;

bool is_role(std::string_view role) {
  return role == "system" || role == "developer" || role == "user" || role == "assistant" || role == "tool";
}

// Parts of type text are joined by line breaks, as vLLM does for templates that expect a string.
MaybeError read_content(const Json& content, const std::string& place, std::string* out) {
  if (content.is_string()) return read_string(content, place, out);
  if (!content.is_array()) return wrong_type(place, "a string or a list of parts", content);
  for (size_t i = 0; i < content.size(); ++i) {
    const std::string part_place = fmt::format("{}[{}]", place, i);
    const Json& part = content[i];
    if (!part.is_object() && !part.is_string()) return wrong_type(part_place, "an object", part);
    std::string text;
    if (part.is_string()) {
      text = part.get_ref<const std::string&>();
    } else {
      const Json* type = member(part, "type");
      if (type == nullptr || !type->is_string()) {
        return invalid_request(fmt::format("'{}' needs a 'type'.", part_place), part_place + ".type");
      }
      if (*type != "text") {
        return invalid_request(fmt::format("Content of type '{}' is not supported: this model reads text only.",
                                           type->get<std::string>().substr(0, 40)), part_place + ".type");
      }
      const Json* value = member(part, "text");
      if (value == nullptr) return invalid_request(fmt::format("'{}' needs a 'text'.", part_place), part_place + ".text");
      if (auto error = read_string(*value, part_place + ".text", &text)) return error;
    }
    if (i > 0) *out += '\n';
    *out += text;
  }
  return std::nullopt;
}

MaybeError check_tool_calls(const Json& calls, const std::string& place) {
  if (!calls.is_array()) return wrong_type(place, "a list", calls);
  for (size_t i = 0; i < calls.size(); ++i) {
    const std::string call_place = fmt::format("{}[{}]", place, i);
    const Json& call = calls[i];
    if (!call.is_object()) return wrong_type(call_place, "an object", call);
    if (const Json* type = member(call, "type"); type != nullptr && *type != "function") {
      return invalid_request(fmt::format("'{}.type' must be \"function\".", call_place), call_place + ".type");
    }
    if (const Json* id = member(call, "id"); id != nullptr && !id->is_string()) {
      return wrong_type(call_place + ".id", "a string", *id);
    }
    const Json* function = member(call, "function");
    const Json* name = function != nullptr ? member(*function, "name") : nullptr;
    if (name == nullptr || !name->is_string() || name->get_ref<const std::string&>().empty()) {
      return invalid_request(fmt::format("'{}' needs a function with a name.", call_place), call_place + ".function.name");
    }
    const Json* arguments = member(*function, "arguments");
    if (arguments != nullptr && !arguments->is_string() && !arguments->is_object()) {
      return wrong_type(call_place + ".function.arguments", "a string", *arguments);
    }
  }
  return std::nullopt;
}

MaybeError check_strings(const Json& message, const std::string& place) {
  for (const char* key : {"name", "tool_call_id", "reasoning_content", "reasoning"}) {
    const Json* value = member(message, key);
    if (value != nullptr && !value->is_string()) return wrong_type(place + "." + key, "a string", *value);
  }
  return std::nullopt;
}

MaybeError read_message(const Json& message, const std::string& place, Json* out) {
  if (!message.is_object()) return wrong_type(place, "an object", message);
  const Json* role = member(message, "role");
  if (role == nullptr) return invalid_request(fmt::format("'{}' needs a 'role'.", place), place + ".role");
  if (!role->is_string()) return wrong_type(place + ".role", "a string", *role);
  const std::string& name = role->get_ref<const std::string&>();
  if (!is_role(name)) {
    return invalid_request(fmt::format("The role '{}' is not supported: use system, developer, user, assistant or tool.",
                                       name.substr(0, 40)), place + ".role");
  }
  // Ordered objects are searched key by key; no template knows more of them than this.
  if (message.size() > kMaxMessageKeys) {
    return invalid_request(fmt::format("'{}' has more than {} members.", place, kMaxMessageKeys), place);
  }
  if (auto error = check_strings(message, place)) return error;

  *out = Json::object();
  (*out)["role"] = name;
  const Json* calls = member(message, "tool_calls");
  if (calls != nullptr) {
    if (name != "assistant") {
      return invalid_request("Only an assistant's message may have tool_calls.", place + ".tool_calls");
    }
    if (auto error = check_tool_calls(*calls, place + ".tool_calls")) return error;
    if (calls->empty()) calls = nullptr;
  }
  const Json* content = member(message, "content");
  const Json* reasoning = member(message, "reasoning_content");
  if (reasoning == nullptr) reasoning = member(message, "reasoning");
  if (content != nullptr) {
    std::string text;
    if (auto error = read_content(*content, place + ".content", &text)) return error;
    (*out)["content"] = std::move(text);
  } else if (name == "assistant" && (calls != nullptr || reasoning != nullptr)) {
    (*out)["content"] = nullptr;
  } else if ((name == "assistant" || name == "tool") && message.contains("content")) {
    (*out)["content"] = "";  // null: a refusal, or a tool that gave nothing; templates would write "None"
  } else {
    return invalid_request(fmt::format("'{}' needs a 'content'.", place), place + ".content");
  }
  if (reasoning != nullptr) (*out)["reasoning_content"] = *reasoning;
  if (calls != nullptr) (*out)["tool_calls"] = *calls;
  // What else a template may know (name, tool_call_id, prefix, ...) is passed on.
  for (const auto& [key, value] : message.items()) {
    if (key == "tool_calls" || key == "reasoning" || value.is_null() || out->contains(key)) continue;
    (*out)[key] = value;
  }
  return std::nullopt;
}

/// What may be left out, as templates that take it for granted need it: no description, no parameters.
void complete_tools(Json& tools) {
  for (Json& tool : tools) {
    Json& function = tool["function"];
    if (member(function, "description") == nullptr) function["description"] = "";
    if (member(function, "parameters") == nullptr)
      function["parameters"] = Json::object({{"type", "object"}, {"properties", Json::object()}});
  }
}

}  // namespace

MaybeError read_messages(const Json& value, std::string_view name, ParseTarget& target) {
  if (!value.is_array()) return wrong_type(name, "a list of messages", value);
  if (value.empty()) return invalid_request("'messages' must not be empty.", std::string(name));
  if (value.size() > target.limits.max_messages) {
    return invalid_request(fmt::format("'messages' has {} messages; at most {} are taken.", value.size(),
                                       target.limits.max_messages), std::string(name));
  }
  auto messages = std::make_shared<Json>(Json::array());
  for (size_t i = 0; i < value.size(); ++i) {
    Json message;
    if (auto error = read_message(value[i], fmt::format("{}[{}]", name, i), &message)) return error;
    messages->push_back(std::move(message));
  }
  target.chat->messages = std::move(messages);
  return std::nullopt;
}

MaybeError read_tools(const Json& value, std::string_view name, ParseTarget& target) {
  if (!value.is_array()) return wrong_type(name, "a list", value);
  if (value.size() > target.limits.max_tools) {
    return invalid_request(fmt::format("'tools' has {} entries; at most {} are taken.", value.size(),
                                       target.limits.max_tools), std::string(name));
  }
  for (size_t i = 0; i < value.size(); ++i) {
    const std::string place = fmt::format("{}[{}]", name, i);
    const Json& tool = value[i];
    if (!tool.is_object()) return wrong_type(place, "an object", tool);
    const Json* type = member(tool, "type");
    if (type == nullptr || *type != "function") {
      return invalid_request(fmt::format("'{}.type' must be \"function\".", place), place + ".type");
    }
    const Json* function = member(tool, "function");
    if (function == nullptr) return invalid_request(fmt::format("'{}' needs a 'function'.", place), place + ".function");
    const std::string function_place = place + ".function";
    if (!function->is_object()) return wrong_type(function_place, "an object", *function);
    const Json* tool_name = member(*function, "name");
    if (tool_name == nullptr || !tool_name->is_string() || tool_name->get_ref<const std::string&>().empty()) {
      return invalid_request(fmt::format("'{}' needs a name.", function_place), function_place + ".name");
    }
    const Json* parameters = member(*function, "parameters");
    if (parameters != nullptr && !parameters->is_object()) {
      return wrong_type(function_place + ".parameters", "an object", *parameters);
    }
    const Json* description = member(*function, "description");
    if (description != nullptr && !description->is_string()) {
      return wrong_type(function_place + ".description", "a string", *description);
    }
  }
  if (!value.empty()) target.chat->tools = std::make_shared<Json>(value);
  if (target.chat->tools != nullptr) complete_tools(*target.chat->tools);
  return std::nullopt;
}

}  // namespace hadal::openai
