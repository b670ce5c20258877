// JSON text of a peer into a tree, within limits: depth (a tree is walked by recursion later), number of values (memory),
// no key twice in an object (two readers would take different ones), valid UTF-8. Linear in the text's length.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "openai/error.h"

namespace hadal::openai {

struct JsonLimits {
  int max_depth = 64;
  size_t max_values = size_t{4} << 20;
};

/// Fills `*out` or says what is wrong and where (`param` names the place where that is known).
MaybeError read_json(std::string_view text, const JsonLimits& limits, nlohmann::ordered_json* out);

}  // namespace hadal::openai
