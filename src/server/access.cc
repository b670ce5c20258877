#include "server/access.h"

namespace hadal {
namespace {

/// "" where none was sent.
std::string_view key_of(const http::Request& request) {
  constexpr std::string_view kScheme = "bearer ";
  const std::string_view field = request.headers.get("Authorization");
  if (field.size() > kScheme.size() && http::iequals(field.substr(0, kScheme.size()), kScheme))
    return field.substr(kScheme.size());
  return request.headers.get("x-api-key");
}

openai::ApiError unauthorized() {
  openai::ApiError error = openai::error_for_status(
      401, "This needs an API key: send it as 'Authorization: Bearer KEY', or as 'x-api-key'.");
  error.code = "invalid_api_key";
  return error;
}

}  // namespace

openai::MaybeError AccessControl::check(const http::Request& request, Access access,
                                        const HopTrust& trust) const {
  if (access == Access::kOpen || trust.trusts(request)) return std::nullopt;
  const std::string_view key = key_of(request);
  if (access == Access::kAdmin) {
    if (admin_key_.empty()) {
      return openai::error_for_status(
          403,
          "Administration is for a trusted hop (a Unix socket, or x-hadal-hop-secret), "
          "or for the key of --admin-api-key, which is not set.");
    }
    return constant_time_equal(key, admin_key_) ? openai::MaybeError() : unauthorized();
  }
  if (api_keys_.empty()) return std::nullopt;
  bool known = false;
  for (const std::string& one : api_keys_) known |= constant_time_equal(key, one);  // all, whatever comes
  return known ? openai::MaybeError() : unauthorized();
}

}  // namespace hadal
