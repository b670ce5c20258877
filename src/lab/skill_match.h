// Whether an answer is right, by rules that leave nothing to taste:
//
//   exact        the answer is the gold text, white space around it aside
//   number       the last number in the answer is gold ("1,234" is 1234)
//   contains     gold, or one of several, stands in the answer as a whole word: no ASCII letter or digit goes
//   on before
//                or behind it. Capitals count where gold has one
//   json-schema  the answer is one JSON value; valid if the schema takes it, right if it equals gold besides
//   tool-call    the calls are those of gold, in order: names, and arguments as JSON. Calls come from the
//   message's
//                tool_calls, or from the answer's text in DeepSeek-V3.1's form
//
// Pure functions, any thread.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "lab/skill_sets.h"

namespace hadal {

/// What a chat completion said.
struct SkillAnswer {
  std::string content;        // without the reasoning
  nlohmann::json tool_calls;  // OpenAI's list, or null
};

struct Verdict {
  bool right = false;
  bool valid = false;  // json-schema: the answer fits the schema; else as `right`
};

Verdict judge(const SkillQuestion& question, const SkillAnswer& answer);

/// The subset of JSON schema that test sets use: type (one name), enum, properties, required,
/// additionalProperties (false), items (one schema). A keyword besides these is an error, since ignoring it
/// would call wrong answers valid; title, description and $schema say nothing and may stand.
Status check_schema(const nlohmann::json& schema);
/// `schema` has passed check_schema.
bool fits_schema(const nlohmann::json& value, const nlohmann::json& schema);

/// The last number of a text, "-" in front if it is negative; nothing where there is none.
std::optional<std::string> last_number(std::string_view text);
bool contains_word(std::string_view text, std::string_view word);
/// [{"name", "arguments"}, ...] of an answer, arguments parsed; null where a call is malformed.
nlohmann::json calls_of(const SkillAnswer& answer);

}  // namespace hadal
