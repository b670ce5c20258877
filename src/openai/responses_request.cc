// /v1/responses read as a chat completion.
#include "openai/converted.h"
#include "openai/converted_parts.h"

namespace hadal::openai {
namespace {

const std::vector<std::string_view> kTextTypes = {"input_text", "output_text", "text", "refusal"};

/// The list of messages being made; consecutive parts of an assistant's turn become one message.
class Conversation {
 public:
  explicit Conversation(Json* messages) : messages_(messages) {}

  void add(const std::string& role, std::string content) {
    Json message = Json::object({{"role", role}, {"content", std::move(content)}});
    if (role == "assistant" && !reasoning_.empty())
      message["reasoning_content"] = std::exchange(reasoning_, {});
    messages_->push_back(std::move(message));
  }
  void add_reasoning(const std::string& text) { reasoning_ += text; }
  void add_call(const std::string& id, const std::string& name, const std::string& arguments) {
    const bool open = !messages_->empty() && messages_->back()["role"] == "assistant";
    if (!open) {
      messages_->push_back(Json::object({{"role", "assistant"}, {"content", nullptr}}));
      if (!reasoning_.empty()) messages_->back()["reasoning_content"] = std::exchange(reasoning_, {});
    }
    Json& calls = messages_->back()["tool_calls"];
    if (calls.is_null()) calls = Json::array();
    calls.push_back(Json::object(
        {{"id", id}, {"type", "function"}, {"function", {{"name", name}, {"arguments", arguments}}}}));
  }
  void add_output(const std::string& id, std::string output) {
    messages_->push_back(
        Json::object({{"role", "tool"}, {"tool_call_id", id}, {"content", std::move(output)}}));
  }

