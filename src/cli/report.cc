#include <cstdio>

#include "cli/commands.h"
#include "cli/options.h"

namespace hadal {

int report(const Status& status) {
  if (status.ok()) return kExitOk;
  const std::string_view message = message_of(status);
  std::fprintf(stderr, "error: %.*s\n", static_cast<int>(message.size()), message.data());
  return kExitFailure;
}

}  // namespace hadal
