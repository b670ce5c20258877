// Requests of /v1/chat/completions and /v1/completions: parsed from JSON text into plain structs and checked, every error
// naming the field. What each field does is one row of the table in request_fields.h; docs/request-fields.md is
// printed from it.
//
// Absent optionals mean "not given": the server fills them from generation_config.json and its own defaults. Checks that
// need the model (vocabulary, context, whether the model exists) are the server's. Pure functions, any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "openai/error.h"

namespace hadal::openai {

/// A JSON value behind a pointer, so that this header needs no JSON; null when the field was not given. Owned by the
/// request alone: the server may move the value out.
using JsonPtr = std::shared_ptr<nlohmann::ordered_json>;

/// What the server allows.
struct RequestLimits {
  int64_t max_choices = 128;       // n
  size_t max_prompts = 1024;       // prompts of one completion request
  size_t max_messages = 16384;
  size_t max_tools = 1024;
  size_t max_stop_strings = 64;
  size_t max_stop_bytes = 1024;    // of one stop string
  size_t max_stop_token_ids = 4096;
  size_t max_logit_bias = 65536;
  size_t max_resume_tokens = size_t{4} << 20;
  size_t max_allowed_token_ids = size_t{1} << 20;
  size_t max_bad_words = 1024;
  size_t max_bad_word_bytes = 1024;  // of one
  size_t max_template_bytes = 256 << 10;
  size_t max_documents = 1024;
  int64_t max_logprobs = 20;
};

/// Output that another engine has made of this request; the answer goes on behind it.
struct Resume {
  std::vector<int32_t> output_token_ids;  // may be empty: it died before the first token
  int64_t seed = 0;                       // the first engine's x-hadal-seed
  int32_t choice = 0;                     // the choice's index in the first answer
};

struct CommonRequest {
  std::string model;                      // empty: not given
  std::optional<double> temperature;      // 0 to 2
  std::optional<double> top_p;            // (0, 1]
  std::optional<int64_t> top_k;           // >= 1; -1 and 0: all
  std::optional<double> min_p;            // [0, 1]
  std::optional<double> presence_penalty;    // [-2, 2]
  std::optional<double> frequency_penalty;   // [-2, 2]
  std::optional<double> repetition_penalty;  // > 0
  std::optional<int64_t> seed;
  std::vector<std::pair<int32_t, float>> logit_bias;  // token id, -100 to 100

  std::optional<int32_t> max_tokens;      // max_completion_tokens where that is given
  int32_t min_tokens = 0;
  std::vector<std::string> stop;
  std::vector<int32_t> stop_token_ids;
  bool ignore_eos = false;
  bool include_stop_str_in_output = false;
  bool skip_special_tokens = true;
  std::vector<std::string> bad_words;
  std::vector<int32_t> allowed_token_ids;  // empty: all
  int32_t prompt_logprobs = -1;            // -1: none
  std::optional<int32_t> truncate_prompt_tokens;  // so many of the prompt; -1: what the context has room for
  bool truncate_keeps_first = false;              // truncation_side "right"; else the last ones stay
  int32_t n = 1;

  bool stream = false;
  bool include_usage = false;             // stream_options
  bool continuous_usage_stats = false;    // stream_options
  int32_t stream_interval = 1;            // tokens in a chunk, where it is more than the server's
  bool return_token_ids = false;
  bool return_tokens_as_token_ids = false;
  std::optional<bool> add_special_tokens;  // when tokenizing; default: completions yes, chat no
  int32_t priority = 0;                   // vLLM's sense: lower is earlier
  std::string cache_salt;
  std::optional<Resume> resume;
  std::string user;
  std::string request_id;
};

struct ChatCompletionRequest : CommonRequest {
  /// A list of objects, each with `role` first; content parts joined to one string, null where allowed.
  JsonPtr messages;
  JsonPtr tools;                 // a non-empty list, or null
  bool tool_choice_none = false;  // tool_choice is "none": tools are shown to nobody
  std::optional<bool> parallel_tool_calls;
  int32_t top_logprobs = -1;     // -1: no logprobs; 0: of the chosen token alone
  bool add_generation_prompt = true;
  bool continue_final_message = false;
  JsonPtr chat_template_kwargs;  // an object, or null
  JsonPtr documents;             // a non-empty list, or null
  std::string chat_template;     // empty: the server's; where the server lets requests bring one
  std::optional<int32_t> thinking_token_budget;
  std::string reasoning_effort;  // empty: not given
  bool include_reasoning = true;
};

struct Prompt {
  std::string text;
  std::vector<int32_t> ids;
  bool is_ids = false;
};

struct CompletionRequest : CommonRequest {
  std::vector<Prompt> prompts;  // at least one
  std::string suffix;           // not empty: the text between prompt and suffix is wanted
  int32_t best_of = 1;          // choices made of each prompt; n of them are answered
  int32_t logprobs = -1;        // -1: none
  bool echo = false;            // with echo max_tokens may be 0
};

Result<ChatCompletionRequest> parse_chat_completion(std::string_view json, const RequestLimits& limits = {});
Result<CompletionRequest> parse_completion(std::string_view json, const RequestLimits& limits = {});

}  // namespace hadal::openai
