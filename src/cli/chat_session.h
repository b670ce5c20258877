// A conversation of `hadal chat`: its turns, its settings, what a typed line means. Knows no terminal and no
// server.
//
// Threads: one.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace hadal {

struct ChatSettings {
  std::string model;
  std::string system;  // "": none
  std::optional<double> temperature;
  std::optional<int64_t> max_tokens;
  bool thinking = false;
};

class ChatSession {
 public:
  explicit ChatSession(ChatSettings settings) : settings_(std::move(settings)) {}

  enum class Action : uint8_t { kNothing, kAsk, kQuit };
  struct Outcome {
    Action action = Action::kNothing;
    std::string say;  // to the user
  };
  /// A line is a question, or a command that begins with '/'; "//" begins a question with one slash.
  Outcome take_line(std::string_view line);

  /// The body of the request that the last question makes.
  std::string request() const;
  /// The answer, or what there is of it.
  void add_answer(std::string text);
  /// The question had no answer: it is forgotten.
  void drop_question();

  const ChatSettings& settings() const { return settings_; }
  size_t turns() const { return messages_.size(); }

  /// A JSON object of system and messages, as save() writes it.
  std::string to_json() const;
  Status from_json(std::string_view text);

  static const char* help();

 private:
  Outcome command(std::string_view name, const std::string& argument);
  Outcome set_temperature(const std::string& argument);
  Outcome regenerate();
  Outcome save(const std::string& path) const;
  Outcome load(const std::string& path);

  ChatSettings settings_;
  nlohmann::ordered_json messages_ = nlohmann::ordered_json::array();  // without the system message
};

}  // namespace hadal
