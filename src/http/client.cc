#include "http/client.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "http/client_endpoint.h"
#include "http/response_reader.h"
#include "http/tls_context.h"

namespace hadal::http {
namespace {

using std::chrono::milliseconds;

Status timed_out(std::string_view what) {
  return make_status(absl::StatusCode::kDeadlineExceeded, fmt::format("timed out {}", what));
}

Status wait_for(int fd, short events, milliseconds timeout, std::string_view what) {
  pollfd descriptor{.fd = fd, .events = events, .revents = 0};
  for (;;) {
    const int ready = ::poll(&descriptor, 1, static_cast<int>(timeout.count()));
    if (ready > 0) return OkStatus();
    if (ready == 0) return timed_out(what);
    if (errno != EINTR) return unavailable("poll: {}", std::strerror(errno));
  }
}

constexpr milliseconds kGiveUpSlice{100};  // how late it may be noticed that an answer is not wanted any more

Status finish_connect(int fd, const sockaddr* address, socklen_t size, milliseconds timeout) {
  if (::connect(fd, address, size) == 0) return OkStatus();
  if (errno != EINPROGRESS) return unavailable("{}", std::strerror(errno));
  RETURN_IF_ERROR(wait_for(fd, POLLOUT, timeout, "connecting"));
  int error = 0;
  socklen_t length = sizeof error;
  ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
  if (error != 0) return unavailable("{}", std::strerror(error));
  return OkStatus();
}

}  // namespace

struct Client::State {
  Endpoint endpoint;
  std::string url;
  ClientOptions options;
  int fd = -1;
  std::unique_ptr<TlsSession> tls;  // null: plain
  std::string early_plain;          // came with the handshake's end

  ~State() { close(); }
  void close() {
    if (fd >= 0) ::close(fd);
    fd = -1;
    tls.reset();
    early_plain.clear();
  }
  Status connect();
  Status connect_unix();
  Status connect_tcp();
  Status shake_hands();
  Status send_all(std::string_view bytes);
  Status send_raw(std::string_view bytes);
  StatusOr<std::string> receive_raw();
  Status wait_for_answer() const;
  StatusOr<std::string> receive();  // empty: the connection ended
  std::string head_of(std::string_view method, std::string_view target, const Headers& headers, size_t body_size) const;
  Status exchange(std::string_view head, std::string_view body, ResponseReader& reader, const OnHead& on_head,
                  const OnBytes& on_bytes, bool* any_byte);
};

Status Client::State::connect() {
  close();
  Status status = endpoint.unix_path.empty() ? connect_tcp() : connect_unix();
  if (status.ok() && endpoint.tls) status = shake_hands();
  if (status.ok()) return status;
  close();
  return annotate(status, fmt::format("cannot connect to {}", url));
}

Status Client::State::connect_unix() {
  fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return unavailable("{}", std::strerror(errno));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, endpoint.unix_path.data(), endpoint.unix_path.size());
  return finish_connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address, options.connect_timeout);
}

Status Client::State::connect_tcp() {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(endpoint.host.c_str(), endpoint.port.c_str(), &hints, &found); error != 0) {
    return unavailable("{}", ::gai_strerror(error));
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  Status last = unavailable("no address");
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    close();
    fd = ::socket(entry->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) continue;
    last = finish_connect(fd, entry->ai_addr, entry->ai_addrlen, options.connect_timeout);
    if (!last.ok()) continue;
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return OkStatus();
  }
  return last;
}

Status Client::State::shake_hands() {
  ASSIGN_OR_RETURN(tls, connect_tls(endpoint.host, options.ca_file));
  while (tls->state() == TlsSession::State::kHandshake) {
    RETURN_IF_ERROR(send_raw(tls->take_output()));
    RETURN_IF_ERROR(wait_for(fd, POLLIN, options.connect_timeout, "waiting for the TLS handshake"));
    ASSIGN_OR_RETURN(const std::string bytes, receive_raw());
    if (bytes.empty()) return unavailable("TLS: the server closed the connection in the handshake");
    tls->receive(bytes, &early_plain);
  }
  const Status sent = send_raw(tls->take_output());  // after a failure that is the alert
  if (tls->state() == TlsSession::State::kFailed) return unavailable("TLS: {}", tls->failure());
  return sent;
}

Status Client::State::send_all(std::string_view bytes) {
  if (!tls) return send_raw(bytes);
  if (!tls->send(bytes)) return unavailable("TLS: {}", tls->failure());
  return send_raw(tls->take_output());
}

StatusOr<std::string> Client::State::receive() {
  if (!tls) return receive_raw();
  std::string plain = std::exchange(early_plain, std::string());
  while (plain.empty()) {
    if (tls->state() == TlsSession::State::kEnded) return plain;
    ASSIGN_OR_RETURN(const std::string bytes, receive_raw());
    if (bytes.empty()) return unavailable("the connection was cut");  // without TLS's end something may be missing
    if (tls->receive(bytes, &plain) == TlsSession::State::kFailed) return unavailable("TLS: {}", tls->failure());
    if (tls->has_output()) RETURN_IF_ERROR(send_raw(tls->take_output()));
  }
  return plain;
}

Status Client::State::send_raw(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      bytes.remove_prefix(static_cast<size_t>(sent));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      RETURN_IF_ERROR(wait_for(fd, POLLOUT, options.read_timeout, "sending the request"));
    } else if (errno != EINTR) {
      return unavailable("the connection was lost: {}", std::strerror(errno));
    }
  }
  return OkStatus();
}

