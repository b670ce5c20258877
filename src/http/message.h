// What an HTTP request and the headers of both directions look like to the rest of the house. Plain data, no threads.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hadal::http {

/// Header fields in the order they came, names as sent, looked up without regard to case.
class Headers {
 public:
  using Field = std::pair<std::string, std::string>;

  Headers() = default;
  Headers(std::initializer_list<Field> fields) : fields_(fields) {}

  /// Null when absent; the first one when sent several times.
  const std::string* find(std::string_view name) const;
  /// Empty when absent.
  std::string_view get(std::string_view name) const;
  bool contains(std::string_view name) const { return find(name) != nullptr; }
  size_t count(std::string_view name) const;

  void add(std::string name, std::string value) { fields_.emplace_back(std::move(name), std::move(value)); }
  /// Replaces every field of that name.
  void set(std::string_view name, std::string value);

  const std::vector<Field>& fields() const { return fields_; }
  size_t size() const { return fields_.size(); }

 private:
  std::vector<Field> fields_;
};

/// Who is at the other end.
struct PeerInfo {
  std::string address;  // "127.0.0.1", "::1"; "unix" for a Unix socket
  uint16_t port = 0;
  bool is_unix_socket = false;
  int64_t uid = -1;  // of the process at the other end of a Unix socket
};

struct Request {
  std::string method;  // as sent: "GET", "POST", ...
  std::string target;  // as sent: "/v1/models?x=1"
  std::string path;    // percent-decoded, without the query
  std::string query;   // raw, without '?'
  int http_minor = 1;  // HTTP/1.0 or HTTP/1.1
  bool keep_alive = true;
  Headers headers;
  std::string body;
  PeerInfo peer;
  std::chrono::steady_clock::time_point received{};  // when the request was complete

  /// The decoded value of a query parameter; empty when absent.
  std::string query_value(std::string_view name) const;
};

/// "OK" for 200; "Unknown" for numbers without a name.
std::string_view status_text(int status);

bool iequals(std::string_view left, std::string_view right);

/// Decodes %XX (and '+' as a blank with `plus_is_space`). False on a broken escape or an encoded NUL.
enum class PlusSign : uint8_t { kLiteral, kSpace };
bool percent_decode(std::string_view text, PlusSign plus, std::string* out);

/// The head of a response up to and with the empty line. Characters that would break out of a field are replaced.
std::string response_head(int status, const Headers& headers, std::string_view extra_fields);

}  // namespace hadal::http
