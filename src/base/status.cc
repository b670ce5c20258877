#include "base/status.h"

namespace hadal {

Status annotate(const Status& status, std::string_view context) {
  if (status.ok()) return status;
  return make_status(status.code(), fmt::format("{}: {}", context, message_of(status)));
}

}  // namespace hadal
