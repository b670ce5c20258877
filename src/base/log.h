// Logging to standard error through spdlog (one translation unit knows it). Any thread may log.
//
//   log_info("loaded {} tensors in {:.2f} s", count, seconds);
//
// Standard output belongs to a command's answer and is never written here.
#pragma once

#include <fmt/core.h>

#include <string_view>
#include <utility>

namespace hadal {

enum class LogLevel { kDebug, kInfo, kWarning, kError, kOff };

void set_log_level(LogLevel level);
LogLevel log_level();
void log_message(LogLevel level, std::string_view message);

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
