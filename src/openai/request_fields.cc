#include "openai/request_fields.h"

#include "openai/field_readers.h"

namespace hadal::openai {
namespace {

using C = CommonRequest;
using Chat = ChatCompletionRequest;
constexpr auto kUsed = FieldAction::kUsed;
constexpr auto kChecked = FieldAction::kChecked;
constexpr auto kIgnored = FieldAction::kIgnored;
constexpr auto kRefused = FieldAction::kRefused;
constexpr auto kBoth = Endpoint::kBoth;
constexpr auto kChat = Endpoint::kChat;
constexpr auto kCompletions = Endpoint::kCompletions;

// JSON schemas of values, for /openapi.json
constexpr const char* kString = R"({"type":"string"})";
constexpr const char* kBoolean = R"({"type":"boolean"})";
constexpr const char* kObject = R"({"type":"object"})";
constexpr const char* kIds = R"({"type":"array","items":{"type":"integer","minimum":0,"maximum":2147483647}})";
constexpr const char* kUpTo20 = R"({"type":"integer","minimum":0,"maximum":20})";
constexpr const char* kPrompt = R"({"oneOf":[{"type":"string"},{"type":"array","minItems":1,"items":{"type":"string"}},)"
                                R"({"type":"array","minItems":1,"items":{"type":"integer","minimum":0}},)"
                                R"({"type":"array","minItems":1,"items":{"type":"array","minItems":1,"items":{"type":"integer","minimum":0}}}]})";
constexpr const char* kMessages =
    R"({"type":"array","minItems":1,"items":{"type":"object","required":["role"],"properties":{)"
    R"("role":{"enum":["system","developer","user","assistant","tool"]},)"
    R"("content":{"oneOf":[{"type":"string"},{"type":"array","items":{"type":"object","required":["type","text"],)"
    R"("properties":{"type":{"const":"text"},"text":{"type":"string"}}}}]},"name":{"type":"string"},)"
    R"("tool_call_id":{"type":"string"},"tool_calls":{"type":"array"},"reasoning_content":{"type":"string"}}}})";
constexpr const char* kTools =
    R"({"type":"array","items":{"type":"object","required":["type","function"],"properties":{"type":{"const":"function"},)"
    R"("function":{"type":"object","required":["name"],"properties":{"name":{"type":"string","minLength":1},)"
    R"("description":{"type":"string"},"parameters":{"type":"object"}}}}}})";

constexpr FieldRow kFields[] = {
    {"model", kBoth, kUsed, common_string<&C::model>, "string; the served name. Absent: the first one served", kString},
    {"messages", kChat, kUsed, read_messages, "list of messages: roles system, developer, user, assistant, tool; content a string or parts of type text", kMessages},
    {"prompt", kCompletions, kUsed, read_prompt, "string, list of strings, list of token ids, or list of lists of token ids", kPrompt},
    {"max_tokens", kBoth, kUsed, read_max_tokens, "integer >= 1 (completions: 0 with echo)", R"({"type":"integer","minimum":1})"},
    {"max_completion_tokens", kBoth, kUsed, read_max_completion_tokens, "integer >= 1; goes before max_tokens", R"({"type":"integer","minimum":1})"},
    {"min_tokens", kBoth, kUsed, read_min_tokens, "integer >= 0, at most max_tokens", R"({"type":"integer","minimum":0})"},
    {"temperature", kBoth, kUsed, common_number<&C::temperature, 0, 20>, "0 to 2; 0 is greedy", R"({"type":"number","minimum":0,"maximum":2})"},
    {"top_p", kBoth, kUsed, common_number<&C::top_p, 0, 10, Low::kExcluded>, "greater than 0, at most 1", R"({"type":"number","exclusiveMinimum":0,"maximum":1})"},
    {"top_k", kBoth, kUsed, read_top_k, "integer >= 1; -1 or 0: all tokens", R"({"type":"integer","minimum":-1})"},
    {"min_p", kBoth, kUsed, common_number<&C::min_p, 0, 10>, "0 to 1", R"({"type":"number","minimum":0,"maximum":1})"},
    {"presence_penalty", kBoth, kUsed, common_number<&C::presence_penalty, -20, 20>, "-2 to 2", R"({"type":"number","minimum":-2,"maximum":2})"},
    {"frequency_penalty", kBoth, kUsed, common_number<&C::frequency_penalty, -20, 20>, "-2 to 2", R"({"type":"number","minimum":-2,"maximum":2})"},
    {"repetition_penalty", kBoth, kUsed, read_repetition_penalty, "greater than 0", R"({"type":"number","exclusiveMinimum":0})"},
    {"logit_bias", kBoth, kUsed, read_logit_bias, "object: token id to a number from -100 to 100", R"({"type":"object","additionalProperties":{"type":"number","minimum":-100,"maximum":100}})"},
    {"seed", kBoth, kUsed, read_seed, "64-bit integer; -1: none", R"({"type":"integer"})"},
    {"stop", kBoth, kUsed, read_stop, "string or list of strings, none empty", R"({"oneOf":[{"type":"string","minLength":1},{"type":"array","items":{"type":"string","minLength":1}}]})"},
    {"stop_token_ids", kBoth, kUsed, read_stop_token_ids, "list of token ids", kIds},
    {"ignore_eos", kBoth, kUsed, common_bool<&C::ignore_eos>, "boolean", kBoolean},
    {"include_stop_str_in_output", kBoth, kUsed, common_bool<&C::include_stop_str_in_output>, "boolean", kBoolean},
    {"skip_special_tokens", kBoth, kUsed, common_bool<&C::skip_special_tokens>, "boolean, true by default", kBoolean},
    {"n", kBoth, kUsed, read_n, "integer from 1 to the server's limit", R"({"type":"integer","minimum":1,"maximum":128})"},
    {"best_of", kCompletions, kUsed, read_best_of, "integer >= n: so many are made, the n with the highest mean log-probability are answered; not with stream", R"({"type":"integer","minimum":1,"maximum":128})"},
    {"stream", kBoth, kUsed, common_bool<&C::stream>, "boolean", kBoolean},
    {"stream_options", kBoth, kUsed, read_stream_options, "object: include_usage, continuous_usage_stats; only with stream", R"({"type":"object","properties":{"include_usage":{"type":"boolean"},"continuous_usage_stats":{"type":"boolean"}}})"},
    {"stream_interval", kBoth, kUsed, read_stream_interval, "integer >= 1: tokens in a chunk, where it is more than --stream-interval", R"({"type":"integer","minimum":1,"maximum":2147483647})"},
    {"logprobs", kChat, kUsed, read_chat_logprobs, "boolean", kBoolean},
    {"top_logprobs", kChat, kUsed, read_top_logprobs, "integer from 0 to 20; needs logprobs", kUpTo20},
    {"logprobs", kCompletions, kUsed, read_completion_logprobs, "integer from 0 to 20", kUpTo20},
    {"echo", kCompletions, kUsed, read_echo, "boolean; the prompt comes back before the answer, with logprobs its log-probabilities too", kBoolean},
    {"tools", kChat, kUsed, read_tools, "list of functions, written into the prompt; calls of them are parsed back into tool_calls", kTools},
    {"tool_choice", kChat, kUsed, read_tool_choice, "\"none\" or \"auto\"; others are refused", R"({"enum":["none","auto"]})"},
    {"parallel_tool_calls", kChat, kUsed, read_parallel_tool_calls, "boolean; false: only the first call is answered", kBoolean},
    {"add_generation_prompt", kChat, kUsed, chat_bool<&Chat::add_generation_prompt>, "boolean, true by default", kBoolean},
    {"continue_final_message", kChat, kUsed, chat_bool<&Chat::continue_final_message>, "boolean; needs add_generation_prompt false", kBoolean},
    {"chat_template_kwargs", kChat, kUsed, read_kwargs, "object of variables for the chat template, such as thinking and enable_thinking", kObject},
    {"reasoning_effort", kChat, kUsed, read_reasoning_effort, "none, minimal, low, medium, high, xhigh or max; for templates and encoders that know it (V4: none switches thinking off, to high is high, above is max)", R"({"enum":["none","minimal","low","medium","high","xhigh","max"]})"},
    {"include_reasoning", kChat, kUsed, chat_bool<&Chat::include_reasoning>, "boolean, true by default", kBoolean},
    {"add_special_tokens", kBoth, kUsed, read_add_special_tokens, "boolean; by default true for completions, false for chat", kBoolean},
    {"return_token_ids", kBoth, kUsed, common_bool<&C::return_token_ids>, "boolean; prompt_token_ids and token_ids in the answer", kBoolean},
    {"return_tokens_as_token_ids", kBoth, kUsed, common_bool<&C::return_tokens_as_token_ids>, "boolean; logprobs name tokens \"token_id:N\"", kBoolean},
    {"priority", kBoth, kUsed, read_priority, "integer; lower is earlier, as in vLLM", R"({"type":"integer"})"},
    {"cache_salt", kBoth, kUsed, read_cache_salt, "string, not empty; keeps the prefix cache apart", R"({"type":"string","minLength":1})"},
    {"resume", kBoth, kUsed, read_resume, "object: output_token_ids (made by another engine), seed (its x-hadal-seed), choice (0); the answer is the rest, see below", kObject},
    {"user", kBoth, kChecked, common_string<&C::user>, "string", kString},
    {"request_id", kBoth, kUsed, read_request_id, "string of at most 256 bytes", R"({"type":"string","maxLength":64})"},
    {"response_format", kBoth, kRefused, read_response_format, "only {\"type\": \"text\"}", nullptr},
    {"suffix", kCompletions, kUsed, read_suffix, "string; fills in the middle, where the vocabulary has fim tokens", kString},
    {"echo", kChat, kRefused, refuse_unless_false, "only false", nullptr},
    {"modalities", kChat, kRefused, read_modalities, "only [\"text\"]", nullptr},
    {"audio", kChat, kRefused, refuse, "", nullptr},
    {"functions", kChat, kRefused, refuse_unless_empty, "use tools", nullptr},
    {"function_call", kChat, kRefused, refuse, "use tool_choice", nullptr},
    {"chat_template", kChat, kUsed, read_chat_template, "string; refused unless the server runs with --trust-request-chat-template", kString},
    {"documents", kChat, kUsed, read_documents, "list of objects, given to the chat template", R"({"type":"array","items":{"type":"object"}})"},
    {"thinking_token_budget", kChat, kUsed, read_thinking_token_budget, "integer >= 0: output tokens after which thinking is ended; -1: none", R"({"type":"integer","minimum":-1})"},
    {"use_beam_search", kBoth, kRefused, refuse_unless_false, "only false", nullptr},
    {"prompt_logprobs", kBoth, kUsed, read_prompt_logprobs, "integer from 0 to 20; not with stream", kUpTo20},
    {"truncate_prompt_tokens", kBoth, kUsed, read_truncate_prompt_tokens, "integer >= 1: only so many tokens of the prompt; -1: what fits", R"({"type":"integer","minimum":-1})"},
    {"truncation_side", kBoth, kUsed, read_truncation_side, "\"left\" (default): truncate_prompt_tokens keeps the last tokens; \"right\": the first", R"({"enum":["left","right"]})"},
    {"bad_words", kBoth, kUsed, read_bad_words, "list of strings that must not come out", R"({"type":"array","items":{"type":"string","minLength":1}})"},
    {"allowed_token_ids", kBoth, kUsed, read_allowed_token_ids, "list of token ids, none other is drawn", kIds},
    {"logits_processors", kBoth, kRefused, refuse_unless_empty, "", nullptr},
    {"structured_outputs", kBoth, kRefused, refuse, "", nullptr},
    {"guided_json", kBoth, kRefused, refuse, "", nullptr},
    {"guided_regex", kBoth, kRefused, refuse, "", nullptr},
    {"guided_choice", kBoth, kRefused, refuse, "", nullptr},
    {"guided_grammar", kBoth, kRefused, refuse, "", nullptr},
    {"prompt_embeds", kCompletions, kRefused, refuse, "", nullptr},
    {"kv_transfer_params", kBoth, kRefused, refuse, "", nullptr},
    {"ec_transfer_params", kBoth, kRefused, refuse, "", nullptr},
    {"logprob_token_ids", kBoth, kRefused, refuse_unless_empty, "use logprobs", nullptr},
    {"repetition_detection", kBoth, kRefused, refuse, "", nullptr},
    {"watermarking", kBoth, kRefused, refuse_unless_false, "only false", nullptr},
    {"return_prompt_text", kBoth, kRefused, refuse_unless_false, "only false; use return_token_ids or /tokenize", nullptr},
    {"vllm_xargs", kBoth, kIgnored, nullptr, "for extensions, of which there are none", nullptr},
    {"guided_decoding_backend", kBoth, kIgnored, nullptr, "means nothing without guided_...", nullptr},
    {"guided_whitespace_pattern", kBoth, kIgnored, nullptr, "means nothing without guided_...", nullptr},
    {"media_io_kwargs", kChat, kIgnored, nullptr, "for images and sound, which are refused", nullptr},
    {"mm_processor_kwargs", kBoth, kIgnored, nullptr, "for images and sound, which are refused", nullptr},
    {"session_id", kBoth, kIgnored, nullptr, "", nullptr},
    {"length_penalty", kBoth, kIgnored, nullptr, "belongs to beam search", nullptr},
    {"spaces_between_special_tokens", kBoth, kIgnored, nullptr, "", nullptr},
    {"metadata", kBoth, kIgnored, nullptr, "", nullptr},
    {"store", kBoth, kIgnored, nullptr, "nothing is stored", nullptr},
    {"service_tier", kBoth, kIgnored, nullptr, "", nullptr},
    {"safety_identifier", kBoth, kIgnored, nullptr, "", nullptr},
    {"prompt_cache_key", kBoth, kIgnored, nullptr, "", nullptr},
};

}  // namespace

const FieldRow* field_table(size_t* count) {
  *count = std::size(kFields);
  return kFields;
}

const FieldRow* find_field(std::string_view name, Endpoint endpoint) {
  for (const FieldRow& row : kFields) {
    if (name == row.name && (row.endpoint == kBoth || row.endpoint == endpoint)) return &row;
  }
  return nullptr;
}

Json field_schemas(Endpoint endpoint) {
  Json schemas = Json::object();
  for (const FieldRow& row : kFields) {
    if (row.schema == nullptr || (row.endpoint != kBoth && row.endpoint != endpoint)) continue;
    Json schema = Json::parse(row.schema);
    schema["description"] = row.note;
    schemas[row.name] = std::move(schema);
  }
  return schemas;
}

}  // namespace hadal::openai
