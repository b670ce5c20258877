// The byte-level alphabet (GPT-2's): every byte has a printable letter, so that a vocabulary of strings can
// hold any byte. Printable ASCII and Latin-1 stand for themselves, the other 68 bytes for U+0100 and on, in
// order.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hadal::tok {

/// The letter of a byte.
uint32_t byte_letter(uint8_t byte);
/// The byte of a letter; -1 when the code point is none.
int letter_byte(uint32_t codepoint);

/// Appends the letters of `bytes`.
void append_byte_letters(std::string& out, std::string_view bytes);
/// The bytes that `letters` stands for; nothing when one of its characters is no letter.
std::optional<std::string> bytes_of_letters(std::string_view letters);

/// "<0x0A>" as byte-fallback tokens are written; -1 for any other text.
int fallback_byte(std::string_view token);
std::string fallback_token(uint8_t byte);

}  // namespace hadal::tok
