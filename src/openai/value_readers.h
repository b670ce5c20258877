// Readers of single JSON values: type, range, and an error that names the field. Inside of openai/.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "openai/error.h"

namespace hadal::openai {

using Json = nlohmann::ordered_json;

/// "a string", "a list", ... for messages.
const char* kind_of(const Json& value);

MaybeError wrong_type(std::string_view name, const char* wanted, const Json& value);

struct NumberRange {
  double low, high;
  enum class Low : uint8_t { kIncluded, kExcluded } low_end = Low::kIncluded;
};
MaybeError read_number(const Json& value, std::string_view name, const NumberRange& range, double* out);
/// A whole number; 5.0 is taken too, true is not.
MaybeError read_integer(const Json& value, std::string_view name, int64_t low, int64_t high, int64_t* out);
MaybeError read_bool(const Json& value, std::string_view name, bool* out);
MaybeError read_string(const Json& value, std::string_view name, std::string* out);
/// A list of token ids, each from 0 to 2^31 - 1.
MaybeError read_token_ids(const Json& value, std::string_view name, size_t max_count, std::vector<int32_t>* out);

/// The member, or null when it is absent or JSON's null.
const Json* member(const Json& object, const char* key);

}  // namespace hadal::openai
