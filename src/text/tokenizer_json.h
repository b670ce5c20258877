// Typed access to nodes of tokenizer.json. Every error names the field by its path ("pre_tokenizer.pattern").
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/status.h"

namespace hadal::tok {

using Json = nlohmann::json;

/// `node[key]`, or nullptr where it is absent or null (HF writes null for "not set").
const Json* find_field(const Json& node, const char* key);

Status expect_object(const Json& node, std::string_view where);

StatusOr<bool> bool_field(const Json& node, const char* key, bool fallback, std::string_view where);
StatusOr<std::string> string_field(const Json& node, const char* key, std::string_view where);
StatusOr<std::string> string_field(const Json& node, const char* key, std::string_view fallback,
                                   std::string_view where);
/// An integer in [low, high].
StatusOr<int64_t> int_field(const Json& node, const char* key, int64_t low, int64_t high,
                            std::string_view where);
/// The node's array `key`; absent is an error.
StatusOr<const Json*> array_field(const Json& node, const char* key, std::string_view where);

}  // namespace hadal::tok
