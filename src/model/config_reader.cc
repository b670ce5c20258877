#include "model/config_reader.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "tensor/printable.h"

namespace hadal {
namespace {

using Json = nlohmann::json;

/// A value as an error message shows it. Never the whole of a list or object.
std::string shown(const Json& value) {
  if (value.is_string()) return printable(value.get_ref<const std::string&>());
  if (value.is_structured()) return value.is_array() ? "a list" : "an object";
  return value.dump();
}

/// An integral number, also where a tool has written it as 4096.0.
std::optional<int64_t> as_integer(const Json& value) {
  if (value.is_number_unsigned()) {
    const auto number = value.get<uint64_t>();
    if (number > static_cast<uint64_t>(INT64_MAX)) return std::nullopt;
    return static_cast<int64_t>(number);
  }
  if (value.is_number_integer()) return value.get<int64_t>();
  if (!value.is_number_float()) return std::nullopt;
  const double number = value.get<double>();
  if (std::fabs(number) > 9007199254740992.0 || std::floor(number) != number) return std::nullopt;
  return static_cast<int64_t>(number);
}

/// Values that switch nothing on.
bool is_neutral(const Json& value) {
  if (value.is_null() || (value.is_boolean() && !value.get<bool>())) return true;
  if (value.is_number()) return value.get<double>() == 0;
  if (value.is_string()) return value.get_ref<const std::string&>().empty();
  return value.is_structured() && value.empty();
}

}  // namespace

StatusOr<Json> parse_config_object(std::string_view text, std::string_view where) {
  // the parser would take a NUL for the end and never see what follows
  if (text.find('\0') != std::string_view::npos)
    return invalid_argument("{}: not valid JSON: it has a NUL byte", where);
  try {
    Json json = Json::parse(text.begin(), text.end());
    if (!json.is_object()) return invalid_argument("{}: not a JSON object", where);
    return json;
  } catch (const Json::exception& error) {
    return invalid_argument("{}: not valid JSON: {}", where, printable(error.what(), 300));
  }
}

ConfigReader::ConfigReader(const Json& object, std::string where)
    : object_(object), where_(std::move(where)) {}

void ConfigReader::fail(const Status& status) {
  if (status_.ok() && !status.ok()) status_ = annotate(status, where_);
}

void ConfigReader::invalid(std::string_view key, std::string_view what) {
  fail(invalid_argument("{} {}", key, what));
}

void ConfigReader::unsupported(std::string_view key, std::string_view what) {
  fail(unimplemented("{} {}", key, what));
}

bool ConfigReader::has(std::string_view key) const { return object_.find(key) != object_.end(); }

const Json* ConfigReader::value(std::string_view key) {
  asked_.emplace(key);
  const auto at = object_.find(key);
  return at == object_.end() || at->is_null() ? nullptr : &*at;
}

const Json* ConfigReader::object(std::string_view key) {
  const Json* found = value(key);
  if (found == nullptr || found->is_object()) return found;
  invalid(key, "must be an object, not " + shown(*found));
  return nullptr;
}

const Json* ConfigReader::required(std::string_view key) {
  const Json* found = value(key);
  if (found == nullptr) invalid(key, "is missing");
  return found;
}

int32_t ConfigReader::checked_integer(std::string_view key, const Json& value, Range range,
                                      int32_t fallback) {
  const auto number = as_integer(value);
  if (!number || *number < range.min || *number > range.max) {
    invalid(key, fmt::format("must be an integer from {} to {}, not {}", range.min, range.max, shown(value)));
    return fallback;
  }
  return static_cast<int32_t>(*number);
}

int32_t ConfigReader::integer_or(std::string_view key, Range range, int32_t fallback) {
  const Json* found = value(key);
  return found == nullptr ? fallback : checked_integer(key, *found, range, fallback);
}

int32_t ConfigReader::integer(std::string_view key, Range range) {
  const auto lowest = static_cast<int32_t>(range.min);  // later arithmetic may divide by it
  return required(key) == nullptr ? lowest : integer_or(key, range, lowest);
}

double ConfigReader::number_or(std::string_view key, NumberRange range, double fallback) {
  const Json* found = value(key);
  if (found == nullptr) return fallback;
  const double number = found->is_number() ? found->get<double>() : std::nan("");
  if (!(number >= range.min && number <= range.max)) {  // false for NaN too
    invalid(key, fmt::format("must be a number from {} to {}, not {}", range.min, range.max, shown(*found)));
    return fallback;
  }
  return number;
}

double ConfigReader::number(std::string_view key, NumberRange range) {
  return required(key) == nullptr ? range.min : number_or(key, range, range.min);
}

bool ConfigReader::boolean_or(std::string_view key, bool fallback) {
  const Json* found = value(key);
  if (found == nullptr) return fallback;
  if (!found->is_boolean()) {
    invalid(key, "must be true or false, not " + shown(*found));
    return fallback;
  }
  return found->get<bool>();
}

bool ConfigReader::boolean(std::string_view key) {
  return required(key) != nullptr && boolean_or(key, false);
}

std::string ConfigReader::text_or(std::string_view key, std::string_view fallback) {
  const Json* found = value(key);
  if (found == nullptr) return std::string(fallback);
  if (!found->is_string()) {
    invalid(key, "must be a text, not " + shown(*found));
    return std::string(fallback);
  }
  return found->get<std::string>();
}

std::string ConfigReader::text(std::string_view key) {
  return required(key) == nullptr ? "" : text_or(key, "");
}

std::vector<std::string> ConfigReader::texts_or_empty(std::string_view key) {
  const Json* found = value(key);
  if (found == nullptr) return {};
  const auto is_text = [](const Json& item) { return item.is_string(); };
  if (!found->is_array() || !std::all_of(found->begin(), found->end(), is_text)) {
    invalid(key, "must be a list of texts");
    return {};
  }
  return found->get<std::vector<std::string>>();
}

std::vector<int32_t> ConfigReader::integers_or_empty(std::string_view key, Range range) {
  const Json* found = value(key);
  if (found == nullptr) return {};
  std::vector<int32_t> out;
  if (!found->is_array()) return {checked_integer(key, *found, range, static_cast<int32_t>(range.min))};
  for (const Json& item : *found)
    out.push_back(checked_integer(key, item, range, static_cast<int32_t>(range.min)));
  return out;
}

void ConfigReader::only(std::string_view key, bool neutral) {
  if (boolean_or(key, neutral) != neutral)
    unsupported(key, fmt::format("is {}, which is not implemented", !neutral));
}

void ConfigReader::only(std::string_view key, double neutral) {
  const double found = number_or(key, {-1e30, 1e30}, neutral);
  if (found != neutral)
    unsupported(key, fmt::format("is {}, which is not implemented (only {} is)", found, neutral));
}

void ConfigReader::only(std::string_view key, std::string_view neutral) {
  const std::string found = text_or(key, neutral);
  if (found != neutral)
    unsupported(key,
                fmt::format("is {}, which is not implemented (only '{}' is)", printable(found), neutral));
}

std::optional<std::string> ConfigReader::unknown_key(std::span<const std::string_view> harmless) const {
  for (const auto& [key, found] : object_.items()) {
    if (asked_.contains(key) || is_neutral(found)) continue;
    if (std::find(harmless.begin(), harmless.end(), key) == harmless.end())
      return fmt::format("{} ({})", printable(key), shown(found));
  }
  return std::nullopt;
}

Status ConfigReader::finish(std::span<const std::string_view> harmless) {
  if (const auto key = unknown_key(harmless); key && status_.ok())
    unsupported(*key,
                "is a key that this program does not know; it may change what the model computes, so it is "
                "not ignored");
  return status_;
}

}  // namespace hadal
