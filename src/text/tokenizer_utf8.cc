#include "text/tokenizer_utf8.h"

#include <algorithm>
#include <cstring>

namespace hadal::tok {
namespace {

// Which second bytes a first byte allows (Unicode standard, table 3-7), and the length of the whole.
struct Lead {
  uint8_t length, low, high;
};

Lead lead_of(unsigned char byte) {
  if (byte < 0xC2) return {0, 0, 0};
  if (byte < 0xE0) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

}  // namespace

Utf8Char read_utf8(std::string_view text, size_t at) {
  const auto first = static_cast<unsigned char>(text[at]);
  if (first < 0x80) return {first, 1, true, false};
  const Lead lead = lead_of(first);
  if (lead.length == 0) return {0xFFFD, 1, false, false};
  uint32_t codepoint = first & (0xFFu >> (lead.length + 1));
  for (uint8_t i = 1; i < lead.length; ++i) {
    if (at + i >= text.size()) return {0xFFFD, i, false, true};
    const auto next = static_cast<unsigned char>(text[at + i]);
    const uint8_t low = i == 1 ? lead.low : 0x80;
    const uint8_t high = i == 1 ? lead.high : 0xBF;
    if (next < low || next > high) return {0xFFFD, i, false, false};
    codepoint = codepoint << 6 | (next & 0x3Fu);
  }
  return {codepoint, lead.length, true, false};
}

void append_utf8(std::string& out, uint32_t codepoint) {
  const auto put = [&out](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (codepoint < 0x80) {
    put(codepoint);
  } else if (codepoint < 0x800) {
    put(0xC0 | codepoint >> 6);
    put(0x80 | (codepoint & 0x3F));
  } else if (codepoint < 0x10000) {
    put(0xE0 | codepoint >> 12);
    put(0x80 | (codepoint >> 6 & 0x3F));
    put(0x80 | (codepoint & 0x3F));
  } else {
    put(0xF0 | codepoint >> 18);
    put(0x80 | (codepoint >> 12 & 0x3F));
    put(0x80 | (codepoint >> 6 & 0x3F));
    put(0x80 | (codepoint & 0x3F));
  }
}

bool is_valid_utf8(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    uint64_t word = 0;  // eight ASCII bytes at a time: most text is ASCII
    if (at + sizeof word <= text.size()) {
      std::memcpy(&word, text.data() + at, sizeof word);
      if ((word & 0x8080808080808080u) == 0) {
        at += sizeof word;
        continue;
      }
    }
    const Utf8Char next = read_utf8(text, at);
    if (!next.valid) return false;
    at += next.length;
  }
  return true;
}

void append_valid_utf8(std::string& out, std::string_view bytes) {
  size_t kept = 0;  // bytes[kept, at) are valid and not yet appended
  size_t at = 0;
  while (at < bytes.size()) {
    const Utf8Char next = read_utf8(bytes, at);
    if (!next.valid) {
      out.append(bytes.substr(kept, at - kept));
      out.append(kReplacement);
      kept = at + next.length;
    }
    at += next.length;
  }
  out.append(bytes.substr(kept));
}

size_t settled_utf8_length(std::string_view bytes) {
  // A character is at most four bytes, so the open one can only start in the last three.
  const size_t first = bytes.size() - std::min<size_t>(bytes.size(), 3);
  for (size_t at = first; at < bytes.size(); ++at) {
    const auto byte = static_cast<unsigned char>(bytes[at]);
    if (byte < 0xC0) continue;  // ASCII or a continuation byte
    if (read_utf8(bytes, at).cut) return at;
  }
  return bytes.size();
}

}  // namespace hadal::tok
