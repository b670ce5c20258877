// Who may call what. Three kinds of routes: open ones (health, metrics, version), the API, and
// administration.
//
//   - The API needs one of the API keys, as `Authorization: Bearer KEY` (OpenAI's clients) or `x-api-key:
//   KEY`
//     (Anthropic's), where any key is set; else it is open.
//   - Administration needs the admin key, sent the same way. Without one set it is closed over TCP.
//   - A trusted hop (a Unix socket, or the hop's secret; request_origin.h) may call everything.
//
// Keys are compared in a time that does not depend on how much of them is right. Threads: any.
#pragma once

#include <string>
#include <vector>

#include "http/message.h"
#include "openai/error.h"
#include "server/request_origin.h"

namespace hadal {

enum class Access : uint8_t { kOpen, kApi, kAdmin };

class AccessControl {
 public:
  AccessControl() = default;
  AccessControl(std::vector<std::string> api_keys, std::string admin_key)
      : api_keys_(std::move(api_keys)), admin_key_(std::move(admin_key)) {}

  /// 401 without the key that is needed, 403 where no key could help. Empty where the request may pass.
  openai::MaybeError check(const http::Request& request, Access access, const HopTrust& trust) const;

 private:
  std::vector<std::string> api_keys_;
  std::string admin_key_;
};

}  // namespace hadal
