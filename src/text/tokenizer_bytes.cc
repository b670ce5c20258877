#include "text/tokenizer_bytes.h"

#include <fmt/format.h>

#include <array>

#include "text/tokenizer_utf8.h"

namespace hadal::tok {
namespace {

struct Alphabet {
  std::array<uint16_t, 256> letter{};
  std::array<int16_t, 512> byte{};

  Alphabet() {
    byte.fill(-1);
    uint16_t next = 256;
    for (unsigned i = 0; i < 256; ++i) {
      const bool itself = (i >= '!' && i <= '~') || (i >= 0xA1 && i <= 0xAC) || i >= 0xAE;
      letter[i] = itself ? static_cast<uint16_t>(i) : next++;
      byte[letter[i]] = static_cast<int16_t>(i);
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet instance;
  return instance;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

uint32_t byte_letter(uint8_t byte) { return alphabet().letter[byte]; }

int letter_byte(uint32_t codepoint) {
  return codepoint < alphabet().byte.size() ? alphabet().byte[codepoint] : -1;
}

void append_byte_letters(std::string& out, std::string_view bytes) {
  for (const char byte : bytes) append_utf8(out, byte_letter(static_cast<uint8_t>(byte)));
}

std::optional<std::string> bytes_of_letters(std::string_view letters) {
  std::string bytes;
  bytes.reserve(letters.size());
  for (size_t at = 0; at < letters.size();) {
    const Utf8Char next = read_utf8(letters, at);
    const int byte = next.valid ? letter_byte(next.codepoint) : -1;
    if (byte < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(byte));
    at += next.length;
  }
  return bytes;
}

int fallback_byte(std::string_view token) {
  if (token.size() != 6 || token.substr(0, 3) != "<0x" || token[5] != '>') return -1;
  const int high = hex_digit(token[3]);
  const int low = hex_digit(token[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

std::string fallback_token(uint8_t byte) { return fmt::format("<0x{:02X}>", byte); }

}  // namespace hadal::tok
