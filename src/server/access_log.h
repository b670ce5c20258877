// One line a request that was answered or broken off, whoever answered it: docs/logs.md has its form.
//
// Threads: any, once made.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "http/server.h"

namespace hadal {

class AccessLog {
 public:
  /// Paths of `quiet` ("/health,/metrics") are not logged.
  explicit AccessLog(std::string_view quiet);
  /// Exchanged::label is the request's id.
  void on_http(const http::Exchanged& exchanged) const;

 private:
  std::set<std::string, std::less<>> quiet_;
};

}  // namespace hadal
