// Text as Python's `str` sees it, over UTF-8 bytes: positions and lengths count code points.
//
// Bytes that are no UTF-8 count as one character each, so that nothing here can fail or read past the end.
// All functions are pure and may be called from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace hadal::jinja {

/// Reads one code point at `position` and moves past it; an invalid byte gives U+FFFD and moves by one.
char32_t next_code_point(std::string_view text, size_t& position);
void append_utf8(std::string& out, char32_t code_point);
bool is_valid_utf8(std::string_view text);

/// len(text)
size_t code_point_count(std::string_view text);
/// The byte position of code point `index`; text.size() where there are fewer.
size_t byte_offset(std::string_view text, size_t index);

bool is_space(char32_t c);         // str.isspace
bool is_alpha(char32_t c);         // str.isalpha
bool is_numeric(char32_t c);       // str.isnumeric, without CJK numerals
bool is_decimal(char32_t c);       // str.isdecimal
bool is_alnum(char32_t c);
bool is_upper(char32_t c);         // an upper- or titlecase letter
bool is_lower(char32_t c);
bool is_printable(char32_t c);     // str.isprintable: what repr() does not escape

std::string upper(std::string_view text);
std::string lower(std::string_view text);
std::string title(std::string_view text);       // str.title
std::string capitalize(std::string_view text);  // str.capitalize
std::string swapcase(std::string_view text);

enum class Side { kBoth, kLeft, kRight };
/// str.strip() of white space.
std::string_view strip(std::string_view text, Side side = Side::kBoth);
/// str.strip(chars)
std::string_view strip_chars(std::string_view text, std::string_view chars, Side side = Side::kBoth);

/// The first position >= from of `needle` in `text`, npos if none; linear in the worst case.
size_t find_bytes(std::string_view text, std::string_view needle, size_t from = 0);

}  // namespace hadal::jinja
