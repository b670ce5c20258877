#include <cstdio>

#include "base/log.h"
#include "cli/commands.h"
#include "cli/options.h"

namespace hadal {

int report(const Status& status) {
  if (status.ok()) return kExitOk;
  const std::string_view message = message_of(status);
  if (log_format() == LogFormat::kJson) {
    log_error("{}", message);
    return kExitFailure;
  }
  std::fprintf(stderr, "error: %.*s\n", static_cast<int>(message.size()), message.data());
  return kExitFailure;
}

}  // namespace hadal
