#include "lab/skill_match.h"

#include <algorithm>

namespace hadal {
namespace {

using Json = nlohmann::json;

// DeepSeek-V3.1's marks around the calls of an answer.
constexpr std::string_view kCall = "<｜tool▁call▁begin｜>";
constexpr std::string_view kSeparator = "<｜tool▁sep｜>";
constexpr std::string_view kCallEnd = "<｜tool▁call▁end｜>";

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_word(char c) { return is_digit(c) || is_upper(c) || (c >= 'a' && c <= 'z'); }

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = is_upper(c) ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

bool is_of_type(const Json& value, const std::string& type) {
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_boolean();
  if (type == "null") return value.is_null();
  if (type == "integer") return value.is_number_integer();
  return type == "number" && value.is_number();
}

bool fits_object(const Json& value, const Json& schema) {
  const Json properties = schema.value("properties", Json::object());
  for (const Json& key : schema.value("required", Json::array())) {
    if (!value.contains(key.get<std::string>())) return false;
  }
  for (const auto& [key, member] : value.items()) {
    const auto known = properties.find(key);
    if (known == properties.end()) {
      if (schema.value("additionalProperties", true) == false) return false;
    } else if (!fits_schema(member, *known)) {
      return false;
    }
  }
  return true;
}

Status check_keyword(const std::string& key, const Json& value) {
  if (key == "title" || key == "description" || key == "$schema") return OkStatus();
  if (key == "type") {
    constexpr const char* kTypes[] = {"object", "array", "string", "boolean", "null", "integer", "number"};
    const bool known = value.is_string() && std::any_of(std::begin(kTypes), std::end(kTypes),
                                                        [&](const char* type) { return value == type; });
    return known ? OkStatus() : invalid_argument("has a schema of an unknown type");
  }
  if (key == "enum") return value.is_array() ? OkStatus() : invalid_argument("has an enum that is no list");
  if (key == "items") return check_schema(value);
  if (key == "additionalProperties")
    return value.is_boolean() ? OkStatus()
                              : invalid_argument("has additionalProperties beyond true and false");
  if (key == "required") {
    const bool names = value.is_array() && std::all_of(value.begin(), value.end(),
                                                       [](const Json& name) { return name.is_string(); });
    return names ? OkStatus() : invalid_argument("has a schema whose required is no list of names");
  }
  if (key != "properties") return invalid_argument("has a schema with '{}', which is not implemented", key);
  if (!value.is_object()) return invalid_argument("has a schema whose properties are no object");
  for (const Json& member : value) RETURN_IF_ERROR(check_schema(member));
  return OkStatus();
}

bool contains_any(std::string_view text, const Json& gold) {
  if (gold.is_string()) return contains_word(text, gold.get<std::string>());
  return std::any_of(gold.begin(), gold.end(),
                     [&](const Json& word) { return contains_word(text, word.get<std::string>()); });
}

Verdict judge_json(const SkillQuestion& question, std::string_view text) {
  const Json value = Json::parse(trimmed(text), nullptr, false);
  if (value.is_discarded() || !fits_schema(value, question.schema)) return {};
  return {.right = value == question.gold, .valid = true};
}

Json calls_of_list(const Json& list) {
  Json out = Json::array();
  for (const Json& call : list) {
    const Json function = call.is_object() ? call.value("function", Json()) : Json();
    if (!function.is_object() || !function.contains("name")) return nullptr;
    Json arguments = function.value("arguments", Json());
    if (arguments.is_string()) arguments = Json::parse(arguments.get<std::string>(), nullptr, false);
    if (arguments.is_discarded()) return nullptr;
    out.push_back({{"name", function["name"]}, {"arguments", std::move(arguments)}});
  }
  return out;
}

Json calls_of_text(std::string_view text) {
  Json out = Json::array();
  for (size_t at = text.find(kCall); at != std::string_view::npos; at = text.find(kCall)) {
    text.remove_prefix(at + kCall.size());
    const size_t separator = text.find(kSeparator), end = text.find(kCallEnd);
    if (separator == std::string_view::npos || end == std::string_view::npos || end < separator)
      return nullptr;
    const std::string_view body =
        text.substr(separator + kSeparator.size(), end - separator - kSeparator.size());
    Json arguments = Json::parse(body, nullptr, false);
    if (arguments.is_discarded()) return nullptr;
    out.push_back(
        {{"name", std::string(trimmed(text.substr(0, separator)))}, {"arguments", std::move(arguments)}});
    text.remove_prefix(end + kCallEnd.size());
  }
  return out;
}

}  // namespace

std::optional<std::string> last_number(std::string_view text) {
  size_t end = text.size();
  while (end > 0 && !is_digit(text[end - 1])) --end;
  if (end == 0) return std::nullopt;
  // backwards over digits, and over a point or comma that digits surround
  size_t first = end - 1;
  while (first > 0) {
    const bool joins =
        (text[first - 1] == '.' || text[first - 1] == ',') && first > 1 && is_digit(text[first - 2]);
    if (!is_digit(text[first - 1]) && !joins) break;
    --first;
  }
  std::string number(text.substr(first, end - first));
  number.erase(std::remove(number.begin(), number.end(), ','), number.end());
  // a minus is a sign unless something that can be subtracted from stands right before it
  const bool minus = first > 0 && text[first - 1] == '-';
  const bool sign = minus && (first == 1 || (!is_word(text[first - 2]) && text[first - 2] != ')'));
  return sign ? "-" + number : number;
}

bool contains_word(std::string_view text, std::string_view word) {
  const bool exact_case = std::any_of(word.begin(), word.end(), is_upper);
  const std::string in = exact_case ? std::string(text) : lower(text);
  if (word.empty()) return false;
  for (size_t at = in.find(word); at != std::string::npos; at = in.find(word, at + 1)) {
    const size_t end = at + word.size();
    const bool begins = at == 0 || !is_word(word.front()) || !is_word(in[at - 1]);
    const bool ends = end == in.size() || !is_word(word.back()) || !is_word(in[end]);
    if (begins && ends) return true;
  }
  return false;
}

Json calls_of(const SkillAnswer& answer) {
  if (answer.tool_calls.is_array() && !answer.tool_calls.empty()) return calls_of_list(answer.tool_calls);
  return calls_of_text(answer.content);
}

Status check_schema(const Json& schema) {
  if (!schema.is_object()) return invalid_argument("needs a schema that is an object");
  for (const auto& [key, value] : schema.items()) RETURN_IF_ERROR(check_keyword(key, value));
  return OkStatus();
}

bool fits_schema(const Json& value, const Json& schema) {
  const auto type = schema.find("type");
  if (type != schema.end() && !is_of_type(value, type->get<std::string>())) return false;
  const auto choices = schema.find("enum");
  if (choices != schema.end() && std::find(choices->begin(), choices->end(), value) == choices->end())
    return false;
  if (value.is_array() && schema.contains("items")) {
    return std::all_of(value.begin(), value.end(),
                       [&](const Json& item) { return fits_schema(item, schema["items"]); });
  }
  return !value.is_object() || fits_object(value, schema);
}

Verdict judge(const SkillQuestion& question, const SkillAnswer& answer) {
  const std::string_view said = trimmed(answer.content);
  bool right = false;
  switch (question.match) {
    case SkillMatch::kExact:
      right = said == question.gold.get<std::string>();
      break;
    case SkillMatch::kNumber:
      right = last_number(said) == question.gold.get<std::string>();
      break;
    case SkillMatch::kContains:
      right = contains_any(said, question.gold);
      break;
    case SkillMatch::kJsonSchema:
      return judge_json(question, said);
    case SkillMatch::kToolCall:
      right = calls_of(answer) == question.gold;
      break;
  }
  return {.right = right, .valid = right};
}

}  // namespace hadal
