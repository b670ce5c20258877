// JSON as Python writes it: json.dumps(value, ensure_ascii=False). What checkpoints were trained on.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <string>

#include "base/status.h"

namespace hadal {

/// Separators ", " and ": ", keys in their order, numbers as Python prints them (1.0, 1e-07, 1e+22), nothing
/// escaped but quotes, backslashes and control characters. invalid_argument for a value nested deeper than 500.
StatusOr<std::string> python_json(const nlohmann::ordered_json& value);

/// A string alone, in its quotes.
std::string python_json_string(std::string_view text);

}  // namespace hadal
