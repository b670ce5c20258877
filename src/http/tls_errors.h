// OpenSSL's error queue as text. Inside of http/ only.
#pragma once

#include <openssl/err.h>

#include <string>

namespace hadal::http {

/// The oldest error of this thread's queue, which is the cause of the others; empties the queue.
inline std::string take_tls_error() {
  const unsigned long error = ERR_get_error();
  ERR_clear_error();
  if (error == 0) return "the peer broke off";
  const char* reason = ERR_reason_error_string(error);
  return reason != nullptr ? reason : "error " + std::to_string(error);
}

}  // namespace hadal::http
