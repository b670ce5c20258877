#include "text/jinja/string_literal.h"

#include "text/jinja/failure.h"
#include "text/jinja/unicode.h"

namespace hadal::jinja {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

char32_t read_hex(std::string_view body, size_t& i, size_t digits, char kind, int line) {
  char32_t value = 0;
  for (size_t n = 0; n < digits; ++n, ++i) {
    const int digit = i < body.size() ? hex_digit(body[i]) : -1;
    if (digit < 0) fail_syntax(line, "truncated \\{} escape", kind);
    value = value * 16 + static_cast<char32_t>(digit);
  }
  return value;
}

/// \ud83d\ude00: two halves make one character.
char32_t join_surrogates(char32_t high, std::string_view body, size_t& i, int line) {
  if (high < 0xD800 || high > 0xDFFF) return high;
  if (high < 0xDC00 && body.substr(i, 2) == "\\u") {
    size_t next = i + 2;
    const char32_t low = read_hex(body, next, 4, 'u', line);
    if (low >= 0xDC00 && low <= 0xDFFF) {
      i = next;
      return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
    }
  }
  fail_syntax(line, "a \\u escape is half a surrogate pair");
}

char32_t read_octal(std::string_view body, size_t& i) {
  char32_t value = 0;
  for (int n = 0; n < 3 && i < body.size() && body[i] >= '0' && body[i] <= '7'; ++n, ++i) {
    value = value * 8 + static_cast<char32_t>(body[i] - '0');
  }
  return value;
}

}  // namespace

std::string unescape_literal(std::string_view body, int line) {
  std::string out;
  out.reserve(body.size());
  for (size_t i = 0; i < body.size();) {
    if (body[i] != '\\') {
      out += body[i++];
      continue;
    }
    ++i;
    if (i >= body.size()) fail_syntax(line, "\\ at end of string");
    const char kind = body[i++];
    switch (kind) {
      case '\n': break;
      case '\\':
      case '\'':
      case '"': out += kind; break;
      case 'a': out += '\a'; break;
      case 'b': out += '\b'; break;
      case 'f': out += '\f'; break;
      case 'n': out += '\n'; break;
      case 'r': out += '\r'; break;
      case 't': out += '\t'; break;
      case 'v': out += '\v'; break;
      case 'x': append_utf8(out, read_hex(body, i, 2, kind, line)); break;
      case 'u': append_utf8(out, join_surrogates(read_hex(body, i, 4, kind, line), body, i, line)); break;
      case 'U': {
        const char32_t c = read_hex(body, i, 8, kind, line);
        if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) fail_syntax(line, "illegal Unicode character");
        append_utf8(out, c);
        break;
      }
      case 'N': fail_syntax(line, "\\N{{name}} escapes are not supported");
      default:
        if (kind >= '0' && kind <= '7') {
          append_utf8(out, read_octal(body, --i));
        } else {
          out += '\\';
          out += kind;
        }
    }
  }
  return out;
}

}  // namespace hadal::jinja
