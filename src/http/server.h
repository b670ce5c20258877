// An HTTP/1.1 server over TCP, TLS and Unix sockets. Boost.Asio, Beast and OpenSSL are inside; nothing of them shows here.
//
//   auto server = Server::create(options, [&](Request request, std::shared_ptr<ResponseWriter> response) {
//     response->respond(200, {{"Content-Type", "text/plain"}}, "hello");
//   });
//   ... (*server)->port() ...
//   (*server)->stop(std::chrono::seconds(30));
//
// Threads: `io_threads` of the server's own; each connection belongs to one of them. The handler runs there and must
// not block: hand long work to a thread of your own and keep the writer. A ResponseWriter may be used from any thread.
//
// A connection answers its requests one after the other (pipelined ones wait). While a response is being made the
// socket is still read, so a client that hangs up is noticed at once. A client that closes only its sending side
// counts as hung up too (the two cannot be told apart), but a response that is given within `half_close_grace` is still sent.
//
// Errors: create() fails when an address cannot be bound or TLS's files cannot be used. What a peer does never fails the server: malformed, oversized
// or slow requests are answered with `error_body` and closed. An exception of the handler becomes a 500.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "http/message.h"

namespace hadal::http {

/// The way to answer one request. Dropping the last reference without an answer sends a 500 (or cuts the stream), unless the
/// client has gone.
class ResponseWriter {
 public:
  virtual ~ResponseWriter() = default;

  /// The whole answer at once. False when one was given before or the client is gone.
  virtual bool respond(int status, Headers headers, std::string body) = 0;

  /// Begins an answer whose length is unknown: chunked, or ended by the connection's close for HTTP/1.0.
  virtual bool start_stream(int status, Headers headers) = 0;
  /// Queues a piece of the stream; returns at once. False when the client is gone, was too slow (its unsent bytes passed
  /// `max_stream_buffer`, the connection is dropped) or the stream is not open.
  virtual bool write(std::string_view piece) = 0;
  /// Ends the stream.
  virtual void finish() = 0;
  /// Cuts the connection without an orderly end, so that the client sees a failure.
  virtual void abort() = 0;

  /// False once the client hung up or was dropped.
  virtual bool alive() const = 0;
  /// True once respond() or start_stream() was accepted.
  virtual bool started() const = 0;
  /// Bytes accepted and not yet taken by the operating system.
  virtual size_t unsent_bytes() const = 0;
  /// `callback` runs once, on an io thread, if the client goes before the answer is complete; at once, on this thread, if it
  /// has gone already. It is dropped, never run, after respond() or finish(). One callback; a later call replaces it.
  virtual void on_disconnect(std::function<void()> callback) = 0;
  /// What the observer is told as Exchanged::label, such as the request's id. The last one counts.
  virtual void set_label(std::string label) {}
};

using Handler = std::function<void(Request request, std::shared_ptr<ResponseWriter> response)>;

/// The body of an answer that the server gives by itself (400, 408, 413, 500, 503 ...).
struct ErrorBody {
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};
using ErrorBodyMaker = std::function<ErrorBody(int status, std::string_view message)>;

/// One answered (or broken off) request, for logs and metrics. Called on the connection's io thread; must be quick.
struct Exchanged {
  std::string_view method, path;
  int status = 0;  // 0: the client went before an answer began
  uint64_t bytes_sent = 0;
  double seconds = 0;
  bool client_gone = false;
  const PeerInfo* peer = nullptr;
  std::string_view label;  // see ResponseWriter::set_label()
};

/// TLS for the TCP port. All files are PEM.
struct TlsOptions {
  enum class ClientCertificates : uint8_t { kNone, kOptional, kRequired };

  std::string certificate_file;  // the server's, then its authorities'; empty: no TLS
  std::string key_file;          // empty: in certificate_file
  std::string client_ca_file;    // who may sign clients' certificates
  ClientCertificates client_certificates = ClientCertificates::kNone;
  bool refresh = false;  // looks at the files and takes new ones for new connections; broken ones are logged and left
  std::chrono::milliseconds refresh_interval{1'000};

  bool wanted() const { return !certificate_file.empty() || !key_file.empty(); }
};

/// Whether a server could use these files; ok where no TLS is wanted. For those who have much to do before they create a server.
Status check_tls(const TlsOptions& options);

struct ServerOptions {
  std::string host = "127.0.0.1";  // empty: no TCP
  uint16_t port = 0;               // 0: any free one, see Server::port()
  std::string unix_path;           // empty: no Unix socket
  TlsOptions tls;                  // of the TCP port
  int io_threads = 1;
  size_t max_connections = 16384;  // more are answered 503

  size_t max_header_bytes = 64 * 1024;
  size_t max_header_fields = 256;
  size_t max_body_bytes = size_t{32} << 20;
  size_t max_stream_buffer = size_t{1} << 20;  // unsent bytes of a stream before its reader is dropped
  size_t max_read_ahead = 64 * 1024;           // pipelined bytes taken while a response is being made

  std::chrono::milliseconds header_timeout{10'000};  // from a request's first byte to the end of its header; of a handshake too
  std::chrono::milliseconds body_timeout{60'000};    // from there to the end of its body
  std::chrono::milliseconds idle_timeout{75'000};    // between requests
  std::chrono::milliseconds write_timeout{30'000};   // without any progress of a write
  std::chrono::milliseconds half_close_grace{1'000};
  std::chrono::milliseconds linger{2'000};           // for the client to read the answer before the socket is closed

  ErrorBodyMaker error_body;  // null: plain text
  std::function<void(const Exchanged&)> observer;
};

struct ServerStats {
  int64_t connections = 0;  // open now
  int64_t requests_in_progress = 0;
  int64_t connections_total = 0;
  int64_t requests_total = 0;
};

class Server {
 public:
  static StatusOr<std::unique_ptr<Server>> create(ServerOptions options, Handler handler);
  virtual ~Server() = default;  // stops at once

  /// The bound TCP port; 0 without TCP.
  virtual uint16_t port() const = 0;
  /// "http://127.0.0.1:8000", "https://..." or "unix:/path", for messages.
  virtual std::string address() const = 0;
  virtual ServerStats stats() const = 0;

  /// Stops accepting, closes idle connections, lets running requests finish until `deadline` has passed, then closes what
  /// is left and ends the threads. True when nothing had to be cut. Not from an io thread. Later calls do nothing.
  virtual bool stop(std::chrono::milliseconds deadline) = 0;
};

}  // namespace hadal::http
