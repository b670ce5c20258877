// Where a client's URL leads. Inside of http/ only.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace hadal::http {

struct Endpoint {
  std::string host, port, unix_path, base;
  bool tls = false;
};

/// http[s]://host[:port][/base] or unix:/path; invalid_argument for anything else.
StatusOr<Endpoint> parse_url(std::string_view url);

}  // namespace hadal::http
