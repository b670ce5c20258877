// The methods of Python's str.
#include <algorithm>

#include "text/jinja/builtins.h"
#include "text/jinja/failure.h"
#include "text/jinja/operations.h"
#include "text/jinja/unicode.h"

namespace hadal::jinja {
namespace {

constexpr size_t kNone = std::string_view::npos;

Value like(Runtime& r, const Value& self, std::string text) { return r.text(std::move(text), self.is_markup()); }
Value like(Runtime& r, const Value& self, std::string_view text) { return like(r, self, std::string(text)); }

Value strip_method(Runtime& r, const Value& self, const Bound& a, Side side) {
  if (a.given(0)) {
    r.charge_scan(self.text().size(), a.text(0).size());
    return like(r, self, strip_chars(self.text(), a.text(0), side));
  }
  return like(r, self, strip(self.text(), side));
}
Value method_strip(Runtime& r, const Value& self, const Bound& a) { return strip_method(r, self, a, Side::kBoth); }
Value method_lstrip(Runtime& r, const Value& self, const Bound& a) { return strip_method(r, self, a, Side::kLeft); }
Value method_rstrip(Runtime& r, const Value& self, const Bound& a) { return strip_method(r, self, a, Side::kRight); }

using Pieces = std::vector<std::string_view>;

Value list_of(Runtime& r, const Value& self, const Pieces& pieces) {
  std::vector<Value> items;
  for (std::string_view piece : pieces) items.push_back(like(r, self, piece));
  return r.list(std::move(items));
}

Pieces split_spaces(std::string_view text, Int limit) {
  Pieces pieces;
  text = strip(text, Side::kLeft);
  while (!text.empty()) {
    if (limit-- == 0) {
      pieces.push_back(text);
      break;
    }
    size_t end = 0;
    for (size_t i = 0; i < text.size();) {
      if (is_space(next_code_point(text, i))) break;
      end = i;
    }
    pieces.push_back(text.substr(0, end));
    text = strip(text.substr(end), Side::kLeft);
  }
  return pieces;
}

Pieces split_spaces_from_right(std::string_view text, Int limit) {
  Pieces all = split_spaces(text, -1);
  if (limit < 0 || static_cast<Int>(all.size()) <= limit) return all;
  Pieces pieces;
  const auto kept = static_cast<size_t>(limit);
  if (all.size() > kept) {
    const std::string_view last_joined = all[all.size() - kept - 1];
    pieces.push_back(text.substr(0, static_cast<size_t>(last_joined.data() + last_joined.size() - text.data())));
  }
  pieces.insert(pieces.end(), all.end() - static_cast<ptrdiff_t>(kept), all.end());
  return pieces;
}

Pieces split_at(std::string_view text, std::string_view separator, Int limit) {
  Pieces pieces;
  for (; limit != 0; --limit) {
    const size_t hit = find_bytes(text, separator);
    if (hit == kNone) break;
    pieces.push_back(text.substr(0, hit));
    text.remove_prefix(hit + separator.size());
  }
  pieces.push_back(text);
  return pieces;
}

Pieces split_at_from_right(Runtime& r, std::string_view text, std::string_view separator, Int limit) {
  r.charge_scan(text.size(), separator.size());
  Pieces pieces;
  for (; limit != 0; --limit) {
    const size_t hit = text.rfind(separator);
    if (hit == kNone) break;
    pieces.push_back(text.substr(hit + separator.size()));
    text = text.substr(0, hit);
  }
  pieces.push_back(text);
  std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

Value method_split(Runtime& r, const Value& self, const Bound& a) {
  const Int limit = a.integer(1, -1);
  if (!a.given(0)) return list_of(r, self, split_spaces(self.text(), limit));
  if (a.text(0).empty()) fail("empty separator");
  return list_of(r, self, split_at(self.text(), a.text(0), limit));
}

Value method_rsplit(Runtime& r, const Value& self, const Bound& a) {
  const Int limit = a.integer(1, -1);
  if (!a.given(0)) return list_of(r, self, split_spaces_from_right(self.text(), limit));
  if (a.text(0).empty()) fail("empty separator");
  return list_of(r, self, split_at_from_right(r, self.text(), a.text(0), limit));
}

Value method_splitlines(Runtime& r, const Value& self, const Bound& a) {
  Pieces lines = split_lines(self.text());
  if (a.flag(0)) {  // with their ends: up to where the next begins
    for (size_t i = 0; i < lines.size(); ++i) {
      const char* end = i + 1 < lines.size() ? lines[i + 1].data() : self.text().data() + self.text().size();
      lines[i] = {lines[i].data(), static_cast<size_t>(end - lines[i].data())};
    }
  }
  return list_of(r, self, lines);
}

/// text[start:end] in code points, as find, count and startswith take it; nothing when start lies behind the end.
std::optional<std::string_view> window(const Value& self, const Bound& a, size_t first) {
  const std::string_view text = self.text();
  const auto length = static_cast<Int>(code_point_count(text));
  const auto place = [&](size_t i, Int otherwise) -> Int {
    if (!a.given(i)) return otherwise;
    const Int n = a.integer(i, otherwise);
    return n < 0 ? std::max<Int>(n + length, 0) : n;
  };
  const Int start = place(first, 0);
  const Int end = std::min(place(first + 1, length), length);
  if (start > length || start > end) return std::nullopt;
  const size_t begin = byte_offset(text, static_cast<size_t>(start));
  return text.substr(begin, byte_offset(text.substr(begin), static_cast<size_t>(end - start)));
}

Value affix(const Value& self, const Bound& a, bool prefix) {
  const auto part = window(self, a, 1);
  const auto matches = [&](const Value& wanted) {
    if (!wanted.is_string()) {
      fail("{} first arg must be str or a tuple of str, not {}", prefix ? "startswith" : "endswith", type_name(wanted));
    }
    return part && (prefix ? part->starts_with(wanted.text()) : part->ends_with(wanted.text()));
  };
  const auto* several = a.at(0).as<Tuple>();
  if (several == nullptr) return Value(matches(a.at(0)));
  const auto& items = several->object->items;
  return Value(std::any_of(items.begin(), items.end(), matches));
}
Value method_startswith(Runtime&, const Value& self, const Bound& a) { return affix(self, a, true); }
Value method_endswith(Runtime&, const Value& self, const Bound& a) { return affix(self, a, false); }

/// The position in code points of the first or last occurrence, -1 without one.
Int position_of(Runtime& r, const Value& self, const Bound& a, bool last) {
  const auto part = window(self, a, 1);
  if (!part) return -1;
  if (last) r.charge_scan(part->size(), a.text(0).size());
  const size_t hit = last ? part->rfind(a.text(0)) : find_bytes(*part, a.text(0));
  if (hit == kNone) return -1;
  const auto before = static_cast<size_t>(part->data() - self.text().data());
  return static_cast<Int>(code_point_count(self.text().substr(0, before + hit)));
}
Value method_find(Runtime& r, const Value& self, const Bound& a) { return Value(position_of(r, self, a, false)); }
Value method_rfind(Runtime& r, const Value& self, const Bound& a) { return Value(position_of(r, self, a, true)); }
Value found_or_fail(Int position) {
  if (position < 0) fail("substring not found");
  return Value(position);
}
Value method_index(Runtime& r, const Value& self, const Bound& a) { return found_or_fail(position_of(r, self, a, false)); }
Value method_rindex(Runtime& r, const Value& self, const Bound& a) { return found_or_fail(position_of(r, self, a, true)); }

Value method_count(Runtime&, const Value& self, const Bound& a) {
  const auto part = window(self, a, 1);
  const std::string_view wanted = a.text(0);
  if (!part) return Value(Int(0));
  if (wanted.empty()) return Value(static_cast<Int>(code_point_count(*part)) + 1);
  return Value(static_cast<Int>(split_at(*part, wanted, -1).size()) - 1);
}

Value method_replace(Runtime& r, const Value& self, const Bound& a) {
  return like(r, self, replace_all(r, self.text(), a.text(0), a.text(1), a.integer(2, -1)));
}
Value method_upper(Runtime& r, const Value& self, const Bound&) { return like(r, self, upper(self.text())); }
Value method_lower(Runtime& r, const Value& self, const Bound&) { return like(r, self, lower(self.text())); }
Value method_title(Runtime& r, const Value& self, const Bound&) { return like(r, self, title(self.text())); }
Value method_capitalize(Runtime& r, const Value& self, const Bound&) { return like(r, self, capitalize(self.text())); }
Value method_swapcase(Runtime& r, const Value& self, const Bound&) { return like(r, self, swapcase(self.text())); }

Value method_join(Runtime& r, const Value& self, const Bound& a) {
  const std::vector<Value> items = to_vector(r, a.at(0));
  for (size_t i = 0; i < items.size(); ++i) {
    if (!items[i].is_string()) fail("sequence item {}: expected str instance, {} found", i, type_name(items[i]));
  }
  return like(r, self, join_texts(r, self.text(), items));
}

Value method_format(Runtime& r, const Value& self, const Bound& a) {
  return like(r, self, brace_format(r, self.text(), a.all()));
}

Value method_removeprefix(Runtime& r, const Value& self, const Bound& a) {
  std::string_view text = self.text();
  if (text.starts_with(a.text(0))) text.remove_prefix(a.text(0).size());
  return like(r, self, text);
}
Value method_removesuffix(Runtime& r, const Value& self, const Bound& a) {
  std::string_view text = self.text();
  if (text.ends_with(a.text(0))) text.remove_suffix(a.text(0).size());
  return like(r, self, text);
}

Value partition_at(Runtime& r, const Value& self, const Bound& a, bool last) {
  const std::string_view text = self.text();
  const std::string_view separator = a.text(0);
  if (separator.empty()) fail("empty separator");
  if (last) r.charge_scan(text.size(), separator.size());
  const size_t hit = last ? text.rfind(separator) : find_bytes(text, separator);
  if (hit == kNone) {
    const Value whole = like(r, self, text);
    return last ? r.tuple({like(r, self, std::string_view()), like(r, self, std::string_view()), whole}) : r.tuple({whole, like(r, self, std::string_view()), like(r, self, std::string_view())});
  }
  return r.tuple({like(r, self, text.substr(0, hit)), like(r, self, separator), like(r, self, text.substr(hit + separator.size()))});
}
Value method_partition(Runtime& r, const Value& self, const Bound& a) { return partition_at(r, self, a, false); }
Value method_rpartition(Runtime& r, const Value& self, const Bound& a) { return partition_at(r, self, a, true); }

/// All characters pass, and there is one at least.
template <bool (*Passes)(char32_t)>
Value method_all(Runtime&, const Value& self, const Bound&) {
  const std::string_view text = self.text();
  for (size_t i = 0; i < text.size();) {
    if (!Passes(next_code_point(text, i))) return Value(false);
  }
  return Value(!text.empty());
}
bool is_ascii_character(char32_t c) { return c < 0x80; }
bool is_digit(char32_t c) { return is_decimal(c) || c == 0xB2 || c == 0xB3 || c == 0xB9 || c == 0x2070 || (c >= 0x2074 && c <= 0x2079) || (c >= 0x2080 && c <= 0x2089); }

Value method_isascii(Runtime& r, const Value& self, const Bound& a) {
  return self.text().empty() ? Value(true) : method_all<is_ascii_character>(r, self, a);
}
Value cased(Runtime& r, const Value& self, std::string_view test) { return Value(call_test(r, test, self, {})); }
Value method_isupper(Runtime& r, const Value& self, const Bound&) { return cased(r, self, "upper"); }
Value method_islower(Runtime& r, const Value& self, const Bound&) { return cased(r, self, "lower"); }
Value method_istitle(Runtime&, const Value& self, const Bound&) {
  return Value(title(self.text()) == self.text() && lower(self.text()) != self.text());
}
Value method_isidentifier(Runtime&, const Value& self, const Bound&) {
  const std::string_view text = self.text();
  for (size_t i = 0; i < text.size();) {
    const bool first = i == 0;
    const char32_t c = next_code_point(text, i);
    if (c != '_' && !(first ? is_alpha(c) : is_alnum(c))) return Value(false);
  }
  return Value(!text.empty());
}

enum class Pad { kLeft, kRight, kBoth };
Value padded(Runtime& r, const Value& self, const Bound& a, Pad pad) {
  const Int width = a.integer(0, 0);
  const std::string_view fill = a.get(1) ? a.text(1) : " ";
  if (code_point_count(fill) != 1) fail("The fill character must be exactly one character long");
  const auto length = static_cast<Int>(code_point_count(self.text()));
  if (width <= length) return self;
  if (width > (Int(1) << 30)) fail_limit("a padded string is too long");
  r.reserve_text(static_cast<size_t>(width) * fill.size());
  const Int gap = width - length;
  const Int left = pad == Pad::kLeft ? gap : pad == Pad::kRight ? 0 : gap / 2 + (gap & width & 1);
  std::string out;
  for (Int i = 0; i < left; ++i) out += fill;
  out += self.text();
  for (Int i = left; i < gap; ++i) out += fill;
  return like(r, self, std::move(out));
}
Value method_ljust(Runtime& r, const Value& self, const Bound& a) { return padded(r, self, a, Pad::kRight); }
Value method_rjust(Runtime& r, const Value& self, const Bound& a) { return padded(r, self, a, Pad::kLeft); }
Value method_center(Runtime& r, const Value& self, const Bound& a) { return padded(r, self, a, Pad::kBoth); }

Value method_zfill(Runtime& r, const Value& self, const Bound& a) {
  const Int width = a.integer(0, 0);
  std::string_view text = self.text();
  const auto length = static_cast<Int>(code_point_count(text));
  if (width <= length) return self;
  if (width > (Int(1) << 30)) fail_limit("a padded string is too long");
  r.reserve_text(static_cast<size_t>(width));
  std::string out;
  if (!text.empty() && (text[0] == '+' || text[0] == '-')) {
    out += text[0];
    text.remove_prefix(1);
  }
  out.append(static_cast<size_t>(width - length), '0');
  out += text;
  return like(r, self, std::move(out));
}

constexpr Builtin kMethods[] = {
    {"strip", method_strip, "chars?", true},
    {"lstrip", method_lstrip, "chars?", true},
    {"rstrip", method_rstrip, "chars?", true},
    {"split", method_split, "sep? maxsplit?"},
    {"rsplit", method_rsplit, "sep? maxsplit?"},
    {"splitlines", method_splitlines, "keepends?"},
    {"startswith", method_startswith, "prefix start? end?", true},
    {"endswith", method_endswith, "suffix start? end?", true},
    {"find", method_find, "sub start? end?", true},
    {"rfind", method_rfind, "sub start? end?", true},
    {"index", method_index, "sub start? end?", true},
    {"rindex", method_rindex, "sub start? end?", true},
    {"count", method_count, "sub start? end?", true},
    {"replace", method_replace, "old new count?", true},
    {"upper", method_upper},
    {"lower", method_lower},
    {"casefold", method_lower},
    {"title", method_title},
    {"capitalize", method_capitalize},
    {"swapcase", method_swapcase},
    {"join", method_join, "iterable", true},
    {"format", method_format, "*"},
    {"removeprefix", method_removeprefix, "prefix", true},
    {"removesuffix", method_removesuffix, "suffix", true},
    {"partition", method_partition, "sep", true},
    {"rpartition", method_rpartition, "sep", true},
    {"isdigit", method_all<is_digit>},
    {"isdecimal", method_all<is_decimal>},
    {"isnumeric", method_all<is_numeric>},
    {"isalpha", method_all<is_alpha>},
    {"isalnum", method_all<is_alnum>},
    {"isspace", method_all<is_space>},
    {"isascii", method_isascii},
    {"isupper", method_isupper},
    {"islower", method_islower},
    {"istitle", method_istitle},
    {"isidentifier", method_isidentifier},
    {"ljust", method_ljust, "width fillchar?", true},
    {"rjust", method_rjust, "width fillchar?", true},
    {"center", method_center, "width fillchar?", true},
    {"zfill", method_zfill, "width", true},
};

}  // namespace

std::span<const Builtin> text_methods() { return kMethods; }

}  // namespace hadal::jinja
