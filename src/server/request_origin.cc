#include "server/request_origin.h"

#include <algorithm>
#include <cstdlib>

#include "base/files.h"
#include "server/tenants_file.h"

namespace hadal {
namespace {

// in this order; the last is the name that the one before it had until 2026
constexpr const char* kTenantHeaders[] = {"x-hadal-tenant", "x-llm-d-inference-fairness-id",
                                          "x-gateway-inference-fairness-id"};
constexpr const char* kDeadlineHeader = "x-hadal-deadline-ms";
constexpr size_t kMaxDeadlineDigits = 9;  // eleven days

struct NamedTenant {
  const char* header = nullptr;
  const std::string* name = nullptr;
};

NamedTenant named_tenant(const http::Headers& headers) {
  for (const char* header : kTenantHeaders) {
    const std::string* name = headers.find(header);
    if (name != nullptr && !name->empty()) return {header, name};
  }
  return {};
}

openai::Result<MonotonicTime> read_deadline(const http::Request& request) {
  const std::string* text = request.headers.find(kDeadlineHeader);
  if (text == nullptr) return MonotonicTime::max();
  const bool digits = !text->empty() && text->size() <= kMaxDeadlineDigits &&
                      text->find_first_not_of("0123456789") == std::string::npos;
  const int64_t milliseconds = digits ? std::stoll(*text) : 0;
  if (milliseconds < 1 || request.headers.count(kDeadlineHeader) > 1) {
    return openai::invalid_request(
        fmt::format("{} must be a whole number of milliseconds from 1 to 999999999.", kDeadlineHeader),
        kDeadlineHeader);
  }
  return request.received + std::chrono::milliseconds(milliseconds);
}

}  // namespace

bool constant_time_equal(std::string_view given, std::string_view secret) {
  unsigned differs = given.size() == secret.size() ? 0 : 1;
  for (size_t i = 0; i < given.size(); ++i) {
    const char against = secret.empty() ? '\0' : secret[i % secret.size()];
    differs |=
        static_cast<unsigned>(static_cast<unsigned char>(given[i]) ^ static_cast<unsigned char>(against));
  }
  return differs == 0;
}

bool HopTrust::trusts(const http::Request& request) const {
  if (request.peer.is_unix_socket) return true;
  return !secret_.empty() && constant_time_equal(request.headers.get(kHopSecretHeader), secret_);
}

StatusOr<std::string> read_hop_secret(const std::string& file) {
  constexpr uint64_t kMaxBytes = 4096;
  constexpr const char* kBlanks = " \t\r\n";
  std::string secret;
  std::string source = file;
  if (!file.empty()) {
    ASSIGN_OR_RETURN(secret, read_file(file, kMaxBytes));
  } else if (const char* value = std::getenv(kHopSecretVariable)) {
    secret = value;
    source = kHopSecretVariable;
  } else {
    return secret;
  }
  const size_t begin = secret.find_first_not_of(kBlanks);
  secret =
      begin == std::string::npos ? "" : secret.substr(begin, secret.find_last_not_of(kBlanks) + 1 - begin);
  if (secret.empty()) return invalid_argument("{}: the trusted hop's secret is empty", source);
  if (!std::all_of(secret.begin(), secret.end(), [](char c) { return c >= ' ' && c <= '~'; }))
    return invalid_argument("{}: the trusted hop's secret must be one line of printable ASCII", source);
  return secret;
}

openai::Result<RequestOrigin> read_origin(const http::Request& request, const HopTrust& trust) {
  RequestOrigin origin;
  auto deadline = read_deadline(request);
  if (!deadline.ok()) return deadline.error();
  origin.deadline = *deadline;
  origin.request_id = request.headers.get("X-Request-Id");
  const NamedTenant named = named_tenant(request.headers);
  if (named.name == nullptr) return origin;
  if (!trust.trusts(request)) {
    origin.tenant_ignored = true;
    return origin;
  }
  if (!valid_tenant_name(*named.name)) {
    return openai::invalid_request(fmt::format("{} must be a name of 1 to {} printable ASCII characters.",
                                               named.header, kMaxTenantNameBytes),
                                   named.header);
  }
  origin.tenant = *named.name;
  return origin;
}

}  // namespace hadal
