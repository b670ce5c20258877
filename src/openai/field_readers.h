// Readers of request fields, one each: what a FieldRow of request_fields.cc names. Inside of openai/.
#pragma once

#include <limits>
#include <optional>
#include <string_view>
#include <type_traits>

#include "openai/request_fields.h"
#include "openai/value_readers.h"

namespace hadal::openai {

inline constexpr int64_t kMaxInt32 = std::numeric_limits<int32_t>::max();
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

inline MaybeError number_into(const Json& value, std::string_view name, const NumberRange& range, std::optional<double>* out) {
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

// ---- what is drawn, and when it ends: field_readers_sampling.cc ----

MaybeError read_repetition_penalty(const Json& value, std::string_view name, ParseTarget& target);
MaybeError read_top_k(const Json& value, std::string_view name, ParseTarget& target);
MaybeError read_seed(const Json& value, std::string_view name, ParseTarget& target);
MaybeError read_max_tokens(const Json& value, std::string_view name, ParseTarget& target);
MaybeError read_max_completion_tokens(const Json& value, std::string_view name, ParseTarget& target);
MaybeError read_min_tokens(const Json& value, std::string_view name, ParseTarget& target);
MaybeError read_n(const Json& value, std::string_view name, ParseTarget& target);
MaybeError read_best_of(const Json& value, std::string_view name, ParseTarget& target);
MaybeError read_priority(const Json& value, std::string_view name, ParseTarget& target);
MaybeError read_stop(const Json& value, std::string_view name, ParseTarget& target);
MaybeError read_stop_token_ids(const Json& value, std::string_view name, ParseTarget& target);
MaybeError read_logit_bias(const Json& value, std::string_view name, ParseTarget& target);
MaybeError read_truncate_prompt_tokens(const Json& value, std::string_view name, ParseTarget& target);
MaybeError read_truncation_side(const Json& value, std::string_view name, ParseTarget& target);
MaybeError read_allowed_token_ids(const Json& value, std::string_view name, ParseTarget& target);
MaybeError read_bad_words(const Json& value, std::string_view name, ParseTarget& target);
MaybeError read_thinking_token_budget(const Json& value, std::string_view name, ParseTarget& target);

// ---- what is asked and in which form it is answered: field_readers_form.cc ----

MaybeError read_stream_options(const Json& value, std::string_view name, ParseTarget& target);
MaybeError read_stream_interval(const Json& value, std::string_view name, ParseTarget& target);
MaybeError read_request_id(const Json& value, std::string_view name, ParseTarget& target);
MaybeError read_chat_logprobs(const Json& value, std::string_view name, ParseTarget& target);
MaybeError read_top_logprobs(const Json& value, std::string_view name, ParseTarget& target);
MaybeError read_prompt_logprobs(const Json& value, std::string_view name, ParseTarget& target);
MaybeError read_suffix(const Json& value, std::string_view name, ParseTarget& target);
MaybeError read_chat_template(const Json& value, std::string_view name, ParseTarget& target);
MaybeError read_documents(const Json& value, std::string_view name, ParseTarget& target);
MaybeError read_completion_logprobs(const Json& value, std::string_view name, ParseTarget& target);
MaybeError read_echo(const Json& value, std::string_view name, ParseTarget& target);
MaybeError read_cache_salt(const Json& value, std::string_view name, ParseTarget& target);
MaybeError read_resume(const Json& value, std::string_view name, ParseTarget& target);
MaybeError read_add_special_tokens(const Json& value, std::string_view name, ParseTarget& target);
MaybeError read_kwargs(const Json& value, std::string_view name, ParseTarget& target);
MaybeError read_tool_choice(const Json& value, std::string_view name, ParseTarget& target);
MaybeError read_parallel_tool_calls(const Json& value, std::string_view name, ParseTarget& target);
MaybeError read_reasoning_effort(const Json& value, std::string_view name, ParseTarget& target);

// ---- refusals: field_readers_form.cc ----

MaybeError refuse(const Json& value, std::string_view name, ParseTarget& target);
MaybeError refuse_unless_false(const Json& value, std::string_view name, ParseTarget& target);
MaybeError refuse_unless_empty(const Json& value, std::string_view name, ParseTarget& target);
MaybeError read_response_format(const Json& value, std::string_view name, ParseTarget& target);
MaybeError read_modalities(const Json& value, std::string_view name, ParseTarget& target);

}  // namespace hadal::openai
