#include "cli/chat_session.h"

#include <charconv>

#include "base/files.h"

namespace hadal {
namespace {

using Json = nlohmann::ordered_json;
constexpr uint64_t kMaxFile = uint64_t{64} << 20;

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") + 1 - first);
}

std::string written(const Json& value, int indent) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

const char* ChatSession::help() {
  return "/system TEXT       the system message; without TEXT none\n"
         "/temperature T     0 to 2; without T the model's own\n"
         "/think             switches thinking on or off\n"
         "/regenerate        another answer to the last question\n"
         "/save FILE         writes the conversation\n"
         "/load FILE         goes on with a saved one\n"
         "/clear             begins anew\n"
         "/quit              (or Ctrl-D) ends\n"
         "Ctrl-C stops an answer. A line that begins with // is a question that begins with /.";
}

ChatSession::Outcome ChatSession::take_line(std::string_view line) {
  line = trimmed(line);
  if (line.empty()) return {};
  if (line[0] == '/' && !line.starts_with("//")) {
    const size_t blank = std::min(line.find(' '), line.size());
    return command(line.substr(1, blank - 1), std::string(trimmed(line.substr(blank))));
  }
  if (line.starts_with("//")) line.remove_prefix(1);
  messages_.push_back(Json::object({{"role", "user"}, {"content", std::string(line)}}));
  return {Action::kAsk, ""};
}

ChatSession::Outcome ChatSession::command(std::string_view name, const std::string& argument) {
  if (name == "quit" || name == "exit") return {Action::kQuit, ""};
  if (name == "help") return {Action::kNothing, help()};
  if (name == "temperature") return set_temperature(argument);
  if (name == "regenerate") return regenerate();
  if (name == "save") return save(argument);
  if (name == "load") return load(argument);
  if (name == "system") {
    settings_.system = argument;
    return {Action::kNothing, argument.empty() ? "no system message" : "system message set"};
  }
  if (name == "think") {
    settings_.thinking = !settings_.thinking;
    return {Action::kNothing, settings_.thinking ? "thinking on" : "thinking off"};
  }
  if (name == "clear") {
    messages_ = Json::array();
    return {Action::kNothing, "the conversation begins anew"};
  }
  return {Action::kNothing, fmt::format("/{} is not known; /help lists the commands", name)};
}

ChatSession::Outcome ChatSession::set_temperature(const std::string& argument) {
  if (argument.empty()) {
    settings_.temperature.reset();
    return {Action::kNothing, "the model's own temperature"};
  }
  double value = 0;
  const auto [end, error] = std::from_chars(argument.data(), argument.data() + argument.size(), value);
  if (error != std::errc() || end != argument.data() + argument.size() || !(value >= 0 && value <= 2))
    return {Action::kNothing, "a temperature is a number from 0 to 2"};
  settings_.temperature = value;
  return {Action::kNothing, fmt::format("temperature {}", value)};
}

ChatSession::Outcome ChatSession::regenerate() {
  if (!messages_.empty() && messages_.back()["role"] == "assistant") messages_.erase(messages_.size() - 1);
  if (messages_.empty()) return {Action::kNothing, "nothing was asked yet"};
  return {Action::kAsk, ""};
}

ChatSession::Outcome ChatSession::save(const std::string& path) const {
  if (path.empty()) return {Action::kNothing, "/save needs a file name"};
  const Status status = write_file(path, to_json());
  return {Action::kNothing, status.ok() ? fmt::format("saved to {}", path) : std::string(message_of(status))};
}

ChatSession::Outcome ChatSession::load(const std::string& path) {
  if (path.empty()) return {Action::kNothing, "/load needs a file name"};
  const auto text = read_file(path, kMaxFile);
  const Status status = text.ok() ? from_json(*text) : text.status();
  return {Action::kNothing,
          status.ok() ? fmt::format("{} turns from {}", turns(), path) : std::string(message_of(status))};
}

std::string ChatSession::request() const {
  Json body = Json::object({{"model", settings_.model}, {"messages", Json::array()}, {"stream", true}});
  if (!settings_.system.empty())
    body["messages"].push_back(Json::object({{"role", "system"}, {"content", settings_.system}}));
  for (const Json& message : messages_) body["messages"].push_back(message);
  if (settings_.temperature) body["temperature"] = *settings_.temperature;
  if (settings_.max_tokens) body["max_tokens"] = *settings_.max_tokens;
  body["chat_template_kwargs"] =
      Json::object({{"thinking", settings_.thinking}, {"enable_thinking", settings_.thinking}});
  body["stream_options"] = Json::object({{"include_usage", true}});
  return written(body, -1);
}

void ChatSession::add_answer(std::string text) {
  messages_.push_back(Json::object({{"role", "assistant"}, {"content", std::move(text)}}));
}

void ChatSession::drop_question() {
  if (!messages_.empty() && messages_.back()["role"] == "user") messages_.erase(messages_.size() - 1);
}

std::string ChatSession::to_json() const {
  return written(Json::object({{"system", settings_.system}, {"messages", messages_}}), 2) + "\n";
}

Status ChatSession::from_json(std::string_view text) {
  const Json tree = Json::parse(text, nullptr, false);
  const auto list = tree.is_object() ? tree.find("messages") : tree.end();
  if (!tree.is_object() || list == tree.end() || !list->is_array())
    return invalid_argument("this is no saved conversation: a JSON object with messages is wanted");
  Json messages = Json::array();
  for (const Json& message : *list) {
    const bool good = message.is_object() && message.contains("role") && message.contains("content") &&
                      (message["role"] == "user" || message["role"] == "assistant") &&
                      message["content"].is_string();
    if (!good)
      return invalid_argument("message {}: a role (user or assistant) and a text are wanted",
                              messages.size() + 1);
    messages.push_back(Json::object({{"role", message["role"]}, {"content", message["content"]}}));
  }
  const auto system = tree.find("system");
  settings_.system = system != tree.end() && system->is_string() ? system->get<std::string>() : "";
  messages_ = std::move(messages);
  return OkStatus();
}

}  // namespace hadal
