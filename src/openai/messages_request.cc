// /v1/messages (Anthropic's form) read as a chat completion.
#include "openai/converted.h"
#include "openai/converted_parts.h"
#include "openai/json_writer.h"

namespace hadal::openai {
namespace {

const char* anthropic_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 503:
      return "overloaded_error";
    default:
      return status >= 500 ? "api_error" : "invalid_request_error";
  }
}

/// One message's blocks on their way into messages of a chat.
struct Turn {
  std::string text;
  bool has_text = false;
  std::string thinking;
  Json calls = Json::array();
  Json results = Json::array();  // messages of role tool
};

void add_text(const std::string& text, Turn& turn) {
  if (turn.has_text) turn.text += '\n';
  turn.text += text;
  turn.has_text = true;
}

MaybeError read_tool_use(const Json& block, const std::string& place, Turn& turn) {
  std::string id, name;
  if (auto error = read_required(block, "id", place, &id)) return error;
  if (auto error = read_required(block, "name", place, &name)) return error;
  const Json* input = member(block, "input");
  if (input != nullptr && !input->is_object()) return wrong_type(place + ".input", "an object", *input);
  turn.calls.push_back(Json::object(
      {{"id", id},
       {"type", "function"},
       {"function", {{"name", name}, {"arguments", input == nullptr ? std::string("{}") : input->dump()}}}}));
  return std::nullopt;
}

MaybeError read_tool_result(const Json& block, const std::string& place, Turn& turn) {
  std::string id, text;
  if (auto error = read_required(block, "tool_use_id", place, &id)) return error;
  if (const Json* content = member(block, "content")) {
    if (auto error = read_texts(*content, place + ".content", {"text"}, &text)) return error;
  }
  turn.results.push_back(
      Json::object({{"role", "tool"}, {"tool_call_id", id}, {"content", std::move(text)}}));
  return std::nullopt;
}

MaybeError read_block(const Json& block, const std::string& role, const std::string& place, Turn& turn) {
  std::string type, text;
  if (!block.is_object()) return wrong_type(place, "an object", block);
  if (auto error = read_required(block, "type", place, &type)) return error;
  if (type == "text") {
    if (auto error = read_required(block, "text", place, &text)) return error;
    add_text(text, turn);
    return std::nullopt;
  }
  if (role == "assistant" && type == "thinking") {
    if (auto error = read_required(block, "thinking", place, &text)) return error;
    turn.thinking += text;
    return std::nullopt;
  }
  if (role == "assistant" && type == "redacted_thinking") return std::nullopt;  // nobody here can read it
  if (role == "assistant" && type == "tool_use") return read_tool_use(block, place, turn);
  if (role == "user" && type == "tool_result") return read_tool_result(block, place, turn);
  return invalid_request(
      fmt::format("Content of type '{}' is not supported in a message of the {}.", type.substr(0, 40), role),
      place + ".type");
}

MaybeError read_message(const Json& message, const std::string& place, Json* messages) {
  std::string role;
  if (!message.is_object()) return wrong_type(place, "an object", message);
  if (auto error = read_required(message, "role", place, &role)) return error;
  if (role != "user" && role != "assistant") {
    return invalid_request(
        fmt::format("The role '{}' is not supported: use user or assistant, and 'system' beside the "
                    "messages.",
                    role.substr(0, 40)),
        place + ".role");
  }
  const Json* content = member(message, "content");
  if (content == nullptr)
    return invalid_request(fmt::format("'{}.content' is required.", place), place + ".content");
  if (!content->is_string() && !content->is_array())
    return wrong_type(place + ".content", "a string or a list", *content);
  Turn turn;
  if (content->is_string()) add_text(content->get<std::string>(), turn);
  for (size_t i = 0; content->is_array() && i < content->size(); ++i) {
    if (auto error = read_block((*content)[i], role, fmt::format("{}.content[{}]", place, i), turn))
      return error;
  }
  for (Json& result : turn.results) messages->push_back(std::move(result));
  if (role == "user") {
    if (turn.has_text || turn.results.empty())
      messages->push_back(Json::object({{"role", role}, {"content", turn.text}}));
    return std::nullopt;
  }
  Json out = Json::object({{"role", role}, {"content", turn.text}});
  if (!turn.has_text && !turn.calls.empty()) out["content"] = nullptr;
  if (!turn.thinking.empty()) out["reasoning_content"] = turn.thinking;
  if (!turn.calls.empty()) out["tool_calls"] = std::move(turn.calls);
  messages->push_back(std::move(out));
  return std::nullopt;
}

MaybeError read_conversation(const Json& body, const RequestLimits& limits, Json* messages) {
  if (const Json* system = member(body, "system")) {
    std::string text;
    if (auto error = read_texts(*system, "system", {"text"}, &text)) return error;
    if (!text.empty()) messages->push_back(Json::object({{"role", "system"}, {"content", std::move(text)}}));
  }
  const Json* list = member(body, "messages");
  if (list == nullptr) return invalid_request("'messages' is required.", "messages");
  if (!list->is_array()) return wrong_type("messages", "a list of messages", *list);
  if (list->empty() || list->size() > limits.max_messages) {
    return invalid_request(fmt::format("'messages' must have 1 to {} messages.", limits.max_messages),
                           "messages");
  }
  for (size_t i = 0; i < list->size(); ++i) {
    if (auto error = read_message((*list)[i], fmt::format("messages[{}]", i), messages)) return error;
  }
  return std::nullopt;
}

