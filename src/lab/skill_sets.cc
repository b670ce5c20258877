#include "lab/skill_sets.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <optional>

#include "base/files.h"
#include "lab/skill_match.h"

namespace hadal {
namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

constexpr std::string_view kAsk = "{ask}";
constexpr uint64_t kLargestSet = uint64_t{64} << 20;

std::optional<SkillMatch> match_of(const std::string& name) {
  if (name == "exact") return SkillMatch::kExact;
  if (name == "number") return SkillMatch::kNumber;
  if (name == "contains") return SkillMatch::kContains;
  if (name == "json-schema") return SkillMatch::kJsonSchema;
  if (name == "tool-call") return SkillMatch::kToolCall;
  return std::nullopt;
}

std::string text_or(const OrderedJson& line, const char* key, std::string otherwise) {
  const auto found = line.find(key);
  return found != line.end() && found->is_string() ? found->get<std::string>() : std::move(otherwise);
}

bool are_messages(const OrderedJson& line) {
  const auto found = line.find("messages");
  return found != line.end() && found->is_array() && !found->empty() &&
         std::all_of(found->begin(), found->end(),
                     [](const OrderedJson& m) { return m.is_object() && m.contains("role"); });
}

/// What all questions of a line have in common.
Status read_common(const OrderedJson& line, SkillQuestion* question) {
  if (!line.is_object()) return invalid_argument("is no JSON object");
  question->skill = text_or(line, "skill", "");
  question->language = text_or(line, "language", "");
  if (question->skill.empty() || question->language.empty())
    return invalid_argument("needs skill and language");
  if (!are_messages(line)) return invalid_argument("needs messages, a list of objects with a role");
  question->messages = line["messages"];
  const auto match = match_of(text_or(line, "match", ""));
  if (!match) {
    return invalid_argument("needs match: exact, number, contains, json-schema or tool-call");
  }
  question->match = *match;
  question->tools = line.value("tools", OrderedJson());
  question->thinking = line.value("thinking", OrderedJson(false)) == true;
  const auto limit = line.find("max_tokens");
  if (limit != line.end()) {
    if (!limit->is_number_integer() || *limit < 1 || *limit > 1 << 20)
      return invalid_argument("max_tokens must be a positive integer");
    question->max_tokens = limit->get<int32_t>();
  }
  const auto bar = line.find("bar");
  if (bar != line.end()) {
    if (!bar->is_number()) return invalid_argument("bar must be a number (percent)");
    question->bar = bar->get<double>();
  }
  if (question->match == SkillMatch::kJsonSchema) {
    question->schema = Json(line.value("schema", OrderedJson()));
    return check_schema(question->schema);
  }
  return OkStatus();
}

Status check_gold(const SkillQuestion& question) {
  const Json& gold = question.gold;
  switch (question.match) {
    case SkillMatch::kExact:
    case SkillMatch::kNumber:
      return gold.is_string() ? OkStatus() : invalid_argument("gold must be a string");
    case SkillMatch::kContains: {
      const bool texts = gold.is_array() && !gold.empty() &&
                         std::all_of(gold.begin(), gold.end(), [](const Json& g) { return g.is_string(); });
      return gold.is_string() || texts ? OkStatus() : invalid_argument("gold must be a string or some");
    }
    case SkillMatch::kToolCall: {
      const bool calls = gold.is_array() && std::all_of(gold.begin(), gold.end(), [](const Json& g) {
                           return g.is_object() && g.contains("name") && g.contains("arguments");
                         });
      return calls ? OkStatus() : invalid_argument("gold must list calls, each with name and arguments");
    }
    case SkillMatch::kJsonSchema:
      return OkStatus();
  }
  return OkStatus();
}

Status add_asks(const OrderedJson& asks, const SkillQuestion& common, std::vector<SkillQuestion>* out) {
  const std::string text = text_or(common.messages.back(), "content", "");
  const size_t at = text.find(kAsk);
  if (at == std::string::npos) return invalid_argument("has asks, but no {{ask}} in its last message");
  for (const OrderedJson& entry : asks) {
    const std::string ask = text_or(entry, "ask", "");
    if (ask.empty() || !entry.contains("gold")) return invalid_argument("each of asks needs ask and gold");
    SkillQuestion question = common;
    question.messages.back()["content"] = text.substr(0, at) + ask + text.substr(at + kAsk.size());
    question.gold = Json(entry["gold"]);
    RETURN_IF_ERROR(check_gold(question));
    out->push_back(std::move(question));
  }
  return OkStatus();
}

Status add_line(std::string_view text, std::vector<SkillQuestion>* out) {
  const auto line = OrderedJson::parse(text, nullptr, false);
  SkillQuestion question;
  RETURN_IF_ERROR(read_common(line, &question));
  const auto asks = line.find("asks");
  if (asks != line.end()) return add_asks(*asks, question, out);
  if (!line.contains("gold")) return invalid_argument("needs gold");
  question.gold = Json(line["gold"]);
  RETURN_IF_ERROR(check_gold(question));
  out->push_back(std::move(question));
  return OkStatus();
}

StatusOr<std::vector<std::string>> files_of(const std::string& path) {
  if (!directory_exists(path)) return std::vector<std::string>{path};
  std::vector<std::string> files;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
    if (entry.path().extension() == ".jsonl") files.push_back(entry.path().string());
  }
  if (error) return unavailable("{}: {}", path, error.message());
  if (files.empty()) return not_found("{} holds no test set (*.jsonl)", path);
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

StatusOr<std::vector<SkillQuestion>> parse_skill_set(std::string_view text, const std::string& name) {
  std::vector<SkillQuestion> questions;
  for (int number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const Status status = add_line(line, &questions);
    if (!status.ok()) return invalid_argument("{}, line {} {}", name, number, message_of(status));
  }
  return questions;
}

StatusOr<std::vector<SkillQuestion>> read_skill_sets(const std::string& path) {
  ASSIGN_OR_RETURN(const std::vector<std::string> files, files_of(path));
  std::vector<SkillQuestion> questions;
  for (const std::string& file : files) {
    ASSIGN_OR_RETURN(const std::string text, read_file(file, kLargestSet));
    ASSIGN_OR_RETURN(std::vector<SkillQuestion> more, parse_skill_set(text, file));
    std::move(more.begin(), more.end(), std::back_inserter(questions));
  }
  if (questions.empty()) return not_found("{} holds no question", path);
  return questions;
}

}  // namespace hadal
