// One end of a TLS connection without its socket: ciphertext in, plain text out, and back. A Connection or a
// Client moves the bytes; tests and fuzzers do so from memory. Inside of http/ only; OpenSSL is known to
// tls_*.cc alone.
//
//   std::string plain;
//   session->receive(bytes_of_the_socket, &plain);   // the handshake as well
//   session->send("HTTP/1.1 200 OK ...");            // once state() is kOpen
//   socket.write(session->take_output());            // after each of them
//
// TLS 1.2 and 1.3, no renegotiation, no early data. What waits inside is bounded: an unfinished record of the
// peer (16 KiB, and during the handshake OpenSSL's limit of its messages) and the output until it is taken.
// Nothing is kept of an idle session but OpenSSL's own state. Not thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

struct ssl_st;
struct bio_st;

namespace hadal::http {

class TlsSession {
 public:
  enum class State : uint8_t {
    kHandshake,
    kOpen,
    kEnded,   // the peer will send no more; sending still works
    kFailed,  // failure() says why; the output may hold an alert for the peer
  };
  enum class Side : uint8_t { kServer, kClient };

  /// Takes `ssl` over. A client's first message is in the output at once.
  TlsSession(ssl_st* ssl, Side side);
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  State state() const { return state_; }
  /// True once a byte of the peer's was taken.
  bool has_begun() const { return begun_; }
  const std::string& failure() const { return failure_; }

  /// Bytes from the peer; what they say is appended to `plain`.
  State receive(std::string_view ciphertext, std::string* plain);
  /// False before the handshake's end and after a failure.
  bool send(std::string_view plain);
  /// Tells the peer that nothing more will come.
  void end();
  bool has_output() const { return !output_.empty(); }
  std::string take_output();

 private:
  friend struct TlsBio;
  State fail();
  State shake_hands();

  ssl_st* const ssl_;
  State state_ = State::kHandshake;
  bool begun_ = false;
  std::string_view input_;  // during receive()
  std::string output_;
  std::string failure_;
};

}  // namespace hadal::http
