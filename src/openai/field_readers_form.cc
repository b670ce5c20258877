// Fields that say what is asked and in which form it is answered, and those that are refused.
#include "openai/field_readers.h"

namespace hadal::openai {
namespace {
constexpr size_t kMaxKwargs = 256;
constexpr size_t kMaxRequestId = 256;  // every chunk of a stream repeats it
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

MaybeError read_stream_interval(const Json& value, std::string_view name, ParseTarget& target) {
  return integer_into(value, name, 1, kMaxInt32, &target.common.stream_interval);
}

MaybeError read_request_id(const Json& value, std::string_view name, ParseTarget& target) {
  if (auto error = read_string(value, name, &target.common.request_id)) return error;
  if (target.common.request_id.size() <= kMaxRequestId) return std::nullopt;
  return invalid_request(fmt::format("'{}' is longer than {} bytes.", name, kMaxRequestId), std::string(name));
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

MaybeError read_suffix(const Json& value, std::string_view name, ParseTarget& target) {
  return read_string(value, name, &target.completion->suffix);
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

}  // namespace hadal::openai