 private:
  Json* messages_;
  std::string reasoning_;  // of the assistant's turn that follows
};

MaybeError read_message_item(const Json& item, const std::string& place, Conversation& conversation) {
  std::string role, text;
  if (auto error = read_required(item, "role", place, &role)) return error;
  const Json* content = member(item, "content");
  if (content == nullptr)
    return invalid_request(fmt::format("'{}.content' is required.", place), place + ".content");
  if (auto error = read_texts(*content, place + ".content", kTextTypes, &text)) return error;
  conversation.add(role, std::move(text));
  return std::nullopt;
}

MaybeError read_item(const Json& item, const std::string& place, Conversation& conversation) {
  if (!item.is_object()) return wrong_type(place, "an object", item);
  std::string type = "message";
  if (const Json* value = member(item, "type")) {
    if (auto error = read_string(*value, place + ".type", &type)) return error;
  }
  if (type == "message") return read_message_item(item, place, conversation);
  std::string id, name, text;
  if (type == "function_call") {
    if (auto error = read_required(item, "call_id", place, &id)) return error;
    if (auto error = read_required(item, "name", place, &name)) return error;
    if (auto error = read_required(item, "arguments", place, &text)) return error;
    conversation.add_call(id, name, text);
    return std::nullopt;
  }
  if (type == "function_call_output") {
    if (auto error = read_required(item, "call_id", place, &id)) return error;
    const Json* output = member(item, "output");
    if (output == nullptr)
      return invalid_request(fmt::format("'{}.output' is required.", place), place + ".output");
    if (auto error = read_texts(*output, place + ".output", kTextTypes, &text)) return error;
    conversation.add_output(id, std::move(text));
    return std::nullopt;
  }
  if (type == "reasoning") {
    const Json* content = member(item, "content");
    if (content != nullptr) {
      if (auto error = read_texts(*content, place + ".content", {"reasoning_text"}, &text)) return error;
    }
    conversation.add_reasoning(text);
    return std::nullopt;
  }
  return invalid_request(
      fmt::format("Input of type '{}' is not supported: message, function_call, function_call_output "
                  "and reasoning are.",
                  type.substr(0, 40)),
      place + ".type");
}

MaybeError read_input(const Json& body, const RequestLimits& limits, Json* messages) {
  Conversation conversation(messages);
  if (const Json* instructions = member(body, "instructions")) {
    std::string text;
    if (auto error = read_string(*instructions, "instructions", &text)) return error;
    conversation.add("system", std::move(text));
  }
  const Json* input = member(body, "input");
  if (input == nullptr) return invalid_request("'input' is required.", "input");
  if (input->is_string()) {
    conversation.add("user", input->get<std::string>());
    return std::nullopt;
  }
  if (!input->is_array()) return wrong_type("input", "a string or a list of items", *input);
  if (input->empty() || input->size() > limits.max_messages) {
    return invalid_request(fmt::format("'input' must have 1 to {} items.", limits.max_messages), "input");
  }
  for (size_t i = 0; i < input->size(); ++i) {
    if (auto error = read_item((*input)[i], fmt::format("input[{}]", i), conversation)) return error;
  }
  return std::nullopt;
}

MaybeError read_tools(const Json& body, const RequestLimits& limits, Json* chat) {
  const Json* tools = member(body, "tools");
  if (tools == nullptr) return std::nullopt;
  if (!tools->is_array() || tools->size() > limits.max_tools)
    return wrong_type("tools", "a list of functions", *tools);
  Json list = Json::array();
  for (size_t i = 0; i < tools->size(); ++i) {
    const std::string place = fmt::format("tools[{}]", i);
    const Json& tool = (*tools)[i];
    std::string type;
    if (auto error = read_required(tool, "type", place, &type)) return error;
    if (type != "function") {
      return invalid_request(
          fmt::format("Tools of type '{}' are not supported: only functions are.", type.substr(0, 40)),
          place + ".type");
    }
    Json function = Json::object();
    for (const char* key : {"name", "description", "parameters", "strict"}) {
      if (const Json* value = member(tool, key)) function[key] = *value;
    }
    list.push_back(Json::object({{"type", "function"}, {"function", std::move(function)}}));
  }
  (*chat)["tools"] = std::move(list);
  return std::nullopt;
}

/// What would need a store of answers, or another kind of output.
MaybeError refuse_unsupported(const Json& body) {
  for (const char* key : {"previous_response_id", "conversation", "prompt"}) {
    if (member(body, key) == nullptr) continue;
    return invalid_request(
        fmt::format("'{}' is not supported: this server stores nothing. Send the whole input.", key), key);
  }
  if (const Json* background = member(body, "background"); background != nullptr && *background != false) {
    return invalid_request("'background' is not supported: this server stores nothing.", "background");
  }
  if (const Json* truncation = member(body, "truncation");
      truncation != nullptr && *truncation != "disabled") {
    return invalid_request("'truncation' other than \"disabled\" is not supported.", "truncation");
  }
  if (const Json* top = member(body, "top_logprobs"); top != nullptr && *top != 0) {
    return invalid_request("'top_logprobs' is not supported here; /v1/chat/completions has it.", "top_logprobs");
  }
  if (const Json* include = member(body, "include"); include != nullptr && include->is_array()) {
    for (const Json& one : *include) {
      if (one != "message.output_text.logprobs") continue;
      return invalid_request("'include' of log-probabilities is not supported here; /v1/chat/completions has them.",
                             "include");
    }
  }
  const Json* text = member(body, "text");
  const Json* format = text == nullptr ? nullptr : member(*text, "format");
  const Json* type = format == nullptr ? nullptr : member(*format, "type");
  if (type != nullptr && *type != "text") {
    return invalid_request("'text.format' other than {\"type\": \"text\"} is not supported.",
                           "text.format.type");
  }
  return std::nullopt;
}

MaybeError add_reasoning(const Json& body, Json* chat) {
  const Json* reasoning = member(body, "reasoning");
  if (reasoning == nullptr) return std::nullopt;
  if (!reasoning->is_object()) return wrong_type("reasoning", "an object", *reasoning);
  if (const Json* effort = member(*reasoning, "effort")) (*chat)["reasoning_effort"] = *effort;
  return std::nullopt;
}

/// What the answer's object says again.
Json shown_of(const Json& body) {
  Json shown = Json::object();
  const auto show = [&](const char* key, Json absent) {
    const Json* value = member(body, key);
    shown[key] = value != nullptr ? *value : std::move(absent);
  };
  show("instructions", nullptr);
  show("max_output_tokens", nullptr);
  show("metadata", Json::object());
  show("parallel_tool_calls", true);
  show("reasoning", Json::object({{"effort", nullptr}, {"summary", nullptr}}));
  show("temperature", 1.0);
  show("tool_choice", "auto");
  show("tools", Json::array());
  show("top_p", 1.0);
  show("user", nullptr);
  return shown;
}

Result<ResponsesRequest> convert(const Json& body, const RequestLimits& limits) {
  if (auto error = refuse_unsupported(body)) return *error;
  Json chat = Json::object({{"messages", Json::array()}});
  if (auto error = read_input(body, limits, &chat["messages"])) return *error;
  if (auto error = read_tools(body, limits, &chat)) return *error;
  if (auto error = add_reasoning(body, &chat)) return *error;
  if (const Json* most = member(body, "max_output_tokens")) chat["max_completion_tokens"] = *most;
  if (chat.contains("tools")) {
    if (const Json* choice = member(body, "tool_choice")) chat["tool_choice"] = *choice;
  }
  pass_through(body,
               {"messages", "tools", "tool_choice", "n", "logprobs", "top_logprobs", "stream_options",
                "resume", "metadata", "store", "max_tokens", "max_completion_tokens", "response_format"},
               &chat);
  auto parsed = parse_converted(chat, "input", limits);
  if (!parsed.ok()) return parsed.error();
  ResponsesRequest request;
  static_cast<ChatCompletionRequest&>(request) = std::move(*parsed);
  request.shown = std::make_shared<Json>(shown_of(body));
  return request;
}

}  // namespace

Result<ResponsesRequest> parse_responses(std::string_view json, const RequestLimits& limits) {
  try {
    Json body;
    if (auto error = read_body(json, &body)) return *error;
    return convert(body, limits);
  } catch (const std::exception& e) {  // the JSON library's own errors; none is expected
    return invalid_request(fmt::format("The request cannot be read: {}", e.what()));
  }
}

}  // namespace hadal::openai
