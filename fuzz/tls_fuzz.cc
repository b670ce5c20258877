// The two ends of a TLS connection, and what lies between them is bent, cut, dropped and made up as the input
// says: no byte reaches a reader that its peer did not write, an unspoilt connection brings everything, and a
// failure is told once and ends the session. A server and a client, each alone, read the bare bytes besides.
// deps: hadal_http hadal_dep_tls
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "http/testing_certificate.h"
#include "http/tls_context.h"

namespace {

using hadal::http::TlsCertificates;
using hadal::http::TlsSession;
using State = TlsSession::State;

// Random numbers that are the same for the same input, so that what is found can be found again.
uint64_t random_state = 1;
int random_bytes(unsigned char* to, int size) {
  for (int i = 0; i < size; ++i) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    to[i] = static_cast<unsigned char>(random_state >> 56);
  }
  return 1;
}
int random_status() { return 1; }

void make_random_repeatable() {
  static const RAND_METHOD method = {nullptr, random_bytes, nullptr, nullptr, random_bytes, random_status};
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  RAND_set_rand_method(&method);
#pragma GCC diagnostic pop
}

void require(bool holds) {
  if (!holds) std::abort();
}

TlsCertificates& certificates() {
  static TlsCertificates* const loaded = [] {
    make_random_repeatable();
    std::string folder = "/tmp/hadal_tls_fuzz_XXXXXX";
    require(::mkdtemp(folder.data()) != nullptr);
    const auto made = hadal::http::testing::make_certificate("fuzz");
    const std::string file = folder + "/both.pem";
    hadal::http::testing::put_file(file, made.certificate + made.key);
    auto certificates = TlsCertificates::load({.certificate_file = file});
    ::unlink(file.c_str());
    ::rmdir(folder.c_str());
    require(certificates.ok());
    return std::move(*certificates).release();
  }();
  return *loaded;
}

ssl_st* new_client(bool tls12) {
  static SSL_CTX* const context = [] {
    SSL_CTX* made = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_verify(made, SSL_VERIFY_NONE, nullptr);
    return made;
  }();
  ssl_st* ssl = SSL_new(context);
  SSL_set_max_proto_version(ssl, tls12 ? TLS1_2_VERSION : TLS1_3_VERSION);
  return ssl;
}

/// One end, held to what tls_session.h promises whatever it receives.
class End {
 public:
  explicit End(std::unique_ptr<TlsSession> session) : session_(std::move(session)) { collect(); }

  State state() const { return session_->state(); }
  const std::string& received() const { return received_; }
  const std::string& sent() const { return sent_; }
  bool ended() const { return ended_; }
  std::string& wire() { return wire_; }

  void receive(std::string_view bytes) {
    const State before = state();
    const std::string told = session_->failure();
    const size_t had = received_.size();
    require(session_->receive(bytes, &received_) == state());
    require(received_.size() - had <= bytes.size() + held_);
    held_ = std::min<size_t>(held_ + bytes.size(), 17 * 1024);  // a record of which a part is there
    if (before == State::kFailed || before == State::kEnded) {
      require(state() == before && received_.size() == had);
      require(!session_->has_output() && session_->failure() == told);
    }
    require((state() == State::kFailed) == !session_->failure().empty());
    if (before == State::kOpen) require(state() != State::kHandshake);
    collect();
  }
  void send(std::string_view plain) {
    if (ended_) return;
    const State before = state();
    const bool taken = session_->send(plain);
    if (before == State::kOpen || before == State::kEnded) {
      require(taken && state() == before);
      sent_ += plain;
    } else {
      require(!taken && state() == before && !session_->has_output());
    }
    collect();
  }
  void end() {
    const State before = state();
    session_->end();
    require(state() == before);
    if (before != State::kOpen && before != State::kEnded) return require(!session_->has_output());
    require(ended_ || session_->has_output());
    ended_ = true;
    collect();
  }

 private:
  void collect() {
    const std::string output = session_->take_output();
    require(!session_->has_output());
    written_ += output.size();
    // greetings, certificate, tickets and alerts; and what records add to the text
    require(written_ <= 16 * 1024 + 2 * sent_.size() + 64 * ++calls_);
    wire_ += output;
  }

  std::unique_ptr<TlsSession> session_;
  std::string received_, sent_;
  std::string wire_;  // on its way to the other end
  bool ended_ = false;
  size_t held_ = 0, written_ = 0, calls_ = 0;
};

