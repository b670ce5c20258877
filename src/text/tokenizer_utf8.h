// UTF-8 for the tokenizer: reading, writing and the replacement of what is not UTF-8.
//
// Ill-formed bytes become U+FFFD by the rule of the Unicode standard ("maximal subparts", section 3.9), the
// one that Rust's from_utf8_lossy and Python's errors="replace" follow, so that results equal Hugging Face's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace hadal::tok {

inline constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

struct Utf8Char {
  uint32_t codepoint = 0;  // U+FFFD when ill-formed
  uint8_t length = 0;      // bytes read: of the character, or of the ill-formed subpart (never 0)
  bool valid = false;
  bool cut = false;  // the text ends inside what could still become a character
};

/// The character at byte `at` (which must be < text.size()).
Utf8Char read_utf8(std::string_view text, size_t at);

/// For text known to be valid UTF-8: bytes of the character that starts with `lead`.
inline size_t utf8_length(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

void append_utf8(std::string& out, uint32_t codepoint);
bool is_valid_utf8(std::string_view text);

/// Appends `bytes` with every ill-formed subpart replaced by U+FFFD.
void append_valid_utf8(std::string& out, std::string_view bytes);

/// How many leading bytes are settled: all but a last character that more bytes could still complete.
size_t settled_utf8_length(std::string_view bytes);

}  // namespace hadal::tok
