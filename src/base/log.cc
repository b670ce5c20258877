#include "base/log.h"

#include <unistd.h>

#include <atomic>
#include <cstdio>

#include "base/clock.h"
#include "base/log_line.h"
#include "base/log_writer.h"

namespace hadal {
namespace {

constexpr size_t kBufferBytes = size_t{4} << 20;  // some 30,000 requests' lines

std::atomic<LogLevel> g_level{LogLevel::kInfo};
std::atomic<LogFormat> g_format{LogFormat::kText};
std::atomic<LogWriter*> g_writer{nullptr};  // never destroyed: threads may log while the process exits

std::string formatted(LogLevel level, std::string_view event, std::string_view message,
                      std::span<const LogField> fields) {
  const LogLine line{.unix_seconds = Clock::real().unix_seconds(),
                     .level = level,
                     .event = event,
                     .message = message,
                     .fields = fields};
  return log_format() == LogFormat::kJson ? json_line(line) : text_line(line);
}

std::string lost_line(uint64_t lines) {
  const LogField count{"lines", static_cast<int64_t>(lines)};
  return formatted(LogLevel::kWarning, "log_lost",
                   fmt::format("{} lines of the log were lost: standard error is read too slowly", lines),
                   {&count, 1});
}

void write_line(const std::string& line) {
  if (LogWriter* writer = g_writer.load(std::memory_order_acquire)) {
    writer->write(line);
  } else {
    std::fwrite(line.data(), 1, line.size(), stderr);  // unbuffered: one write, lines stay whole
  }
}

}  // namespace

void set_log_level(LogLevel level) { g_level.store(level, std::memory_order_relaxed); }
LogLevel log_level() { return g_level.load(std::memory_order_relaxed); }
void set_log_format(LogFormat format) { g_format.store(format, std::memory_order_relaxed); }
LogFormat log_format() { return g_format.load(std::memory_order_relaxed); }

void log_message(LogLevel level, std::string_view message) {
  log_event(level, "log", message, std::span<const LogField>());
}

void log_event(LogLevel level, std::string_view event, std::string_view message,
               std::span<const LogField> fields) {
  if (level < log_level() || level == LogLevel::kOff) return;
  write_line(formatted(level, event, message, fields));
}

void log_verbatim(const std::string& text) { write_line(text); }

void start_log_thread() {
  if (g_writer.load() == nullptr) g_writer.store(new LogWriter(STDERR_FILENO, kBufferBytes, lost_line));
}

bool flush_log(std::chrono::milliseconds limit) {
  LogWriter* writer = g_writer.load(std::memory_order_acquire);
  return writer == nullptr || writer->flush(limit);
}

}  // namespace hadal
