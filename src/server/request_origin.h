// What a request's headers say of where it comes from: whose it is, and until when its first token is wanted.
//
// Whose it is counts only from a trusted hop (the gateway): over a Unix socket, or over TCP with the hop's
// secret. A client that could name its tenant could take another's share and read from its prefix cache how
// long prompts take.
//
// Threads: any.
#pragma once

#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/status.h"
#include "http/message.h"
#include "openai/error.h"

namespace hadal {

inline constexpr const char* kHopSecretHeader = "x-hadal-hop-secret";
inline constexpr const char* kHopSecretVariable = "HADAL_TRUSTED_HOP_SECRET";

/// Compares in a time that depends on `given`'s length alone.
bool constant_time_equal(std::string_view given, std::string_view secret);

class HopTrust {
 public:
  HopTrust() = default;
  /// Without a secret ("") nobody is trusted over TCP.
  explicit HopTrust(std::string secret) : secret_(std::move(secret)) {}
  bool trusts(const http::Request& request) const;

 private:
  std::string secret_;
};

/// The secret of `file`, or of the environment where `file` is empty; "" where there is neither. White space
/// around it does not count. Errors: a file that cannot be read; an empty secret, or one that no header could
/// carry.
StatusOr<std::string> read_hop_secret(const std::string& file);

struct RequestOrigin {
  std::string tenant;                             // "": the default one
  MonotonicTime deadline = MonotonicTime::max();  // for the first token
  std::string request_id;                         // X-Request-Id, given or drawn
  bool tenant_ignored = false;                    // one was named by somebody who is not trusted
};

/// 400 for a deadline, or a trusted hop's tenant, that makes no sense.
openai::Result<RequestOrigin> read_origin(const http::Request& request, const HopTrust& trust);

}  // namespace hadal
