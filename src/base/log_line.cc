#include "base/log_line.h"

#include <cmath>
#include <ctime>
#include <iterator>

namespace hadal {
namespace {

enum class Zone : uint8_t { kLocal, kUtc };

/// "2026-11-24T02:23:49.012"
void append_time(double unix_seconds, Zone zone, std::string* out) {
  const auto milliseconds = static_cast<int64_t>(unix_seconds * 1000.0);
  const std::time_t seconds = milliseconds / 1000;
  std::tm parts{};
  zone == Zone::kUtc ? gmtime_r(&seconds, &parts) : localtime_r(&seconds, &parts);
  char text[32];
  out->append(text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts));
  fmt::format_to(std::back_inserter(*out), ".{:03}", milliseconds % 1000);
}

char letter_of(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return 'D';
    case LogLevel::kInfo:
      return 'I';
    case LogLevel::kWarning:
      return 'W';
    default:
      return 'E';
  }
}

const char* name_of(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    default:
      return "error";
  }
}

/// Bytes of the UTF-8 character at the beginning of `text`; 0 where there is none.
size_t character_length(std::string_view text) {
  const auto byte = [&](size_t at) -> uint8_t {
    return at < text.size() ? static_cast<uint8_t>(text[at]) : uint8_t{0};
  };
  const auto follows = [&](size_t at) { return (byte(at) & 0xC0) == 0x80; };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return follows(1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    const bool too_long = lead == 0xE0 && byte(1) < 0xA0, surrogate = lead == 0xED && byte(1) > 0x9F;
    return follows(1) && follows(2) && !too_long && !surrogate ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    const bool too_long = lead == 0xF0 && byte(1) < 0x90, too_large = lead == 0xF4 && byte(1) > 0x8F;
    return follows(1) && follows(2) && follows(3) && !too_long && !too_large ? 4 : 0;
  }
  return 0;
}

void append_value(const LogField& field, std::string* out) {
  if (const auto* text = std::get_if<std::string_view>(&field.value)) {
    append_json_text(*text, out);
  } else if (const auto* flag = std::get_if<bool>(&field.value)) {
    out->append(*flag ? "true" : "false");
  } else if (const auto* number = std::get_if<double>(&field.value)) {
    // JSON has no NaN; six digits are microseconds
    fmt::format_to(std::back_inserter(*out), "{}",
                   std::isfinite(*number) ? fmt::format("{:.6g}", *number) : "null");
  } else {
    fmt::format_to(std::back_inserter(*out), "{}", std::get<int64_t>(field.value));
  }
}

}  // namespace

void append_json_text(std::string_view text, std::string* out) {
  out->push_back('"');
  while (!text.empty()) {
    const size_t length = character_length(text);
    const char c = text.front();
    if (length == 0) {
      out->append("\xEF\xBF\xBD");
    } else if (c == '"' || c == '\\') {
      out->push_back('\\');
      out->push_back(c);
    } else if (c == '\n') {
      out->append("\\n");
    } else if (static_cast<uint8_t>(c) < 0x20 || c == 0x7F) {
      fmt::format_to(std::back_inserter(*out), "\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out->append(text.substr(0, length));
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  out->push_back('"');
}

std::string log_escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c >= ' ' && c <= '~' && c != '"' && c != '\\') {
      out.push_back(c);
    } else {
      fmt::format_to(std::back_inserter(out), "\\x{:02x}", static_cast<uint8_t>(c));
    }
  }
  return out;
}

std::string text_line(const LogLine& line) {
  std::string out;
  append_time(line.unix_seconds, Zone::kLocal, &out);
  fmt::format_to(std::back_inserter(out), " {} {}\n", letter_of(line.level), line.message);
  return out;
}

std::string json_line(const LogLine& line) {
  std::string out = "{\"time\":\"";
  append_time(line.unix_seconds, Zone::kUtc, &out);
  fmt::format_to(std::back_inserter(out), "Z\",\"level\":\"{}\",\"event\":", name_of(line.level));
  append_json_text(line.event, &out);
  out += ",\"message\":";
  append_json_text(line.message, &out);
  for (const LogField& field : line.fields) {
    out += ',';
    append_json_text(field.key, &out);
    out += ':';
    append_value(field, &out);
  }
  out += "}\n";
  return out;
}

}  // namespace hadal
