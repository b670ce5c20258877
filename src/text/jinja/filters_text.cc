#include <algorithm>

#include "text/jinja/builtins.h"
#include "text/jinja/failure.h"
#include "text/jinja/operations.h"
#include "text/jinja/unicode.h"

namespace hadal::jinja {
namespace {

/// The value as text, as filters on strings take any value.
std::string soft(Runtime& runtime, const Value& value) { return to_string(runtime, value); }

Value filter_upper(Runtime& r, const Value& self, const Bound&) { return r.text(upper(soft(r, self)), self.is_markup()); }
Value filter_lower(Runtime& r, const Value& self, const Bound&) { return r.text(lower(soft(r, self)), self.is_markup()); }
Value filter_capitalize(Runtime& r, const Value& self, const Bound&) {
  return r.text(capitalize(soft(r, self)), self.is_markup());
}

/// Words begin after white space, a hyphen or an opening bracket.
Value filter_title(Runtime& r, const Value& self, const Bound&) {
  const std::string text = soft(r, self);
  std::string out;
  std::string word;
  const auto finish = [&] {
    if (word.empty()) return;
    size_t first = 0;
    next_code_point(word, first);
    out += upper(std::string_view(word).substr(0, first)) + lower(std::string_view(word).substr(first));
    word.clear();
  };
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    const char32_t c = next_code_point(text, i);
    if (is_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<') {
      finish();
      out += text.substr(begin, i - begin);
    } else {
      word += text.substr(begin, i - begin);
    }
  }
  finish();
  return r.text(std::move(out), self.is_markup());
}

Value filter_trim(Runtime& r, const Value& self, const Bound& arguments) {
  const std::string text = soft(r, self);
  if (arguments.given(0)) r.charge_scan(text.size(), arguments.text(0).size());
  const std::string_view stripped = arguments.given(0) ? strip_chars(text, arguments.text(0)) : strip(text);
  return r.text(std::string(stripped), self.is_markup());
}

Value filter_replace(Runtime& r, const Value& self, const Bound& arguments) {
  const Int count = arguments.given(2) ? arguments.integer(2, -1) : -1;
  const std::string from = soft(r, arguments.at(0));
  const std::string to = soft(r, arguments.at(1));
  return r.text(replace_all(r, soft(r, self), from, to, count), self.is_markup());
}

Value filter_string(Runtime& r, const Value& self, const Bound&) { return self.is_string() ? self : r.text(soft(r, self)); }
Value filter_safe(Runtime& r, const Value& self, const Bound&) { return r.text(soft(r, self), true); }
Value filter_escape(Runtime& r, const Value& self, const Bound&) {
  return self.is_markup() ? self : r.text(escape_html(soft(r, self)), true);
}
Value filter_forceescape(Runtime& r, const Value& self, const Bound&) { return r.text(escape_html(soft(r, self)), true); }

Value filter_indent(Runtime& r, const Value& self, const Bound& arguments) {
  if (self.is_undefined()) fail_undefined(self);
  if (!self.is_string()) fail("indent: expected a string, not {}", type_name(self));
  std::string indention;
  if (arguments.get(0) != nullptr && arguments.at(0).is_string()) {
    indention = arguments.text(0);
  } else {
    const Int width = arguments.integer(0, 4);
    if (width > 10000) fail_limit("indent is wider than 10000");
    indention.assign(width > 0 ? static_cast<size_t>(width) : 0, ' ');
  }
  const bool first = arguments.flag(1);
  const bool blank = arguments.flag(2);
  const std::string text = soft(r, self) + "\n";
  std::string out = first ? indention : "";
  bool at_first = true;
  for (std::string_view line : split_lines(text)) {
    if (!at_first) {
      out += '\n';
      if (blank || !line.empty()) out += indention;
    }
    at_first = false;
    out += line;
    r.check_room(out.size());
  }
  return r.text(std::move(out), self.is_markup());
}

Value filter_center(Runtime& r, const Value& self, const Bound& arguments) {
  const std::string text = soft(r, self);
  const Int width = arguments.integer(0, 80);
  const auto length = static_cast<Int>(code_point_count(text));
  if (width <= length) return r.text(text);
  if (width > (Int(1) << 30)) fail_limit("center is too wide");
  r.reserve_text(static_cast<size_t>(width));
  const Int pad = width - length;
  const Int left = pad / 2 + (pad & width & 1);
  return r.text(std::string(static_cast<size_t>(left), ' ') + text + std::string(static_cast<size_t>(pad - left), ' '));
}

Value filter_format(Runtime& r, const Value& self, const Bound& arguments) {
  const Arguments& all = arguments.all();
  if (!all.named.empty() && !all.positional.empty()) fail("can't handle positional and keyword arguments at the same time");
  if (all.named.empty()) return r.text(percent_format(r, soft(r, self), r.tuple(all.positional)));
  std::vector<std::pair<Value, Value>> entries;
  for (const auto& [name, value] : all.named) entries.emplace_back(r.text(name), value);
  return r.text(percent_format(r, soft(r, self), r.dict(std::move(entries))));
}

Value filter_truncate(Runtime& r, const Value& self, const Bound& arguments) {
  const std::string text = soft(r, self);
  const Int length = arguments.integer(0, 255);
  const std::string end = arguments.get(2) ? std::string(arguments.text(2)) : "...";
  const Int leeway = arguments.given(3) ? arguments.integer(3, 5) : 5;
  const auto end_length = static_cast<Int>(code_point_count(end));
  if (length < end_length) fail("expected length >= {}", static_cast<int64_t>(end_length));
  if (leeway < 0) fail("expected leeway >= 0");
  if (static_cast<Int>(code_point_count(text)) <= length + leeway) return r.text(text);
  std::string cut = text.substr(0, byte_offset(text, static_cast<size_t>(length - end_length)));
  if (!arguments.flag(1)) {
    const size_t space = cut.rfind(' ');
    if (space != std::string::npos) cut.resize(space);
  }
  return r.text(cut + end);
}

Value filter_wordcount(Runtime& r, const Value& self, const Bound&) {
  const std::string text = soft(r, self);
  Int words = 0;
  bool inside = false;
  for (size_t i = 0; i < text.size();) {
    const char32_t c = next_code_point(text, i);
    const bool word = c == '_' || is_alnum(c);
    if (word && !inside) ++words;
    inside = word;
  }
  return Value(words);
}

/// Without tags and comments, white space runs made one blank, entities of `escape` read back.
Value filter_striptags(Runtime& r, const Value& self, const Bound&) {
  std::string text = soft(r, self);
  std::string bare;
  for (size_t i = 0; i < text.size();) {
    const bool comment = text.compare(i, 4, "<!--") == 0;
    const size_t end = text[i] == '<' ? text.find(comment ? "-->" : ">", i) : std::string::npos;
    if (end == std::string::npos) {
      bare += text[i++];
    } else {
      i = end + (comment ? 3 : 1);
    }
  }
  std::string out;
  bool gap = false;
  for (size_t i = 0; i < bare.size();) {
    const size_t begin = i;
    if (is_space(next_code_point(bare, i))) {
      gap = !out.empty();
      continue;
    }
    if (gap) out += ' ';
    gap = false;
    out += bare.substr(begin, i - begin);
  }
  for (auto [from, to] : {std::pair{"&lt;", "<"}, {"&gt;", ">"}, {"&#39;", "'"}, {"&#34;", "\""}, {"&quot;", "\""},
                          {"&amp;", "&"}}) {
    out = replace_all(r, out, from, to, -1);
  }
  return r.text(std::move(out));
}

Value filter_urlencode(Runtime& r, const Value& self, const Bound&) {
  std::string out;
  for (unsigned char c : soft(r, self)) {
    const bool plain = (c < 0x80 && is_alnum(c)) || std::string_view("_.-~/").find(static_cast<char>(c)) != std::string_view::npos;
    out += plain ? std::string(1, static_cast<char>(c)) : fmt::format("%{:02X}", c);
  }
  return r.text(std::move(out));
}

Value filter_pprint(Runtime& r, const Value& self, const Bound&) { return r.text(to_repr(r, self)); }

/// A separator given as [item, key], as json.dumps takes it.
void read_separators(const Value& value, JsonStyle& style) {
  const Sequence* pair = value.sequence();
  if (pair == nullptr || pair->items.size() != 2 || !pair->items[0].is_string() || !pair->items[1].is_string()) {
    fail("tojson: separators must be two strings");
  }
  style.item_separator = pair->items[0].text();
  style.key_separator = pair->items[1].text();
}

Value filter_tojson(Runtime& r, const Value& self, const Bound& arguments) {
  JsonStyle style;
  style.ensure_ascii = arguments.flag(0);
  style.sort_keys = arguments.flag(3);
  if (arguments.given(1)) {
    if (arguments.at(1).is_string()) {
      style.indent = std::string(arguments.text(1));
    } else {
      const Int width = arguments.integer(1, 0);
      if (width > 1000) fail_limit("tojson: indent is wider than 1000");
      style.indent = std::string(width > 0 ? static_cast<size_t>(width) : 0, ' ');
    }
    style.item_separator = ",";
  }
  if (arguments.given(2)) read_separators(arguments.at(2), style);
  return r.text(to_json(r, self, style));
}

constexpr Builtin kFilters[] = {
    {"tojson", filter_tojson, "ensure_ascii? indent? separators? sort_keys?"},
    {"trim", filter_trim, "chars?"},
    {"upper", filter_upper},
    {"lower", filter_lower},
    {"capitalize", filter_capitalize},
    {"title", filter_title},
    {"replace", filter_replace, "old new count?"},
    {"string", filter_string},
    {"safe", filter_safe},
    {"escape", filter_escape},
    {"e", filter_escape},
    {"forceescape", filter_forceescape},
    {"indent", filter_indent, "width? first? blank?"},
    {"center", filter_center, "width?"},
    {"format", filter_format, "*"},
    {"truncate", filter_truncate, "length? killwords? end? leeway?"},
    {"wordcount", filter_wordcount},
    {"striptags", filter_striptags},
    {"urlencode", filter_urlencode},
    {"pprint", filter_pprint},
};

}  // namespace

std::span<const Builtin> text_filters() { return kFilters; }

}  // namespace hadal::jinja
