#include "text/jinja/failure.h"
#include "text/jinja/numbers.h"
#include "text/jinja/operations.h"
#include "text/jinja/unicode.h"

namespace hadal::jinja {
namespace {

void append_escape(std::string& out, char32_t c) {
  if (c == '\n') {
    out += "\\n";
  } else if (c == '\r') {
    out += "\\r";
  } else if (c == '\t') {
    out += "\\t";
  } else if (c < 0x100) {
    out += fmt::format("\\x{:02x}", static_cast<uint32_t>(c));
  } else if (c < 0x10000) {
    out += fmt::format("\\u{:04x}", static_cast<uint32_t>(c));
  } else {
    out += fmt::format("\\U{:08x}", static_cast<uint32_t>(c));
  }
}

void append_text_repr(std::string& out, std::string_view text) {
  const bool has_single = text.find('\'') != std::string_view::npos;
  const char quote = has_single && text.find('"') == std::string_view::npos ? '"' : '\'';
  out += quote;
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    const char32_t c = next_code_point(text, i);
    if (c == static_cast<char32_t>(quote) || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (is_printable(c)) {
      out += text.substr(begin, i - begin);
    } else {
      append_escape(out, c);
    }
  }
  out += quote;
}

void append_repr(Runtime& runtime, std::string& out, const Value& value);

template <typename Items, typename Append>
void append_items(Runtime& runtime, std::string& out, const Items& items, Append append) {
  bool first = true;
  for (const auto& item : items) {
    runtime.check_room(out.size());
    if (!first) out += ", ";
    first = false;
    append(item);
  }
}

void append_entries(Runtime& runtime, std::string& out, const Dict& dict) {
  append_items(runtime, out, dict.entries, [&](const auto& entry) {
    append_repr(runtime, out, entry.first);
    out += ": ";
    append_repr(runtime, out, entry.second);
  });
}

void append_view(Runtime& runtime, std::string& out, const DictView& view) {
  out += view.what == ViewOf::kKeys ? "dict_keys([" : view.what == ViewOf::kValues ? "dict_values([" : "dict_items([";
  append_items(runtime, out, view.dict->entries, [&](const auto& entry) {
    if (view.what == ViewOf::kItems) out += '(';
    if (view.what != ViewOf::kValues) append_repr(runtime, out, entry.first);
    if (view.what == ViewOf::kItems) out += ", ";
    if (view.what != ViewOf::kKeys) append_repr(runtime, out, entry.second);
    if (view.what == ViewOf::kItems) out += ')';
  });
  out += "])";
}

void append_range(std::string& out, const Range& range) {
  out += fmt::format("range({}, {}", range.start, range.stop);
  if (range.step != 1) out += fmt::format(", {}", range.step);
  out += ')';
}

void append_namespace(Runtime& runtime, std::string& out, const Namespace& ns) {
  out += "<Namespace {";
  append_items(runtime, out, ns.attributes, [&](const auto& entry) {
    append_text_repr(out, entry.first);
    out += ": ";
    append_repr(runtime, out, entry.second);
  });
  out += "}>";
}

void append_repr(Runtime& runtime, std::string& out, const Value& value) {
  Runtime::Deeper deeper(runtime);
  runtime.charge_scan(value.text().size());
  if (value.is_string()) {
    if (value.is_markup()) out += "Markup(";
    append_text_repr(out, value.text());
    if (value.is_markup()) out += ')';
  } else if (const auto* list = value.as<List>()) {
    out += '[';
    append_items(runtime, out, list->object->items, [&](const Value& item) { append_repr(runtime, out, item); });
    out += ']';
  } else if (const auto* tuple = value.as<Tuple>()) {
    const auto& items = tuple->object->items;
    out += '(';
    append_items(runtime, out, items, [&](const Value& item) { append_repr(runtime, out, item); });
    out += items.size() == 1 ? ",)" : ")";
  } else if (const auto* dict = value.as<Dict*>()) {
    out += '{';
    append_entries(runtime, out, **dict);
    out += '}';
  } else if (const auto* view = value.as<DictView*>()) {
    append_view(runtime, out, **view);
  } else if (const auto* ns = value.as<Namespace*>()) {
    append_namespace(runtime, out, **ns);
  } else if (value.is_undefined()) {
    out += "Undefined";
  } else {
    append_string(runtime, out, value);
  }
}

}  // namespace

void append_string(Runtime& runtime, std::string& out, const Value& value) {
  if (value.is_string()) {
    out += value.text();
  } else if (value.is_undefined()) {
    // prints as nothing
  } else if (value.is_none()) {
    out += "None";
  } else if (const auto* b = value.as<bool>()) {
    out += *b ? "True" : "False";
  } else if (const auto* n = value.as<Int>()) {
    out += int_to_string(*n);
  } else if (const auto* d = value.as<double>()) {
    out += float_to_string(*d);
  } else if (const auto* range = value.as<Range*>()) {
    append_range(out, **range);
  } else if (value.is<Iterator*>()) {
    out += "<generator object>";
  } else if (const auto* callable = value.as<Callable*>()) {
    out += (*callable)->describe();
  } else {
    append_repr(runtime, out, value);
  }
}

std::string to_string(Runtime& runtime, const Value& value) {
  if (value.is_string()) runtime.charge_text(value.text().size());
  std::string out;
  append_string(runtime, out, value);
  return out;
}

std::string to_repr(Runtime& runtime, const Value& value) {
  std::string out;
  append_repr(runtime, out, value);
  return out;
}

std::string escape_html(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '\'': out += "&#39;"; break;
      case '"': out += "&#34;"; break;
      default: out += c;
    }
  }
  return out;
}

}  // namespace hadal::jinja
