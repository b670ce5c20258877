#include "openai/value_readers.h"

#include <cmath>
#include <limits>

namespace hadal::openai {

const char* kind_of(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null: return "null";
    case Json::value_t::boolean: return "a boolean";
    case Json::value_t::string: return "a string";
    case Json::value_t::array: return "a list";
    case Json::value_t::object: return "an object";
    default: return "a number";
  }
}

MaybeError wrong_type(std::string_view name, const char* wanted, const Json& value) {
  return invalid_request(fmt::format("'{}' must be {}, but is {}.", name, wanted, kind_of(value)), std::string(name));
}

MaybeError read_number(const Json& value, std::string_view name, const NumberRange& range, double* out) {
  if (!value.is_number()) return wrong_type(name, "a number", value);
  const auto number = value.get<double>();
  const bool open = range.low_end == NumberRange::Low::kExcluded;
  const bool in_range = (open ? number > range.low : number >= range.low) && number <= range.high;
  if (!std::isfinite(number) || !in_range) {
    const std::string high = range.high == std::numeric_limits<double>::max() ? "" : fmt::format(" and at most {}", range.high);
    return invalid_request(fmt::format("'{}' must be {} {}{}, but is {}.", name, open ? "greater than" : "at least",
                                       range.low, high, number),
                           std::string(name));
  }
  *out = number;
  return std::nullopt;
}

MaybeError read_integer(const Json& value, std::string_view name, int64_t low, int64_t high, int64_t* out) {
  if (!value.is_number()) return wrong_type(name, "an integer", value);
  int64_t number = 0;
  bool representable = true;
  if (value.is_number_unsigned()) {
    const auto large = value.get<uint64_t>();
    representable = large <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
    number = representable ? static_cast<int64_t>(large) : 0;
  } else if (value.is_number_integer()) {
    number = value.get<int64_t>();
  } else {
    const auto real = value.get<double>();
    if (std::isfinite(real) && real != std::floor(real)) return wrong_type(name, "an integer", value);
    representable = real >= -9.2e18 && real <= 9.2e18;
    number = representable ? static_cast<int64_t>(real) : 0;
  }
  if (!representable || number < low || number > high) {
    return invalid_request(fmt::format("'{}' must be from {} to {}, but is {}.", name, low, high, value.dump()),
                           std::string(name));
  }
  *out = number;
  return std::nullopt;
}

MaybeError read_bool(const Json& value, std::string_view name, bool* out) {
  if (!value.is_boolean()) return wrong_type(name, "a boolean", value);
  *out = value.get<bool>();
  return std::nullopt;
}

MaybeError read_string(const Json& value, std::string_view name, std::string* out) {
  if (!value.is_string()) return wrong_type(name, "a string", value);
  *out = value.get_ref<const std::string&>();
  return std::nullopt;
}

MaybeError read_token_ids(const Json& value, std::string_view name, size_t max_count, std::vector<int32_t>* out) {
  if (!value.is_array()) return wrong_type(name, "a list of token ids", value);
  if (value.size() > max_count) {
    return invalid_request(fmt::format("'{}' has {} token ids; at most {} are taken.", name, value.size(), max_count),
                           std::string(name));
  }
  out->clear();
  out->reserve(value.size());
  for (size_t i = 0; i < value.size(); ++i) {
    int64_t id = 0;
    const Json& element = value[i];
    if (element.is_number_unsigned() && element.get<uint64_t>() <= 0x7fffffffu) {
      id = element.get<int64_t>();
    } else if (auto error = read_integer(element, fmt::format("{}[{}]", name, i), 0, 0x7fffffff, &id)) {
      return error;
    }
    out->push_back(static_cast<int32_t>(id));
  }
  return std::nullopt;
}

const Json* member(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

}  // namespace hadal::openai