MaybeError read_tools(const Json& body, const RequestLimits& limits, Json* chat) {
  const Json* tools = member(body, "tools");
  if (tools == nullptr) return std::nullopt;
  if (!tools->is_array() || tools->size() > limits.max_tools)
    return wrong_type("tools", "a list of tools", *tools);
  Json list = Json::array();
  for (size_t i = 0; i < tools->size(); ++i) {
    const std::string place = fmt::format("tools[{}]", i);
    const Json& tool = (*tools)[i];
    if (!tool.is_object()) return wrong_type(place, "an object", tool);
    if (const Json* type = member(tool, "type"); type != nullptr && *type != "custom") {
      return invalid_request("Only tools of one's own are supported, none that Anthropic runs.",
                             place + ".type");
    }
    Json function = Json::object();
    if (const Json* value = member(tool, "name")) function["name"] = *value;
    if (const Json* value = member(tool, "description")) function["description"] = *value;
    if (const Json* value = member(tool, "input_schema")) function["parameters"] = *value;
    list.push_back(Json::object({{"type", "function"}, {"function", std::move(function)}}));
  }
  if (!list.empty()) (*chat)["tools"] = std::move(list);
  return std::nullopt;
}

MaybeError read_tool_choice(const Json& body, Json* chat) {
  const Json* choice = member(body, "tool_choice");
  if (choice == nullptr) return std::nullopt;
  std::string type;
  if (auto error = read_required(*choice, "type", "tool_choice", &type)) return error;
  if (type != "auto" && type != "none") {
    return invalid_request(
        fmt::format("tool_choice '{}' is not supported: calls cannot be forced. Use auto or none.",
                    type.substr(0, 40)),
        "tool_choice.type");
  }
  if (chat->contains("tools")) (*chat)["tool_choice"] = type;
  if (const Json* one = member(*choice, "disable_parallel_tool_use"); one != nullptr && one->is_boolean()) {
    (*chat)["parallel_tool_calls"] = !one->get<bool>();
  }
  return std::nullopt;
}

MaybeError read_thinking(const Json& body, Json* chat) {
  const Json* thinking = member(body, "thinking");
  if (thinking == nullptr) return std::nullopt;
  std::string type;
  if (auto error = read_required(*thinking, "type", "thinking", &type)) return error;
  if (type != "enabled" && type != "disabled" && type != "adaptive") {
    return invalid_request("'thinking.type' must be enabled, adaptive or disabled.", "thinking.type");
  }
  Json& kwargs = (*chat)["chat_template_kwargs"];
  if (kwargs.is_null()) kwargs = Json::object();
  if (!kwargs.is_object()) return wrong_type("chat_template_kwargs", "an object", kwargs);
  kwargs["thinking"] = type != "disabled";
  const Json* budget = member(*thinking, "budget_tokens");
  if (budget != nullptr && type == "enabled") (*chat)["thinking_token_budget"] = *budget;
  return std::nullopt;
}

Result<ChatCompletionRequest> convert(const Json& body, MessagesUse use, const RequestLimits& limits) {
  Json chat = Json::object({{"messages", Json::array()}});
  if (auto error = read_conversation(body, limits, &chat["messages"])) return *error;
  if (auto error = read_tools(body, limits, &chat)) return *error;
  if (auto error = read_tool_choice(body, &chat)) return *error;
  if (const Json* kwargs = member(body, "chat_template_kwargs")) chat["chat_template_kwargs"] = *kwargs;
  if (auto error = read_thinking(body, &chat)) return *error;
  if (const Json* stops = member(body, "stop_sequences")) chat["stop"] = *stops;
  const Json& last = chat["messages"].back();
  if (last["role"] == "assistant" && last["content"].is_string()) {
    chat["continue_final_message"] = true;
    chat["add_generation_prompt"] = false;
  }
  if (use == MessagesUse::kAnswer && member(body, "max_tokens") == nullptr) {
    return invalid_request("'max_tokens' is required.", "max_tokens");
  }
  pass_through(body,
               {"messages", "tools", "tool_choice", "stop", "n", "logprobs", "top_logprobs", "stream_options",
                "resume", "metadata", "thinking", "max_completion_tokens", "response_format"},
               &chat);
  return parse_converted(chat, "messages", limits);
}

}  // namespace

Result<ChatCompletionRequest> parse_messages(std::string_view json, MessagesUse use,
                                             const RequestLimits& limits) {
  try {
    Json body;
    if (auto error = read_body(json, &body)) return *error;
    return convert(body, use, limits);
  } catch (const std::exception& e) {
    return invalid_request(fmt::format("The request cannot be read: {}", e.what()));
  }
}

std::string anthropic_error_body(const ApiError& error) {
  std::string out = "{\"type\":\"error\",\"error\":{\"type\":";
  append_json_string(anthropic_type(error.status), &out);
  out += ",\"message\":";
  append_json_string(error.message, &out);
  return out + "}}";
}

}  // namespace hadal::openai
