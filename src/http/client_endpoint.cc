#include "http/client_endpoint.h"

#include <sys/un.h>

namespace hadal::http {

StatusOr<Endpoint> parse_url(std::string_view url) {
  Endpoint endpoint;
  if (url.substr(0, 5) == "unix:") {
    endpoint.unix_path = std::string(url.substr(5));
    if (endpoint.unix_path.substr(0, 2) == "//") endpoint.unix_path.erase(0, 2);
    if (endpoint.unix_path.empty() || endpoint.unix_path.size() >= sizeof(sockaddr_un{}.sun_path)) {
      return invalid_argument("'{}' names no usable Unix socket", url);
    }
    return endpoint;
  }
  std::string_view rest = url;
  endpoint.tls = rest.substr(0, 8) == "https://";
  if (endpoint.tls) {
    rest.remove_prefix(8);
  } else if (rest.substr(0, 7) == "http://") {
    rest.remove_prefix(7);
  }
  const size_t slash = rest.find('/');
  if (slash != std::string_view::npos) {
    endpoint.base = std::string(rest.substr(slash));
    while (!endpoint.base.empty() && endpoint.base.back() == '/') endpoint.base.pop_back();
    rest = rest.substr(0, slash);
  }
  std::string_view host = rest;
  endpoint.port = endpoint.tls ? "443" : "80";
  if (!rest.empty() && rest[0] == '[') {
    const size_t end = rest.find(']');
    if (end == std::string_view::npos)
      return invalid_argument("'{}' is not an http://, https:// or unix: address", url);
    host = rest.substr(1, end - 1);
    if (end + 1 < rest.size() && rest[end + 1] == ':') endpoint.port = std::string(rest.substr(end + 2));
  } else if (const size_t colon = rest.rfind(':'); colon != std::string_view::npos) {
    host = rest.substr(0, colon);
    endpoint.port = std::string(rest.substr(colon + 1));
  }
  endpoint.host = std::string(host);
  if (endpoint.host.empty() || endpoint.port.empty() ||
      endpoint.port.find_first_not_of("0123456789") != std::string::npos) {
    return invalid_argument("'{}' is not an http://, https:// or unix: address", url);
  }
  return endpoint;
}

}  // namespace hadal::http
