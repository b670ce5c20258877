#include <algorithm>
#include <cmath>

#include "text/jinja/failure.h"
#include "text/jinja/numbers.h"
#include "text/jinja/operations.h"
#include "text/jinja/unicode.h"

namespace hadal::jinja {
namespace {

class JsonWriter {
 public:
  JsonWriter(Runtime& runtime, const JsonStyle& style) : runtime_(runtime), style_(style) {}

  void write(const Value& value, int level) {
    Runtime::Deeper deeper(runtime_);
    runtime_.charge_scan(value.text().size());
    runtime_.check_room(out_.size());
    if (value.is_string()) {
      write_text(value.text());
    } else if (value.is_none()) {
      out_ += "null";
    } else if (const auto* b = value.as<bool>()) {
      out_ += *b ? "true" : "false";
    } else if (const auto* n = value.as<Int>()) {
      out_ += int_to_string(*n);
    } else if (const auto* d = value.as<double>()) {
      out_ += number(*d);
    } else if (const Sequence* sequence = value.sequence()) {
      write_array(sequence->items, level);
    } else if (const auto* dict = value.as<Dict*>()) {
      write_object(**dict, level);
    } else {
      fail("Object of type {} is not JSON serializable", type_name(value));
    }
  }
  std::string take() { return std::move(out_); }

 private:
  static std::string number(double d) {
    if (std::isnan(d)) return "NaN";
    if (std::isinf(d)) return d < 0 ? "-Infinity" : "Infinity";
    return float_to_string(d);
  }

  void line(int level) {
    if (!style_.indent) return;
    runtime_.reserve_text(style_.indent->size() * static_cast<size_t>(level));
    out_ += '\n';
    for (int i = 0; i < level; ++i) out_ += *style_.indent;
  }

  void write_array(const std::vector<Value>& items, int level) {
    if (items.empty()) {
      out_ += "[]";
      return;
    }
    out_ += '[';
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_ += style_.item_separator;
      line(level + 1);
      write(items[i], level + 1);
    }
    line(level);
    out_ += ']';
  }

  static std::string key_text(const Value& key) {
    if (key.is_string()) return std::string(key.text());
    if (key.is_none()) return "null";
    if (const auto* b = key.as<bool>()) return *b ? "true" : "false";
    if (const auto* n = key.as<Int>()) return int_to_string(*n);
    if (const auto* d = key.as<double>()) return number(*d);
    fail("keys must be str, int, float, bool or None, not {}", type_name(key));
  }

  void write_object(const Dict& dict, int level) {
    if (dict.entries.empty()) {
      out_ += "{}";
      return;
    }
    std::vector<const std::pair<Value, Value>*> entries;
    for (const auto& entry : dict.entries) entries.push_back(&entry);
    if (style_.sort_keys) {
      std::stable_sort(entries.begin(), entries.end(),
                       [this](const auto* a, const auto* b) { return less(runtime_, a->first, b->first); });
    }
    out_ += '{';
    for (size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) out_ += style_.item_separator;
      line(level + 1);
      write_text(key_text(entries[i]->first));
      out_ += style_.key_separator;
      write(entries[i]->second, level + 1);
    }
    line(level);
    out_ += '}';
  }

  void write_text(std::string_view text) {
    out_ += '"';
    for (size_t i = 0; i < text.size();) {
      const size_t begin = i;
      const char32_t c = next_code_point(text, i);
      if (c < 0x20 || c == '"' || c == '\\') {
        write_escape(c);
      } else if (style_.ensure_ascii && c > 0x7E) {
        write_ascii(c);
      } else {
        out_ += text.substr(begin, i - begin);
      }
    }
    out_ += '"';
  }

  void write_escape(char32_t c) {
    switch (c) {
      case '"': out_ += "\\\""; break;
      case '\\': out_ += "\\\\"; break;
      case '\n': out_ += "\\n"; break;
      case '\r': out_ += "\\r"; break;
      case '\t': out_ += "\\t"; break;
      case '\f': out_ += "\\f"; break;
      case '\b': out_ += "\\b"; break;
      default: out_ += fmt::format("\\u{:04x}", static_cast<uint32_t>(c));
    }
  }

  void write_ascii(char32_t c) {
    if (c >= 0x10000) {
      const uint32_t rest = static_cast<uint32_t>(c) - 0x10000;
      out_ += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + (rest >> 10), 0xDC00 + (rest & 0x3FF));
    } else {
      out_ += fmt::format("\\u{:04x}", static_cast<uint32_t>(c));
    }
  }

  Runtime& runtime_;
  const JsonStyle& style_;
  std::string out_;
};

}  // namespace

std::string to_json(Runtime& runtime, const Value& value, const JsonStyle& style) {
  JsonWriter writer(runtime, style);
  writer.write(value, 0);
  return writer.take();
}

}  // namespace hadal::jinja
