// JSON written by hand where a tree would cost too much: one chunk per generated token. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hadal::openai {

/// Appends `text` quoted and escaped. Bytes that are no UTF-8 become U+FFFD, so the result is always valid.
void append_json_string(std::string_view text, std::string* out);

void append_int(int64_t value, std::string* out);
void append_ints(const std::vector<int32_t>& values, std::string* out);  // [1,2]
/// A log probability: NaN is null; minus infinity is -9999, as vLLM writes it.
void append_logprob(float value, std::string* out);

/// `text` with every invalid byte sequence replaced by U+FFFD.
std::string to_valid_utf8(std::string_view text);
/// Code points of `text`, an invalid byte counting as one.
int64_t count_code_points(std::string_view text);

/// [a,b]; `append(i)` writes element i.
template <typename Append>
void append_list(size_t count, std::string* out, Append append) {
  out->push_back('[');
  for (size_t i = 0; i < count; ++i) {
    if (i > 0) out->push_back(',');
    append(i);
  }
  out->push_back(']');
}

}  // namespace hadal::openai
