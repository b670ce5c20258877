// Fields that say what is drawn, how many tokens there may be and what ends them.
#include "openai/field_readers.h"

namespace hadal::openai {
namespace {
constexpr double kNoLimit = std::numeric_limits<double>::max();
}

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

MaybeError read_truncate_prompt_tokens(const Json& value, std::string_view name, ParseTarget& target) {
  if (auto error = integer_into(value, name, -1, kMaxInt32, &target.common.truncate_prompt_tokens)) return error;
  if (target.common.truncate_prompt_tokens == 0) {
    return invalid_request("'truncate_prompt_tokens' must be at least 1, or -1 for what fits.", std::string(name));
  }
  return std::nullopt;
}

MaybeError read_truncation_side(const Json& value, std::string_view name, ParseTarget& target) {
  if (value != "left" && value != "right") {
    return invalid_request(fmt::format("'{}' must be \"left\" or \"right\".", name), std::string(name));
  }
  target.common.truncate_keeps_first = value == "right";
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

MaybeError read_thinking_token_budget(const Json& value, std::string_view name, ParseTarget& target) {
  if (auto error = integer_into(value, name, -1, kMaxInt32, &target.chat->thinking_token_budget)) return error;
  if (target.chat->thinking_token_budget == -1) target.chat->thinking_token_budget.reset();
  return std::nullopt;
}

}  // namespace hadal::openai
