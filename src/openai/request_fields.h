// The table of request fields: one row each, with where it applies, what happens to it and the function that reads it.
// Inside of openai/; docs and tests print it.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "openai/request.h"

namespace hadal::openai {

/// What a reader may fill. `chat` or `completion` is null, according to the endpoint.
struct ParseTarget {
  CommonRequest& common;
  ChatCompletionRequest* chat = nullptr;
  CompletionRequest* completion = nullptr;
  const RequestLimits& limits;
  // given, but decided only when all fields are known
  std::optional<int32_t> max_completion_tokens;
  std::optional<bool> chat_logprobs;
  std::optional<int32_t> top_logprobs;
  std::optional<int64_t> best_of;
  bool stream_options_given = false;
  bool tool_choice_auto = false;
};

enum class Endpoint : uint8_t { kBoth, kChat, kCompletions };
enum class FieldAction : uint8_t {
  kUsed,     // does what its note says
  kChecked,  // type and range are checked; has no effect (yet)
  kIgnored,  // accepted whatever it is, as vLLM does
  kRefused,  // any value but null (or the harmless one of the note) is a 400 that names the field
};

using FieldReader = MaybeError (*)(const nlohmann::ordered_json& value, std::string_view name, ParseTarget& target);

struct FieldRow {
  const char* name;
  Endpoint endpoint;
  FieldAction action;
  FieldReader read;  // null for kIgnored
  const char* note;
  const char* schema;  // JSON schema of the values that are taken; null for what is not used
};

const FieldRow* field_table(size_t* count);
/// Null when no row of this endpoint has the name: the field is then ignored.
const FieldRow* find_field(std::string_view name, Endpoint endpoint);
/// {"field":schema,...} of what the endpoint uses, with the notes as descriptions.
nlohmann::ordered_json field_schemas(Endpoint endpoint);
/// The table as a Markdown page (docs/request-fields.md).
std::string request_fields_markdown();

// Readers of values with many parts.
MaybeError read_messages(const nlohmann::ordered_json& value, std::string_view name, ParseTarget& target);
MaybeError read_tools(const nlohmann::ordered_json& value, std::string_view name, ParseTarget& target);
MaybeError read_prompt(const nlohmann::ordered_json& value, std::string_view name, ParseTarget& target);

}  // namespace hadal::openai
