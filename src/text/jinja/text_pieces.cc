#include "text/jinja/builtins.h"
#include "text/jinja/failure.h"
#include "text/jinja/operations.h"
#include "text/jinja/unicode.h"

namespace hadal::jinja {

std::vector<std::string_view> split_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  size_t begin = 0;
  for (size_t i = 0; i < text.size();) {
    const size_t at = i;
    const char32_t c = next_code_point(text, i);
    const bool ends = (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
    if (!ends) continue;
    lines.push_back(text.substr(begin, at - begin));
    if (c == '\r' && i < text.size() && text[i] == '\n') ++i;
    begin = i;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

std::string replace_all(Runtime& runtime, std::string_view text, std::string_view from, std::string_view to,
                        Int count) {
  std::string out;
  size_t position = 0;
  const auto emit = [&](std::string_view piece) {
    runtime.check_room(out.size() + piece.size());
    out += piece;
  };
  if (from.empty()) {  // between all characters, and at both ends
    for (; count != 0; --count) {
      runtime.charge(1);
      emit(to);
      if (position >= text.size()) break;
      const size_t begin = position;
      next_code_point(text, position);
      emit(text.substr(begin, position - begin));
    }
    emit(text.substr(position));
    return out;
  }
  for (; count != 0; --count) {
    const size_t hit = find_bytes(text, from, position);
    if (hit == std::string_view::npos) break;
    runtime.charge(1);
    emit(text.substr(position, hit - position));
    emit(to);
    position = hit + from.size();
  }
  emit(text.substr(position));
  return out;
}

std::string join_texts(Runtime& runtime, std::string_view separator, const std::vector<Value>& items) {
  std::string out;
  bool first = true;
  for (const Value& item : items) {
    if (!first) out += separator;
    first = false;
    append_string(runtime, out, item);
    runtime.check_room(out.size());
  }
  return out;
}

}  // namespace hadal::jinja
