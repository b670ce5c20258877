#include "text/jinja/unicode.h"

#include <string.h>
#include <utf8proc.h>

namespace hadal::jinja {
namespace {

bool is_ascii(std::string_view text) {
  for (unsigned char c : text) {
    if (c >= 0x80) return false;
  }
  return true;
}

utf8proc_category_t category(char32_t c) { return utf8proc_category(static_cast<utf8proc_int32_t>(c)); }

/// Python maps a few single letters to several; utf8proc maps one to one.
bool append_special_upper(std::string& out, char32_t c) {
  switch (c) {
    case 0xDF: out += "SS"; return true;
    case 0x149: out += "\xCA\xBCN"; return true;
    case 0x1F0: out += "J\xCC\x8C"; return true;
    case 0xFB00: out += "FF"; return true;
    case 0xFB01: out += "FI"; return true;
    case 0xFB02: out += "FL"; return true;
    case 0xFB03: out += "FFI"; return true;
    case 0xFB04: out += "FFL"; return true;
    case 0xFB05:
    case 0xFB06: out += "ST"; return true;
    default: return false;
  }
}

void append_upper(std::string& out, char32_t c) {
  if (append_special_upper(out, c)) return;
  append_utf8(out, static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))));
}

void append_title(std::string& out, char32_t c) {
  if (c == 0xDF) {
    out += "Ss";
  } else if (c >= 0xFB00 && c <= 0xFB06) {
    std::string whole;
    append_special_upper(whole, c);
    out += whole[0];
    for (size_t i = 1; i < whole.size(); ++i) out += static_cast<char>(whole[i] + 32);
  } else if (!append_special_upper(out, c)) {
    append_utf8(out, static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c))));
  }
}

bool is_cased(char32_t c) { return is_upper(c) || is_lower(c); }

/// Greek sigma at the end of a word has a form of its own.
void append_lower(std::string& out, char32_t c, std::string_view text, size_t begin, size_t end) {
  if (c == 0x130) {
    out += "i\xCC\x87";
    return;
  }
  if (c == 0x3A3) {
    bool before = false;
    for (size_t i = begin; i > 0 && !before;) {
      do --i;
      while (i > 0 && (static_cast<unsigned char>(text[i]) & 0xC0) == 0x80);
      size_t at = i;
      char32_t previous = next_code_point(text, at);
      if (previous == '\'' || previous == 0x2019 || category(previous) == UTF8PROC_CATEGORY_MN) continue;
      before = is_cased(previous);
      break;
    }
    bool after = false;
    for (size_t i = end; i < text.size();) {
      char32_t next = next_code_point(text, i);
      if (next == '\'' || next == 0x2019 || category(next) == UTF8PROC_CATEGORY_MN) continue;
      after = is_cased(next);
      break;
    }
    out += before && !after ? "\xCF\x82" : "\xCF\x83";
    return;
  }
  append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
}

bool contains_code_point(std::string_view chars, char32_t wanted) {
  for (size_t i = 0; i < chars.size();) {
    if (next_code_point(chars, i) == wanted) return true;
  }
  return false;
}

template <typename Stripped>
std::string_view strip_where(std::string_view text, Side side, Stripped stripped) {
  size_t begin = 0;
  size_t end = text.size();
  if (side != Side::kRight) {
    while (begin < end) {
      size_t next = begin;
      if (!stripped(next_code_point(text, next))) break;
      begin = next;
    }
  }
  if (side != Side::kLeft) {
    while (end > begin) {
      size_t start = end - 1;
      while (start > begin && end - start < 4 && (static_cast<unsigned char>(text[start]) & 0xC0) == 0x80) --start;
      size_t next = start;
      char32_t c = next_code_point(text, next);
      if (next != end) {  // a stray continuation byte stands for itself
        start = end - 1;
        c = 0xFFFD;
      }
      if (!stripped(c)) break;
      end = start;
    }
  }
  return text.substr(begin, end - begin);
}

}  // namespace

