// CHECK is for our own bugs: it ends the process with file, line and message. It must never be reachable from
// the content of a file, a request or a peer; those are Status (base/status.h).
#pragma once

#include <string_view>

namespace hadal::internal {
[[noreturn]] void check_failed(const char* file, int line, const char* condition, std::string_view message);
}

#define CHECK_MSG(condition, message)                                           \
  do {                                                                          \
    if (!(condition)) [[unlikely]]                                              \
      ::hadal::internal::check_failed(__FILE__, __LINE__, #condition, message); \
  } while (false)
#define CHECK(condition) CHECK_MSG(condition, "")
