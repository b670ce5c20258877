#include "server/access_log.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "base/log_line.h"

namespace hadal {
namespace {

constexpr int kLeftBeforeAnAnswer = 499;  // nginx's number

std::string client_of(const http::PeerInfo* peer) {
  if (peer == nullptr) return "-";
  if (peer->is_unix_socket) return peer->address;
  const bool v6 = peer->address.find(':') != std::string::npos;
  return fmt::format("{}{}{}:{}", v6 ? "[" : "", peer->address, v6 ? "]" : "", peer->port);
}

/// A header that could not be read has neither method nor path.
std::string or_dash(std::string_view text) { return text.empty() ? "-" : log_escaped(text); }

}  // namespace

AccessLog::AccessLog(std::string_view quiet) {
  while (!quiet.empty()) {
    const size_t comma = std::min(quiet.find(','), quiet.size());
    std::string_view path = quiet.substr(0, comma);
    quiet.remove_prefix(std::min(comma + 1, quiet.size()));
    while (path.starts_with(' ')) path.remove_prefix(1);
    while (path.ends_with(' ')) path.remove_suffix(1);
    if (!path.empty()) quiet_.emplace(path);
  }
}

void AccessLog::on_http(const http::Exchanged& exchanged) const {
  if (quiet_.find(exchanged.path) != quiet_.end()) return;
  const int status = exchanged.status == 0 ? kLeftBeforeAnAnswer : exchanged.status;
  const std::string client = client_of(exchanged.peer);
  const std::string message = fmt::format("{} - \"{} {}\" {} {:.3f}s {}{}", client, or_dash(exchanged.method),
                                          or_dash(exchanged.path), status, exchanged.seconds,
                                          exchanged.label.empty() ? "-" : exchanged.label,
                                          exchanged.client_gone ? " (client left)" : "");
  log_event(LogLevel::kInfo, "access", message,
            {{"client", client},
             {"method", exchanged.method},
             {"path", exchanged.path},
             {"status", status},
             {"seconds", exchanged.seconds},
             {"bytes", static_cast<int64_t>(exchanged.bytes_sent)},
             {"client_gone", exchanged.client_gone},
             {"request_id", exchanged.label}});
}

}  // namespace hadal