char32_t next_code_point(std::string_view text, size_t& position) {
  const auto first = static_cast<unsigned char>(text[position]);
  if (first < 0x80) return text[position++];
  utf8proc_int32_t c = 0;
  auto length = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + position,
                                 static_cast<utf8proc_ssize_t>(text.size() - position), &c);
  if (length <= 0) {
    ++position;
    return 0xFFFD;
  }
  position += static_cast<size_t>(length);
  return static_cast<char32_t>(c);
}

void append_utf8(std::string& out, char32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xC0 | (c >> 6));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xE0 | (c >> 12));
    out += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | (c >> 18));
    out += static_cast<char>(0x80 | ((c >> 12) & 0x3F));
    out += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  }
}

bool is_valid_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    size_t before = i;
    if (next_code_point(text, i) == 0xFFFD && i == before + 1) return false;
  }
  return true;
}

size_t code_point_count(std::string_view text) {
  if (is_ascii(text)) return text.size();
  size_t count = 0;
  for (size_t i = 0; i < text.size(); ++count) next_code_point(text, i);
  return count;
}

size_t byte_offset(std::string_view text, size_t index) {
  size_t position = 0;
  while (index > 0 && position < text.size()) {
    next_code_point(text, position);
    --index;
  }
  return position;
}

bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_alpha(char32_t c) {
  auto k = category(c);
  return k == UTF8PROC_CATEGORY_LU || k == UTF8PROC_CATEGORY_LL || k == UTF8PROC_CATEGORY_LT ||
         k == UTF8PROC_CATEGORY_LM || k == UTF8PROC_CATEGORY_LO;
}
bool is_decimal(char32_t c) { return category(c) == UTF8PROC_CATEGORY_ND; }
bool is_numeric(char32_t c) {
  auto k = category(c);
  return k == UTF8PROC_CATEGORY_ND || k == UTF8PROC_CATEGORY_NL || k == UTF8PROC_CATEGORY_NO;
}
bool is_alnum(char32_t c) { return is_alpha(c) || is_numeric(c); }
bool is_upper(char32_t c) {
  auto k = category(c);
  return k == UTF8PROC_CATEGORY_LU || k == UTF8PROC_CATEGORY_LT;
}
bool is_lower(char32_t c) { return category(c) == UTF8PROC_CATEGORY_LL || c == 0xAA || c == 0xBA; }

bool is_printable(char32_t c) {
  if (c == ' ') return true;
  switch (category(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS: return false;
    default: return true;
  }
}

std::string upper(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) append_upper(out, next_code_point(text, i));
  return out;
}

std::string lower(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    size_t begin = i;
    char32_t c = next_code_point(text, i);
    append_lower(out, c, text, begin, i);
  }
  return out;
}

std::string title(std::string_view text) {
  std::string out;
  bool in_word = false;
  for (size_t i = 0; i < text.size();) {
    size_t begin = i;
    char32_t c = next_code_point(text, i);
    if (in_word) {
      append_lower(out, c, text, begin, i);
    } else {
      append_title(out, c);
    }
    in_word = is_cased(c);
  }
  return out;
}

std::string capitalize(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    size_t begin = i;
    char32_t c = next_code_point(text, i);
    if (begin == 0) {
      append_title(out, c);
    } else {
      append_lower(out, c, text, begin, i);
    }
  }
  return out;
}

std::string swapcase(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    size_t begin = i;
    char32_t c = next_code_point(text, i);
    if (is_upper(c)) {
      append_lower(out, c, text, begin, i);
    } else {
      append_upper(out, c);
    }
  }
  return out;
}

std::string_view strip(std::string_view text, Side side) {
  return strip_where(text, side, [](char32_t c) { return is_space(c); });
}

std::string_view strip_chars(std::string_view text, std::string_view chars, Side side) {
  return strip_where(text, side, [chars](char32_t c) { return contains_code_point(chars, c); });
}

size_t find_bytes(std::string_view text, std::string_view needle, size_t from) {
  if (from > text.size()) return std::string_view::npos;
  if (needle.empty()) return from;
  if (needle.size() == 1) return text.find(needle[0], from);
  const void* hit = memmem(text.data() + from, text.size() - from, needle.data(), needle.size());
  if (hit == nullptr) return std::string_view::npos;
  return static_cast<size_t>(static_cast<const char*>(hit) - text.data());
}

}  // namespace hadal::jinja
