#include "http/tls_session.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "http/tls_errors.h"

namespace hadal::http {

// OpenSSL reads and writes through a BIO; this one is the session's own views, so that no buffer is kept for
// an idle one.
struct TlsBio {
  static TlsSession& session(BIO* bio) { return *static_cast<TlsSession*>(BIO_get_data(bio)); }

  static int read(BIO* bio, char* to, int size) {
    BIO_clear_retry_flags(bio);
    std::string_view& input = session(bio).input_;
    if (input.empty()) {
      BIO_set_retry_read(bio);
      return -1;
    }
    const size_t taken = std::min(input.size(), static_cast<size_t>(size));
    std::memcpy(to, input.data(), taken);
    input.remove_prefix(taken);
    return static_cast<int>(taken);
  }
  static int write(BIO* bio, const char* from, int size) {
    BIO_clear_retry_flags(bio);
    session(bio).output_.append(from, static_cast<size_t>(size));
    return size;
  }
  static long control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

  static BIO_METHOD* method() {
    static BIO_METHOD* const made = [] {
      BIO_METHOD* fresh = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "hadal");
      BIO_meth_set_read(fresh, read);
      BIO_meth_set_write(fresh, write);
      BIO_meth_set_ctrl(fresh, control);
      return fresh;
    }();
    return made;
  }
  static void attach(SSL* ssl, TlsSession* to) {
    BIO* bio = BIO_new(method());
    BIO_set_data(bio, to);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
  }
};

TlsSession::TlsSession(ssl_st* ssl, Side side) : ssl_(ssl) {
  TlsBio::attach(ssl_, this);
  if (side == Side::kServer) {
    SSL_set_accept_state(ssl_);
  } else {
    SSL_set_connect_state(ssl_);
    shake_hands();
  }
}

TlsSession::~TlsSession() { SSL_free(ssl_); }

TlsSession::State TlsSession::fail() {
  failure_ = take_tls_error();
  const long verified = SSL_get_verify_result(ssl_);
  if (verified != X509_V_OK) failure_ += std::string(": ") + X509_verify_cert_error_string(verified);
  return state_ = State::kFailed;
}

TlsSession::State TlsSession::shake_hands() {
  ERR_clear_error();
  const int done = SSL_do_handshake(ssl_);
  if (done == 1) return state_ = State::kOpen;
  return SSL_get_error(ssl_, done) == SSL_ERROR_WANT_READ ? state_ : fail();
}

TlsSession::State TlsSession::receive(std::string_view ciphertext, std::string* plain) {
  if (state_ == State::kFailed || state_ == State::kEnded) return state_;
  begun_ = true;
  input_ = ciphertext;
  if (state_ == State::kHandshake && shake_hands() != State::kOpen) return state_;
  std::array<char, 16 * 1024> piece;  // the longest record
  for (;;) {
    ERR_clear_error();
    size_t got = 0;
    const int done = SSL_read_ex(ssl_, piece.data(), piece.size(), &got);
    if (done == 1) {
      plain->append(piece.data(), got);
      continue;
    }
    switch (SSL_get_error(ssl_, done)) {
      case SSL_ERROR_WANT_READ:
        return state_;
      case SSL_ERROR_ZERO_RETURN:
        return state_ = State::kEnded;
      default:
        return fail();
    }
  }
}

bool TlsSession::send(std::string_view plain) {
  if (state_ != State::kOpen && state_ != State::kEnded) return false;
  if (plain.empty()) return true;
  ERR_clear_error();
  size_t taken = 0;
  if (SSL_write_ex(ssl_, plain.data(), plain.size(), &taken) == 1 && taken == plain.size()) return true;
  fail();
  return false;
}

void TlsSession::end() {
  if (state_ != State::kOpen && state_ != State::kEnded) return;
  ERR_clear_error();
  SSL_shutdown(ssl_);
}

std::string TlsSession::take_output() { return std::exchange(output_, std::string()); }

}  // namespace hadal::http
