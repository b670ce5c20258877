// A blocking HTTP/1.1 client over TCP, TLS and Unix sockets, for tests, the benchmark and commands that talk to a server.
//
//   ASSIGN_OR_RETURN(Client client, Client::create("http://127.0.0.1:8000"));       // or "unix:/run/hadal.sock"
//   ASSIGN_OR_RETURN(Response answer, client.request("GET", "/v1/models"));
//   RETURN_IF_ERROR(client.stream("POST", "/v1/completions", {}, body, on_head, on_bytes));
//
// One connection, kept alive between requests and opened anew when the server has closed it. Not thread-safe. No
// redirects, no proxies. With https:// the server's certificate must be signed by an authority of the system (or of the file in
// SSL_CERT_FILE, or of `ca_file`) and made out to the host of the URL. Errors: unavailable (cannot connect, a certificate that is not
// trusted, connection lost), deadline_exceeded (a timeout), data_loss (a malformed answer), cancelled (a callback
// returned false).
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "http/message.h"
#include "http/sse.h"

namespace hadal::http {

struct ClientOptions {
  std::chrono::milliseconds connect_timeout{5'000};
  std::chrono::milliseconds read_timeout{600'000};  // without a byte
  size_t max_body_bytes = size_t{1} << 30;          // of an answer that is gathered by request()
  std::function<bool()> give_up;                    // asked about while an answer is waited for; true: kCancelled
  std::string ca_file;                              // PEM; authorities to trust in place of the system's
};

struct Response {
  int status = 0;
  Headers headers;
  std::string body;
};

class Client {
 public:
  /// Does not connect yet. `url`: http[s]://host[:port][/base] or unix:/path. The base path is put before every target.
  static StatusOr<Client> create(std::string_view url, ClientOptions options = {});
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  ~Client();

  StatusOr<Response> request(std::string_view method, std::string_view target, Headers headers = {},
                             std::string_view body = {});

  using OnHead = std::function<bool(const Response& head)>;      // body still empty; false: stop
  using OnBytes = std::function<bool(std::string_view bytes)>;  // false: hang up, the call returns cancelled
  Status stream(std::string_view method, std::string_view target, Headers headers, std::string_view body,
                const OnHead& on_head, const OnBytes& on_bytes);

  using OnEvent = std::function<bool(const SseEvent& event)>;
  /// POSTs JSON and gives each event of an event stream. An answer that is no 200 event stream is returned whole with no event
  /// given; otherwise the returned body is empty.
  StatusOr<Response> post_sse(std::string_view target, std::string_view json, const OnEvent& on_event,
                              Headers headers = {});

  /// Hangs up.
  void close();

 private:
  struct State;
  explicit Client(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace hadal::http
