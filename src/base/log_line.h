// A line of the log as text or as a JSON object, without its clock and its destination: base/log.cc has them.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/log.h"

namespace hadal {

/// `unix_seconds` is told as local time in text ("2026-11-24T02:23:49.012 I listening") and as UTC in JSON
/// ("2026-11-24T02:23:49.012Z"). Ends with a line break and, as JSON, has no other.
struct LogLine {
  double unix_seconds = 0;
  LogLevel level = LogLevel::kInfo;
  std::string_view event;
  std::string_view message;
  std::span<const LogField> fields;
};
std::string text_line(const LogLine& line);
std::string json_line(const LogLine& line);

/// `text` between quotes. What is not UTF-8 becomes U+FFFD.
void append_json_text(std::string_view text, std::string* out);

/// `text` with control characters, quotes and bytes outside ASCII as \xNN, so that what a client sends
/// cannot look like a line, or a part of one.
std::string log_escaped(std::string_view text);

}  // namespace hadal
