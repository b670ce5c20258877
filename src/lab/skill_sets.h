// The questions of `hadal eval skills`: JSONL files, one question a line, as tools/demo_model/exam.py writes
// them.
//
//   {"skill", "language", "messages": [...], "tools": [...]?, "match", "gold", "schema"?, "thinking"?,
//   "max_tokens"?, "bar"?}
//
// messages and tools are those of a chat request. `match` is how an answer is judged (lab/skill_match.h).
// `thinking`: the question can be asked with thinking on as well. `bar`: the percentage that the skill should
// reach. A line with "asks": [{"ask", "gold"}, ...] in place of "gold" is that many questions about one text:
// {ask} stands in the last message.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace hadal {

enum class SkillMatch : uint8_t { kExact, kNumber, kContains, kJsonSchema, kToolCall };

struct SkillQuestion {
  std::string skill, language;
  nlohmann::ordered_json messages;  // array
  nlohmann::ordered_json tools;     // array, or null
  SkillMatch match = SkillMatch::kExact;
  nlohmann::json
      gold;  // a string; for contains also a list of strings; for tool-call a list; any JSON for a schema
  nlohmann::json schema;  // of json-schema, else null
  bool thinking = false;
  int32_t max_tokens = 256;
  double bar = 0.0;  // percent; 0: none
};

/// The questions of every *.jsonl of a folder, files by name, or of one file. Errors name file and line.
StatusOr<std::vector<SkillQuestion>> read_skill_sets(const std::string& path);

/// The questions of one file's text; `name` is for errors.
StatusOr<std::vector<SkillQuestion>> parse_skill_set(std::string_view text, const std::string& name);

}  // namespace hadal