/// Commands and their numbers, one byte after the other.
class Input {
 public:
  explicit Input(std::string_view bytes) : rest_(bytes) {}
  bool empty() const { return rest_.empty(); }
  size_t next() {
    if (rest_.empty()) return 0;
    const auto byte = static_cast<unsigned char>(rest_.front());
    rest_.remove_prefix(1);
    return byte;
  }
  std::string_view take(size_t count) {
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(taken.size());
    return taken;
  }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

/// In pieces, and each where nothing lies behind it to be read by mistake.
void carry(std::string_view bytes, size_t piece, End& to) {
  for (size_t at = 0; at < bytes.size(); at += piece) {
    const std::string_view part = bytes.substr(at, piece);
    const std::unique_ptr<char[]> exact(new char[part.size()]);
    std::copy(part.begin(), part.end(), exact.get());
    to.receive({exact.get(), part.size()});
  }
}

void carry(End& from, size_t piece, End& to) {
  const std::string bytes = std::exchange(from.wire(), std::string());
  carry(bytes, piece, to);
}

std::string text_of(size_t size, size_t seed) {
  std::string text(size, ' ');
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + (seed + i * i) % 23);
  return text;
}

void settle(End& one, End& other) {
  for (int round = 0; round < 10 && !(one.wire().empty() && other.wire().empty()); ++round) {
    carry(one, 1 << 20, other);
    carry(other, 1 << 20, one);
  }
  require(one.wire().empty() && other.wire().empty());
}

void check_arrived(const End& from, const End& to) {
  require(to.received() == from.sent());
  require(to.state() == (from.ended() ? State::kEnded : State::kOpen));
}

void converse(Input input, bool tls12) {
  ssl_st* const client_ssl = new_client(tls12);
  End client(std::make_unique<TlsSession>(client_ssl, TlsSession::Side::kClient));
  End server(certificates().accept());
  bool spoilt = false;
  for (int step = 0; step < 64 && !input.empty(); ++step) {
    const size_t command = input.next();
    End& from = command & 0x80 ? server : client;
    End& to = command & 0x80 ? client : server;
    std::string& wire = from.wire();
    switch (command % 9) {
      case 0:
        settle(client, server);
        break;
      case 1:
        carry(from, input.next() + 1, to);
        break;
      case 2:
        from.send(text_of(input.next() * 100, command));
        break;
      case 3:
        from.end();
        break;
      case 4: {  // a byte is bent
        const size_t at = input.next() * 256 + input.next();
        const auto mask = static_cast<char>(input.next());
        if (wire.empty() || mask == 0) break;
        wire[at % wire.size()] = static_cast<char>(wire[at % wire.size()] ^ mask);
        spoilt = true;
        break;
      }
      case 5: {  // the rest is lost
        if (wire.empty()) break;
        wire.resize(wire.size() - 1 - input.next() % wire.size());
        spoilt = true;
        break;
      }
      case 6:  // sent twice
        if (wire.empty() || wire.size() > 100'000) break;
        wire += std::string(wire);
        spoilt = true;
        break;
      case 7: {  // somebody else's bytes
        const std::string_view made_up = input.take(input.next());
        if (made_up.empty()) break;
        wire += made_up;
        spoilt = true;
        break;
      }
      case 8:
        if (tls12 || client.state() != State::kOpen || client.ended()) break;
        SSL_key_update(client_ssl, SSL_KEY_UPDATE_REQUESTED);
        require(SSL_do_handshake(client_ssl) == 1);  // writes it
        client.send("");
        break;
    }
    require(client.sent().starts_with(server.received()));
    require(server.sent().starts_with(client.received()));
  }
  settle(client, server);
  require(client.sent().starts_with(server.received()));
  require(server.sent().starts_with(client.received()));
  if (spoilt) return;
  check_arrived(client, server);
  check_arrived(server, client);
}

void listen_alone(Input input, std::unique_ptr<TlsSession> session) {
  End end(std::move(session));
  const size_t piece = input.next() + 1;
  carry(input.rest(), piece, end);
  require(end.received().empty());  // nobody shook hands
  end.send("x");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  TlsCertificates& loaded = certificates();
  random_state = 1;
  Input input({reinterpret_cast<const char*>(data), size});
  const size_t mode = input.next();
  const bool tls12 = mode & 1;
  switch (mode / 2 % 3) {
    case 0:
      converse(input, tls12);
      break;
    case 1:
      listen_alone(input, loaded.accept());
      break;
    case 2:
      listen_alone(input, std::make_unique<TlsSession>(new_client(tls12), TlsSession::Side::kClient));
      break;
  }
  return 0;
}
