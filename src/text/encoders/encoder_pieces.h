// What the two encoders share: special tokens, DSML tool calls, tool definitions, lenient reading of messages.
#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>

#include "base/status.h"

namespace hadal::encoders {

using Json = nlohmann::ordered_json;

inline constexpr std::string_view kBos = "<｜begin▁of▁sentence｜>";
inline constexpr std::string_view kEos = "<｜end▁of▁sentence｜>";
inline constexpr std::string_view kUser = "<｜User｜>";
inline constexpr std::string_view kAssistant = "<｜Assistant｜>";
inline constexpr std::string_view kThinkStart = "<think>";
inline constexpr std::string_view kThinkEnd = "</think>";
inline constexpr std::string_view kDsml = "｜DSML｜";

/// Python's truth of a JSON value: not null, false, 0, "" or empty.
bool truthy(const Json& value);
/// The member, or null.
const Json& member(const Json& object, std::string_view name);
std::string_view role_of(const Json& message);
bool is_turn_of_user(const Json& message);  // user or developer

/// A message's text: a string as it is, a list of text parts joined by newlines. invalid_argument for anything
/// else; null gives `if_null`.
StatusOr<std::string> text_of(const Json& content, std::string_view role, std::string_view if_null);

/// Whether `messages` is a list of objects that have a role.
Status check_messages(const Json& messages);

/// The index of the last user or developer message, -1 without one.
int last_user_index(const std::vector<const Json*>& messages);

/// The function definitions of OpenAI's tools as JSON, one a line.
StatusOr<std::string> tool_schemas(const Json& tools);

/// `<｜DSML｜block>` with one invoke per call. `keep_bad_json`: arguments that are no JSON become one parameter
/// of that name (V4); else they are an error (V3.2).
enum class BadArguments { kError, kKeepAsText };
StatusOr<std::string> dsml_tool_calls(const Json& tool_calls, std::string_view block, BadArguments bad);

/// "## Response Format:" with the schema.
StatusOr<std::string> response_format_text(const Json& response_format);

/// `text` with every {name} of `from` replaced.
std::string substitute(std::string_view text, std::string_view from, std::string_view to);

}  // namespace hadal::encoders