Status Client::State::wait_for_answer() const {
  constexpr const char* kWhat = "waiting for the answer";
  if (!options.give_up) return wait_for(fd, POLLIN, options.read_timeout, kWhat);
  for (milliseconds left = options.read_timeout; left > milliseconds(0); left -= kGiveUpSlice) {
    if (options.give_up()) return cancelled("stopped by the caller");
    const Status status = wait_for(fd, POLLIN, std::min(left, kGiveUpSlice), kWhat);
    if (status.code() != absl::StatusCode::kDeadlineExceeded) return status;
  }
  return timed_out(kWhat);
}

StatusOr<std::string> Client::State::receive_raw() {
  std::string bytes(16 * 1024, '\0');
  for (;;) {
    const ssize_t got = ::recv(fd, bytes.data(), bytes.size(), 0);
    if (got >= 0) {
      bytes.resize(static_cast<size_t>(got));
      return bytes;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      RETURN_IF_ERROR(wait_for_answer());
    } else if (errno != EINTR) {
      return unavailable("the connection was lost: {}", std::strerror(errno));
    }
  }
}

std::string Client::State::head_of(std::string_view method, std::string_view target, const Headers& headers,
                                   size_t body_size) const {
  std::string head = fmt::format("{} {}{} HTTP/1.1\r\n", method, endpoint.base, target);
  if (!headers.contains("Host")) {
    head += endpoint.unix_path.empty() ? fmt::format("Host: {}:{}\r\n", endpoint.host, endpoint.port)
                                       : std::string("Host: localhost\r\n");
  }
  for (const auto& [name, value] : headers.fields()) head += fmt::format("{}: {}\r\n", name, value);
  if (body_size > 0 || method == "POST") head += fmt::format("Content-Length: {}\r\n", body_size);
  return head + "\r\n";
}

Status Client::State::exchange(std::string_view head, std::string_view body, ResponseReader& reader,
                               const OnHead& on_head, const OnBytes& on_bytes, bool* any_byte) {
  Status sent = send_all(std::string(head) + std::string(body));
  bool head_given = false;
  while (!reader.done()) {
    // A server that refuses a request early answers before it has read all: look for that even after a failed send.
    StatusOr<std::string> bytes = receive();
    if (!bytes.ok()) return sent.ok() ? bytes.status() : sent;
    if (bytes->empty() && !sent.ok() && !reader.header_done()) return sent;
    if (bytes->empty() && !*any_byte) return unavailable("the server closed the connection without an answer");
    *any_byte = true;
    RETURN_IF_ERROR(bytes->empty() ? reader.end_of_input() : reader.feed(*bytes));
    if (!reader.header_done()) continue;
    if (!head_given) {
      head_given = true;
      if (on_head && !on_head(reader.head())) return cancelled("stopped by the caller");
    }
    const std::string piece = reader.take_body();
    if (!piece.empty() && on_bytes && !on_bytes(piece)) return cancelled("stopped by the caller");
  }
  return OkStatus();
}

Client::Client(std::unique_ptr<State> state) : state_(std::move(state)) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

StatusOr<Client> Client::create(std::string_view url, ClientOptions options) {
  auto state = std::make_unique<State>();
  ASSIGN_OR_RETURN(state->endpoint, parse_url(url));
  state->url = std::string(url);
  state->options = std::move(options);
  return Client(std::move(state));
}

void Client::close() { state_->close(); }

Status Client::stream(std::string_view method, std::string_view target, Headers headers, std::string_view body,
                      const OnHead& on_head, const OnBytes& on_bytes) {
  const std::string head = state_->head_of(method, target, headers, body.size());
  const auto expected = method == "HEAD" ? ResponseReader::BodyExpected::kNo : ResponseReader::BodyExpected::kYes;
  for (;;) {
    const bool reused = state_->fd >= 0;
    if (!reused) RETURN_IF_ERROR(state_->connect());
    ResponseReader reader(expected);
    bool any_byte = false;
    const Status status = state_->exchange(head, body, reader, on_head, on_bytes, &any_byte);
    if (!status.ok() || !reader.keep_alive()) state_->close();
    // A kept connection may have been closed by the server in the meantime; nothing was answered, so once more.
    if (!status.ok() && reused && !any_byte && status.code() == absl::StatusCode::kUnavailable) continue;
    return status;
  }
}

StatusOr<Response> Client::request(std::string_view method, std::string_view target, Headers headers,
                                   std::string_view body) {
  Response response;
  bool too_large = false;
  const Status status = stream(
      method, target, std::move(headers), body,
      [&](const Response& head) {
        response = head;
        return true;
      },
      [&](std::string_view bytes) {
        too_large = response.body.size() + bytes.size() > state_->options.max_body_bytes;
        if (!too_large) response.body += bytes;
        return !too_large;
      });
  if (too_large) return resource_exhausted("the answer is larger than {} bytes", state_->options.max_body_bytes);
  RETURN_IF_ERROR(status);
  return response;
}

StatusOr<Response> Client::post_sse(std::string_view target, std::string_view json, const OnEvent& on_event,
                                    Headers headers) {
  headers.set("Content-Type", "application/json");
  headers.set("Accept", "text/event-stream");
  Response response;
  bool is_stream = false;
  bool go_on = true;
  SseParser parser([&](const SseEvent& event) {
    if (go_on) go_on = on_event(event);
  });
  const Status status = stream(
      "POST", target, std::move(headers), json,
      [&](const Response& head) {
        response = head;
        is_stream = head.status == 200 && head.headers.get("Content-Type").substr(0, 17) == "text/event-stream";
        return true;
      },
      [&](std::string_view bytes) {
        if (is_stream) return parser.feed(bytes) && go_on;
        response.body += bytes;
        return response.body.size() <= state_->options.max_body_bytes;
      });
  RETURN_IF_ERROR(status);
  return response;
}

}  // namespace hadal::http
