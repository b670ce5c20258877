#include "openai/json_writer.h"

#include <array>
#include <charconv>
#include <cmath>

namespace hadal::openai {
namespace {

// Length of the valid UTF-8 sequence at `at`, 0 if there is none (RFC 3629: no surrogates, no overlong forms).
size_t sequence_length(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(at);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || at + length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xc0) != 0x80) return 0;
  }
  const unsigned char second = byte(at + 1);
  if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) || (first == 0xf0 && second < 0x90) ||
      (first == 0xf4 && second > 0x8f)) {
    return 0;
  }
  return length;
}

constexpr std::string_view kReplacement = "\xef\xbf\xbd";

bool is_plain(unsigned char c) { return c >= 0x20 && c < 0x80 && c != '"' && c != '\\'; }

void append_escape(unsigned char c, std::string* out) {
  switch (c) {
    case '"': *out += "\\\""; return;
    case '\\': *out += "\\\\"; return;
    case '\n': *out += "\\n"; return;
    case '\r': *out += "\\r"; return;
    case '\t': *out += "\\t"; return;
    default: {
      static constexpr char kHex[] = "0123456789abcdef";
      *out += "\\u00";
      out->push_back(kHex[c >> 4]);
      out->push_back(kHex[c & 15]);
    }
  }
}

template <typename T>
void append_number(T value, std::string* out) {
  std::array<char, 40> text;
  out->append(text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr);
}

}  // namespace

void append_json_string(std::string_view text, std::string* out) {
  out->push_back('"');
  size_t at = 0;
  while (at < text.size()) {
    size_t end = at;
    while (end < text.size() && is_plain(static_cast<unsigned char>(text[end]))) ++end;
    out->append(text, at, end - at);
    at = end;
    if (at == text.size()) break;
    const auto c = static_cast<unsigned char>(text[at]);
    if (c < 0x80) {
      append_escape(c, out);
      ++at;
    } else if (const size_t length = sequence_length(text, at); length > 0) {
      out->append(text, at, length);
      at += length;
    } else {
      *out += kReplacement;
      ++at;
    }
  }
  out->push_back('"');
}

void append_int(int64_t value, std::string* out) { append_number(value, out); }

void append_ints(const std::vector<int32_t>& values, std::string* out) {
  out->push_back('[');
  for (size_t i = 0; i < values.size(); ++i) {
    if (i > 0) out->push_back(',');
    append_number(values[i], out);
  }
  out->push_back(']');
}

void append_logprob(float value, std::string* out) {
  if (std::isnan(value)) {
    *out += "null";
  } else {
    append_number(value < -9999.0f ? -9999.0f : value > 9999.0f ? 9999.0f : value, out);
  }
}

std::string to_valid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t length = sequence_length(text, at);
    out += length > 0 ? text.substr(at, length) : kReplacement;
    at += length > 0 ? length : 1;
  }
  return out;
}

int64_t count_code_points(std::string_view text) {
  int64_t count = 0;
  for (size_t at = 0; at < text.size(); ++count) {
    const size_t length = sequence_length(text, at);
    at += length > 0 ? length : 1;
  }
  return count;
}

}  // namespace hadal::openai
