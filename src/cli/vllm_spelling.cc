#include "cli/vllm_spelling.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>

#include "base/status.h"

namespace hadal {
namespace {

using Json = nlohmann::ordered_json;

bool has_option(const OptionTable& table, std::string_view name) {
  return std::any_of(table.rows().begin(), table.rows().end(), [name](const OptionRow& row) {
    if (row.positional) return false;
    const std::vector<std::string> names = names_of(row);
    return std::find(names.begin(), names.end(), name) != names.end();
  });
}

/// "-O3", a letter with its number; CLI11 looks for an option of that name where names of several letters
/// ("-tp") are allowed.
bool has_number_attached(const OptionTable& table, const std::string& typed) {
  return typed.size() > 2 && typed.find_first_not_of("0123456789", 2) == std::string::npos &&
         has_option(table, typed.substr(0, 2));
}

/// Puts `text` at `path` ("a.b") of `object`; what is no JSON is a text.
void put(Json& object, std::string_view path, const std::string& text) {
  Json* place = &object;
  for (;;) {
    const size_t dot = std::min(path.find('.'), path.size());
    if (!place->is_object()) *place = Json::object();
    place = &(*place)[std::string(path.substr(0, dot))];
    if (dot == path.size()) break;
    path.remove_prefix(dot + 1);
  }
  Json value = Json::parse(text, nullptr, false);
  *place = value.is_discarded() ? Json(text) : std::move(value);
}

}  // namespace

std::vector<std::string> spelled_as_in(const OptionTable& table, const std::vector<std::string>& arguments) {
  std::vector<std::string> spelled;
  std::map<std::string, Json> objects;  // by option, of its dotted names
  size_t i = 0;
  for (; i < arguments.size() && arguments[i] != "--"; ++i) {
    const std::string& typed = arguments[i];
    const size_t equals = std::min(typed.find('='), typed.size());
    std::string name = typed.substr(0, equals);
    if (!name.starts_with("-")) {
      spelled.push_back(typed);
      continue;
    }
    if (has_number_attached(table, typed)) {
      spelled.insert(spelled.end(), {typed.substr(0, 2), typed.substr(2)});
      continue;
    }
    const size_t dot = name.find('.');
    const std::string path = dot == std::string::npos ? "" : name.substr(dot + 1);
    name.resize(std::min(dot, name.size()));
    std::replace(name.begin(), name.end(), '_', '-');
    if (!has_option(table, name) || (dot != std::string::npos && path.empty())) {
      spelled.push_back(typed);
    } else if (path.empty()) {
      spelled.push_back(name + typed.substr(equals));
    } else if (equals < typed.size()) {
      put(objects[name], path, typed.substr(equals + 1));
    } else if (i + 1 < arguments.size()) {
      put(objects[name], path, arguments[++i]);
    }
  }
  for (const auto& [name, object] : objects) spelled.push_back(name + "=" + object.dump());
  spelled.insert(spelled.end(), arguments.begin() + static_cast<std::ptrdiff_t>(i), arguments.end());
  return spelled;
}

std::string plain_integer(std::string text) {
  constexpr std::string_view kLetters = "kmgt";
  if (text.size() < 2) return text;
  const char letter = text.back();
  const size_t power = kLetters.find(static_cast<char>(std::tolower(static_cast<unsigned char>(letter))));
  const std::string number = text.substr(0, text.size() - 1);
  const bool binary = std::isupper(static_cast<unsigned char>(letter)) != 0;
  const bool digits = number.find_first_not_of(binary ? "0123456789" : "0123456789.") == std::string::npos;
  if (power == std::string_view::npos || !digits || number.size() > 12 ||
      std::count(number.begin(), number.end(), '.') > 1 || number.front() == '.' || number.back() == '.') {
    return text;
  }
  const double value = std::strtod(number.c_str(), nullptr) *
                       std::pow(binary ? 1024.0 : 1000.0, static_cast<double>(power + 1));
  return value < 9e18 ? fmt::format("{}", std::llround(value)) : text;
}

}  // namespace hadal
