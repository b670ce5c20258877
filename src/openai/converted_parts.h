// What both conversions use. Inside of openai/.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "openai/error.h"
#include "openai/request.h"
#include "openai/value_readers.h"

namespace hadal::openai {

MaybeError read_body(std::string_view json, Json* tree);

/// Copies the fields of the chat table that are not among `own`, under their names.
void pass_through(const Json& body, std::initializer_list<std::string_view> own, Json* chat);

/// A string, or a list of parts of one of the `types` whose "text" are joined; another type is refused by
/// name.
MaybeError read_texts(const Json& content, const std::string& place,
                      const std::vector<std::string_view>& types, std::string* out);

/// The required member as a string.
MaybeError read_required(const Json& object, const char* key, const std::string& place, std::string* out);

/// Parses the chat body; an error's place in `messages` becomes one in `input_name`.
Result<ChatCompletionRequest> parse_converted(const Json& chat, std::string_view input_name,
                                              const RequestLimits& limits);

}  // namespace hadal::openai
