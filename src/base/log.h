// Logging to standard error, as text or as one JSON object a line. Any thread may log.
//
//   log_info("loaded {} tensors in {:.2f} s", count, seconds);
//   log_event(LogLevel::kInfo, "access", "GET /health 200", {{"path", path}, {"status", 200}});
//
// A command logs in place, so that nothing is lost when it ends. A server calls start_log_thread(): from then
// on its threads only put a line into a buffer of bounded size, and a thread of the log's own writes it. A
// reader of standard error that is slow, or gone, never holds up who logs: lines that find no room are
// dropped, and a line says how many were.
//
// Standard output belongs to a command's answer and is never written here.
#pragma once

#include <fmt/core.h>

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace hadal {

enum class LogLevel { kDebug, kInfo, kWarning, kError, kOff };
enum class LogFormat : uint8_t { kText, kJson };

/// A figure of an event. Text need not be UTF-8 (what is not is replaced).
struct LogField {
  std::string_view key;
  std::variant<int64_t, double, bool, std::string_view> value;
};

void set_log_level(LogLevel level);
LogLevel log_level();
void set_log_format(LogFormat format);
LogFormat log_format();

void log_message(LogLevel level, std::string_view message);
/// What a program may read: as text `message` alone, as JSON {"time", "level", "event", "message"} and the
/// fields. log_message()'s lines have the event "log".
void log_event(LogLevel level, std::string_view event, std::string_view message,
               std::span<const LogField> fields);
inline void log_event(LogLevel level, std::string_view event, std::string_view message,
                      std::initializer_list<LogField> fields) {
  log_event(level, event, message, std::span(fields.begin(), fields.size()));
}

/// Text that is no line of the log, such as a server's greeting: as it is, in its place among the lines.
void log_verbatim(const std::string& text);

/// From now on a thread of its own writes the lines. Later calls do nothing; it is never ended.
void start_log_thread();
/// Waits until all that was logged before is written, for at most `limit`. False if some is not.
bool flush_log(std::chrono::milliseconds limit);

#define HADAL_LOG_MAKER(name, level)                                                                \
  template <typename... Args>                                                                       \
  void name(fmt::format_string<Args...> format, Args&&... args) {                                   \
    if (level >= log_level()) log_message(level, fmt::format(format, std::forward<Args>(args)...)); \
  }
HADAL_LOG_MAKER(log_debug, LogLevel::kDebug)
HADAL_LOG_MAKER(log_info, LogLevel::kInfo)
HADAL_LOG_MAKER(log_warning, LogLevel::kWarning)
HADAL_LOG_MAKER(log_error, LogLevel::kError)
#undef HADAL_LOG_MAKER

}  // namespace hadal
