#include "openai/request_fields.h"

#include <limits>

#include "openai/value_readers.h"

namespace hadal::openai {
namespace {

constexpr int64_t kMaxInt32 = std::numeric_limits<int32_t>::max();
constexpr size_t kMaxKwargs = 256;
constexpr double kNoLimit = std::numeric_limits<double>::max();
using Low = NumberRange::Low;

// ---- readers made from a member and a range ----

template <auto Member>
MaybeError common_bool(const Json& value, std::string_view name, ParseTarget& target) {
  bool flag = false;
  if (auto error = read_bool(value, name, &flag)) return error;
  target.common.*Member = flag;
  return std::nullopt;
}

template <auto Member>
MaybeError chat_bool(const Json& value, std::string_view name, ParseTarget& target) {
  bool flag = false;
  if (auto error = read_bool(value, name, &flag)) return error;
  target.chat->*Member = flag;
  return std::nullopt;
}

template <auto Member>
MaybeError common_string(const Json& value, std::string_view name, ParseTarget& target) {
  return read_string(value, name, &(target.common.*Member));
}

MaybeError number_into(const Json& value, std::string_view name, const NumberRange& range, std::optional<double>* out) {
  double number = 0;
  if (auto error = read_number(value, name, range, &number)) return error;
  *out = number;
  return std::nullopt;
}

template <auto Member, int LowTenths, int HighTenths, Low LowEnd = Low::kIncluded>
MaybeError common_number(const Json& value, std::string_view name, ParseTarget& target) {
  return number_into(value, name, {LowTenths / 10.0, HighTenths / 10.0, LowEnd}, &(target.common.*Member));
}

template <typename Out>
MaybeError integer_into(const Json& value, std::string_view name, int64_t low, int64_t high, Out* out) {
  int64_t number = 0;
  if (auto error = read_integer(value, name, low, high, &number)) return error;
  if constexpr (std::is_same_v<Out, std::optional<int32_t>> || std::is_same_v<Out, int32_t>) {
    *out = static_cast<int32_t>(number);
  } else {
    *out = number;
  }
  return std::nullopt;
}

// ---- readers of one field each ----

MaybeError read_repetition_penalty(const Json& value, std::string_view name, ParseTarget& target) {
  return number_into(value, name, {0.0, kNoLimit, Low::kExcluded}, &target.common.repetition_penalty);
}

MaybeError read_top_k(const Json& value, std::string_view name, ParseTarget& target) {
  return integer_into(value, name, -1, kMaxInt32, &target.common.top_k);
}

MaybeError read_seed(const Json& value, std::string_view name, ParseTarget& target) {
  if (auto error = integer_into(value, name, std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max(),
                                &target.common.seed)) {
    return error;
  }
  if (target.common.seed == -1) target.common.seed.reset();  // vLLM's "none given"
  return std::nullopt;
}

MaybeError read_max_tokens(const Json& value, std::string_view name, ParseTarget& target) {
  return integer_into(value, name, target.completion != nullptr ? 0 : 1, kMaxInt32, &target.common.max_tokens);
}

MaybeError read_max_completion_tokens(const Json& value, std::string_view name, ParseTarget& target) {
  return integer_into(value, name, 1, kMaxInt32, &target.max_completion_tokens);
}

MaybeError read_min_tokens(const Json& value, std::string_view name, ParseTarget& target) {
  return integer_into(value, name, 0, kMaxInt32, &target.common.min_tokens);
}

MaybeError read_n(const Json& value, std::string_view name, ParseTarget& target) {
  return integer_into(value, name, 1, target.limits.max_choices, &target.common.n);
}

MaybeError read_best_of(const Json& value, std::string_view name, ParseTarget& target) {
  return integer_into(value, name, 1, target.limits.max_choices, &target.best_of);
}

MaybeError read_priority(const Json& value, std::string_view name, ParseTarget& target) {
  return integer_into(value, name, std::numeric_limits<int32_t>::min(), kMaxInt32, &target.common.priority);
}

MaybeError read_stop(const Json& value, std::string_view name, ParseTarget& target) {
  if (!value.is_string() && !value.is_array()) return wrong_type(name, "a string or a list of strings", value);
  const size_t count = value.is_array() ? value.size() : 1;
  if (count > target.limits.max_stop_strings) {
    return invalid_request(fmt::format("'{}' has {} strings; at most {} are taken.", name, count,
                                       target.limits.max_stop_strings), std::string(name));
  }
  for (size_t i = 0; i < count; ++i) {
    const std::string place = value.is_array() ? fmt::format("{}[{}]", name, i) : std::string(name);
    std::string text;
    if (auto error = read_string(value.is_array() ? value[i] : value, place, &text)) return error;
    if (text.empty()) return invalid_request(fmt::format("'{}' must not be an empty string.", place), place);
    if (text.size() > target.limits.max_stop_bytes) {
      return invalid_request(fmt::format("'{}' is longer than {} bytes.", place, target.limits.max_stop_bytes), place);
    }
    target.common.stop.push_back(std::move(text));
  }
  return std::nullopt;
}

MaybeError read_stop_token_ids(const Json& value, std::string_view name, ParseTarget& target) {
  return read_token_ids(value, name, target.limits.max_stop_token_ids, &target.common.stop_token_ids);
}

MaybeError read_logit_bias(const Json& value, std::string_view name, ParseTarget& target) {
  if (!value.is_object()) return wrong_type(name, "an object of token ids and numbers", value);
  if (value.size() > target.limits.max_logit_bias) {
    return invalid_request(fmt::format("'{}' has {} entries; at most {} are taken.", name, value.size(),
                                       target.limits.max_logit_bias), std::string(name));
  }
  for (const auto& [key, bias] : value.items()) {
    const std::string place = fmt::format("{}.{}", name, key.substr(0, 40));
    const bool digits = !key.empty() && key.size() <= 10 && key.find_first_not_of("0123456789") == std::string::npos;
    const int64_t id = digits ? std::stoll(key) : -1;
    if (id < 0 || id > kMaxInt32) {
      return invalid_request(fmt::format("'{}': the keys of '{}' must be token ids.", place, name), place);
    }
    double number = 0;
    if (auto error = read_number(bias, place, {-100.0, 100.0}, &number)) return error;
    target.common.logit_bias.emplace_back(static_cast<int32_t>(id), static_cast<float>(number));
  }
  return std::nullopt;
}

MaybeError read_stream_options(const Json& value, std::string_view name, ParseTarget& target) {
  if (!value.is_object()) return wrong_type(name, "an object", value);
  target.stream_options_given = true;
  if (const Json* flag = member(value, "include_usage")) {
    if (auto error = read_bool(*flag, "stream_options.include_usage", &target.common.include_usage)) return error;
  }
  if (const Json* flag = member(value, "continuous_usage_stats")) {
    return read_bool(*flag, "stream_options.continuous_usage_stats", &target.common.continuous_usage_stats);
  }
  return std::nullopt;
}

MaybeError read_chat_logprobs(const Json& value, std::string_view name, ParseTarget& target) {
  bool flag = false;
  if (auto error = read_bool(value, name, &flag)) return error;
  target.chat_logprobs = flag;
  return std::nullopt;
}

MaybeError read_top_logprobs(const Json& value, std::string_view name, ParseTarget& target) {
  return integer_into(value, name, 0, target.limits.max_logprobs, &target.top_logprobs);
}

MaybeError read_prompt_logprobs(const Json& value, std::string_view name, ParseTarget& target) {
  return integer_into(value, name, 0, target.limits.max_logprobs, &target.common.prompt_logprobs);
}

MaybeError read_truncate_prompt_tokens(const Json& value, std::string_view name, ParseTarget& target) {
  if (auto error = integer_into(value, name, -1, kMaxInt32, &target.common.truncate_prompt_tokens)) return error;
  if (target.common.truncate_prompt_tokens == 0) {
    return invalid_request("'truncate_prompt_tokens' must be at least 1, or -1 for what fits.", std::string(name));
  }
  return std::nullopt;
}

MaybeError read_allowed_token_ids(const Json& value, std::string_view name, ParseTarget& target) {
  if (auto error = read_token_ids(value, name, target.limits.max_allowed_token_ids, &target.common.allowed_token_ids)) {
    return error;
  }
  if (target.common.allowed_token_ids.empty()) {
    return invalid_request("'allowed_token_ids' must not be empty: nothing could be answered.", std::string(name));
  }
  return std::nullopt;
}

MaybeError read_bad_words(const Json& value, std::string_view name, ParseTarget& target) {
  if (!value.is_array()) return wrong_type(name, "a list of strings", value);
  if (value.size() > target.limits.max_bad_words) {
    return invalid_request(fmt::format("'{}' has {} strings; at most {} are taken.", name, value.size(),
                                       target.limits.max_bad_words), std::string(name));
  }
  for (size_t i = 0; i < value.size(); ++i) {
    const std::string place = fmt::format("{}[{}]", name, i);
    std::string text;
    if (auto error = read_string(value[i], place, &text)) return error;
    if (text.empty() || text.size() > target.limits.max_bad_word_bytes) {
      return invalid_request(fmt::format("'{}' must have 1 to {} bytes.", place, target.limits.max_bad_word_bytes), place);
    }
    target.common.bad_words.push_back(std::move(text));
  }
  return std::nullopt;
}

MaybeError read_suffix(const Json& value, std::string_view name, ParseTarget& target) {
  return read_string(value, name, &target.completion->suffix);
}

MaybeError read_thinking_token_budget(const Json& value, std::string_view name, ParseTarget& target) {
  if (auto error = integer_into(value, name, -1, kMaxInt32, &target.chat->thinking_token_budget)) return error;
  if (target.chat->thinking_token_budget == -1) target.chat->thinking_token_budget.reset();
  return std::nullopt;
}

MaybeError read_chat_template(const Json& value, std::string_view name, ParseTarget& target) {
  if (auto error = read_string(value, name, &target.chat->chat_template)) return error;
  if (target.chat->chat_template.size() > target.limits.max_template_bytes) {
    return invalid_request(fmt::format("'{}' is longer than {} bytes.", name, target.limits.max_template_bytes),
                           std::string(name));
  }
  return std::nullopt;
}

MaybeError read_documents(const Json& value, std::string_view name, ParseTarget& target) {
  if (!value.is_array()) return wrong_type(name, "a list of objects", value);
  if (value.size() > target.limits.max_documents) {
    return invalid_request(fmt::format("'{}' has {} entries; at most {} are taken.", name, value.size(),
                                       target.limits.max_documents), std::string(name));
  }
  for (size_t i = 0; i < value.size(); ++i) {
    const std::string place = fmt::format("{}[{}]", name, i);
    if (!value[i].is_object()) return wrong_type(place, "an object", value[i]);
  }
  if (!value.empty()) target.chat->documents = std::make_shared<Json>(value);
  return std::nullopt;
}

MaybeError read_completion_logprobs(const Json& value, std::string_view name, ParseTarget& target) {
  return integer_into(value, name, 0, target.limits.max_logprobs, &target.completion->logprobs);
}

MaybeError read_echo(const Json& value, std::string_view name, ParseTarget& target) {
  return read_bool(value, name, &target.completion->echo);
}

MaybeError read_cache_salt(const Json& value, std::string_view name, ParseTarget& target) {
  if (auto error = read_string(value, name, &target.common.cache_salt)) return error;
  if (target.common.cache_salt.empty()) {
    return invalid_request("'cache_salt' must not be an empty string.", std::string(name));
  }
  return std::nullopt;
}

MaybeError read_resume(const Json& value, std::string_view name, ParseTarget& target) {
  if (!value.is_object()) return wrong_type(name, "an object of output_token_ids, seed and choice", value);
  Resume resume;
  const auto place = [&](std::string_view part) { return fmt::format("{}.{}", name, part); };
  // strict: a member that is misspelt would continue another answer than the one that was broken off
  for (const auto& [key, unused] : value.items()) {
    if (key != "output_token_ids" && key != "seed" && key != "choice") {
      const std::string shown = key.substr(0, 40);
      return invalid_request(fmt::format("'{}' has no member '{}': output_token_ids, seed and choice.", name, shown),
                             place(shown));
    }
  }
  for (const char* key : {"output_token_ids", "seed"}) {
    if (member(value, key) == nullptr) return invalid_request(fmt::format("'{}' is required.", place(key)), place(key));
  }
  if (auto error = read_token_ids(value["output_token_ids"], place("output_token_ids"), target.limits.max_resume_tokens,
                                  &resume.output_token_ids)) {
    return error;
  }
  if (auto error = integer_into(value["seed"], place("seed"), std::numeric_limits<int64_t>::min(),
                                std::numeric_limits<int64_t>::max(), &resume.seed)) {
    return error;
  }
  if (const Json* choice = member(value, "choice")) {
    if (auto error = integer_into(*choice, place("choice"), 0, kMaxInt32, &resume.choice)) return error;
  }
  target.common.resume = std::move(resume);
  return std::nullopt;
}

MaybeError read_add_special_tokens(const Json& value, std::string_view name, ParseTarget& target) {
  bool flag = false;
  if (auto error = read_bool(value, name, &flag)) return error;
  target.common.add_special_tokens = flag;
  return std::nullopt;
}

MaybeError read_kwargs(const Json& value, std::string_view name, ParseTarget& target) {
  if (!value.is_object()) return wrong_type(name, "an object", value);
  if (value.size() > kMaxKwargs) {
    return invalid_request(fmt::format("'{}' has more than {} members.", name, kMaxKwargs), std::string(name));
  }
  target.chat->chat_template_kwargs = std::make_shared<Json>(value);
  return std::nullopt;
}

MaybeError read_tool_choice(const Json& value, std::string_view name, ParseTarget& target) {
  if (value == "none") {
    target.chat->tool_choice_none = true;
    return std::nullopt;
  }
  if (value == "auto") {
    target.tool_choice_auto = true;
    return std::nullopt;
  }
  const std::string given = value.is_string() ? "\"" + value.get<std::string>().substr(0, 40) + "\"" : kind_of(value);
  return invalid_request(fmt::format("tool_choice {} is not supported: calls cannot be forced. Use \"none\" or \"auto\".", given), std::string(name));
}

MaybeError read_parallel_tool_calls(const Json& value, std::string_view name, ParseTarget& target) {
  bool flag = false;
  if (auto error = read_bool(value, name, &flag)) return error;
  target.chat->parallel_tool_calls = flag;
  return std::nullopt;
}

MaybeError read_reasoning_effort(const Json& value, std::string_view name, ParseTarget& target) {
  std::string& effort = target.chat->reasoning_effort;
  if (auto error = read_string(value, name, &effort)) return error;
  for (const char* known : {"none", "minimal", "low", "medium", "high", "xhigh", "max"}) {
    if (effort == known) return std::nullopt;
  }
  return invalid_request(fmt::format("'{}' must be none, minimal, low, medium, high, xhigh or max, not '{}'.", name,
                                     effort.substr(0, 40)), std::string(name));
}

// ---- refusals ----

MaybeError refuse(const Json&, std::string_view name, ParseTarget&) {
  return invalid_request(fmt::format("'{}' is not supported by this server. Leave it out.", name), std::string(name));
}

MaybeError refuse_unless_false(const Json& value, std::string_view name, ParseTarget& target) {
  return value.is_boolean() && !value.get<bool>() ? std::nullopt : refuse(value, name, target);
}

MaybeError refuse_unless_empty(const Json& value, std::string_view name, ParseTarget& target) {
  const bool harmless = (value.is_string() && value.get_ref<const std::string&>().empty()) ||
                        (value.is_structured() && value.empty());
  return harmless ? std::nullopt : refuse(value, name, target);
}

MaybeError read_response_format(const Json& value, std::string_view name, ParseTarget&) {
  const Json* type = member(value, "type");
  if (type == nullptr || !type->is_string()) return wrong_type(name, "an object with a 'type'", value);
  if (*type == "text") return std::nullopt;
  return invalid_request(fmt::format("response_format type '{}' is not supported: only 'text' is.",
                                     type->get<std::string>().substr(0, 40)), "response_format.type");
}

MaybeError read_modalities(const Json& value, std::string_view name, ParseTarget& target) {
  return value == Json::array({"text"}) ? std::nullopt : refuse(value, name, target);
}

// ---- the table ----

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
    {"request_id", kBoth, kUsed, common_string<&C::request_id>, "string", kString},
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
    {"truncate_prompt_tokens", kBoth, kUsed, read_truncate_prompt_tokens, "integer >= 1: only the last so many tokens of the prompt; -1: what fits", R"({"type":"integer","minimum":-1})"},
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
    {"length_penalty", kBoth, kIgnored, nullptr, "belongs to beam search", nullptr},
    {"spaces_between_special_tokens", kBoth, kIgnored, nullptr, "", nullptr},
    {"metadata", kBoth, kIgnored, nullptr, "", nullptr},
    {"store", kBoth, kIgnored, nullptr, "nothing is stored", nullptr},
    {"service_tier", kBoth, kIgnored, nullptr, "", nullptr},
    {"safety_identifier", kBoth, kIgnored, nullptr, "", nullptr},
    {"prompt_cache_key", kBoth, kIgnored, nullptr, "", nullptr},
};

constexpr const char* kNotes = R"(
## Headers

| header | from whom | meaning |
| --- | --- | --- |
| `x-hadal-tenant` | a trusted hop | whose request this is: its share of time and cache, and its own prefixes. Also `x-llm-d-inference-fairness-id`, and its old name `x-gateway-inference-fairness-id` |
| `x-hadal-hop-secret` | a trusted hop | over TCP: shows that it is one (`--trusted-hop-secret-file`, `HADAL_TRUSTED_HOP_SECRET`). Over a Unix socket (`--uds`) every client is trusted |
| `x-hadal-deadline-ms` | anyone | milliseconds from arrival in which the first token is wanted; a request that cannot have it is answered 503 (`deadline_unreachable`) at once instead of late |

Tenant headers from anybody else are ignored and counted in `hadal:untrusted_tenant_headers_total`. Answers carry
`x-hadal-seed`: the seed that was used, drawn if the request gave none.

## Refusals

429 `tenant_queue_full`: as many requests of this tenant wait as may. 503 `queue_full`, `deadline_unreachable`, `busy`,
`draining`, `engine_dead`. All carry `Retry-After` in seconds, from the rate at which the queue drains.

## Resume

A request that broke off on one engine goes on on another: the same body with `resume`, which brings the token ids that
were received (`return_token_ids`), the seed (`x-hadal-seed`) and the choice's index. `n` must be 1, with one prompt and without
`echo` or `prompt_logprobs`; `seed`, if given too, must be the same. The answer is exactly the rest, as its only choice (index 0):

- `max_tokens`, `min_tokens`, penalties and stop strings count what is there already; so does
  `usage.completion_tokens`. Reasoning goes on where it was.
- A chat stream begins with the usual chunk that has the role and empty content: a client that joins deltas
  sees the same text.
- `token_ids` and `logprobs` are of the new tokens; `prompt_token_ids` is sent again.
- If the tokens end the answer already, it ends at once.
)";

const char* endpoint_name(Endpoint endpoint) {
  return endpoint == kBoth ? "both" : endpoint == kChat ? "chat" : "completions";
}

const char* action_name(FieldAction action) {
  switch (action) {
    case kUsed: return "used";
    case kChecked: return "checked, no effect";
    case kIgnored: return "ignored";
    case kRefused: return "refused";
  }
  return "";
}

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

std::string request_fields_markdown() {
  std::string page =
      "# Fields of a request\n\n"
      "What happens to each field of `/v1/chat/completions` and `/v1/completions`. `null` counts as not given. A field that\n"
      "is not in this table is ignored, as vLLM does. A refused field is answered 400 with its name in `param`, because\n"
      "ignoring it would give an answer that was not asked for.\n\n"
      "This page is printed from the table in `src/openai/request_fields.cc`; a test holds it to that.\n\n"
      "| field | endpoint | what happens | values |\n| --- | --- | --- | --- |\n";
  for (const FieldRow& row : kFields) {
    page += fmt::format("| `{}` | {} | {} | {} |\n", row.name, endpoint_name(row.endpoint), action_name(row.action), row.note);
  }
  page += kNotes;
  return page;
}

}  // namespace hadal::openai
