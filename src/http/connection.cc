#include "http/connection.h"

#include <poll.h>
#include <sys/socket.h>

#include <boost/asio/post.hpp>
#include <utility>

#include "base/log.h"

namespace hadal::http {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

TimePoint now() { return std::chrono::steady_clock::now(); }

// No TLS record begins with a letter; every HTTP method does.
bool is_plain_http(std::string_view bytes) {
  const char first = bytes.empty() ? '\0' : bytes[0];
  return (first >= 'A' && first <= 'Z') || (first >= 'a' && first <= 'z');
}

}  // namespace

Connection::Connection(ServerCore& core, IoThread& io, Socket socket, PeerInfo peer)
    : core_(core),
      io_(io),
      socket_(std::move(socket)),
      peer_(std::move(peer)),
      reader_(ReaderLimits{.max_header_bytes = core.options.max_header_bytes,
                           .max_header_fields = core.options.max_header_fields,
                           .max_body_bytes = core.options.max_body_bytes}) {}

void Connection::start(Admission admission) {
  io_.connections.insert(shared_from_this());
  if (io_.stopped) return close();
  io_.start_sweeping();
  error_code ec;
  socket_.non_blocking(true, ec);
  if (ec) return close();
  admission_ = admission;
  if (core_.tls && !peer_.is_unix_socket) {
    tls_ = core_.tls->accept();
    if (!tls_) return close();
    enter(Phase::kHandshake);
  } else if (admission == Admission::kTooMany) {
    refuse(503, "too many connections");
  } else {
    read_deadline_ = now() + core_.options.idle_timeout;
  }
  wait_readable();
}

// ---- reading ----

void Connection::wait_readable() {
  if (waiting_ || end_of_input_ || phase_ == Phase::kClosed) return;
  if (phase_ == Phase::kAnswering && reader_.buffered() >= core_.options.max_read_ahead) {
    paused_ = true;
    return;
  }
  paused_ = false;
  waiting_ = true;
  socket_.async_wait(Socket::wait_read, [self = shared_from_this()](error_code ec) {
    self->waiting_ = false;
    if (self->phase_ == Phase::kClosed) return;
    if (ec) return self->close();
    self->on_readable();
  });
}

void Connection::on_readable() {
  error_code ec;
  const size_t bytes = socket_.read_some(asio::buffer(io_.scratch), ec);
  if (ec == asio::error::would_block || ec == asio::error::interrupted) return wait_readable();
  if (ec == asio::error::eof) return on_end_of_input();
  if (ec) return close();
  const std::string_view got(io_.scratch.data(), bytes);
  if (tls_) {
    on_ciphertext(got);
  } else {
    on_bytes(got);
  }
  wait_readable();
}

void Connection::on_ciphertext(std::string_view bytes) {
  if (phase_ == Phase::kLingering) return;  // read to be dropped
  if (phase_ == Phase::kHandshake && !tls_->has_begun() && is_plain_http(bytes)) {
    tls_.reset();
    return refuse(400, "plain HTTP was sent to a port that speaks TLS; use https://");
  }
  std::string plain;
  const TlsSession::State state = tls_->receive(bytes, &plain);
  if (phase_ == Phase::kHandshake && state == TlsSession::State::kOpen) {
    enter(Phase::kIdle);
    if (admission_ == Admission::kTooMany) refuse(503, "too many connections");
  }
  if (tls_->has_output() && state != TlsSession::State::kFailed) flush();  // of the handshake, tickets
  if (!plain.empty() && phase_ != Phase::kClosed) on_bytes(plain);
  if (phase_ == Phase::kClosed || phase_ == Phase::kLingering) return;
  if (state == TlsSession::State::kEnded) return on_end_of_input();
  if (state == TlsSession::State::kFailed) {
    log_debug("TLS with {}: {}", peer_.address, tls_->failure());
    if (exchange_) return close();
    linger();  // sends the alert
  }
}

void Connection::on_bytes(std::string_view bytes) {
  if (phase_ == Phase::kLingering || reader_.state() == RequestReader::State::kError) return;  // read to be dropped
  reader_.append(bytes);
  process();
}

// The client sends no more. It may have gone, or may only have closed its sending side.
void Connection::on_end_of_input() {
  end_of_input_ = true;
  if (!exchange_) return close();
  client_gone_ = true;
  const std::shared_ptr<Exchange> exchange = exchange_;
  exchange->client_gone();
  if (phase_ == Phase::kClosed) return;
  if (exchange->open_stream()) return close();
  enter(Phase::kHalfClosed);
}

void Connection::process() {
  while (!exchange_ && phase_ != Phase::kClosed && phase_ != Phase::kLingering) {
    switch (reader_.advance()) {
      case RequestReader::State::kHeader:
        if (end_of_input_ || (core_.draining && reader_.at_message_start())) return close();
        return enter(reader_.at_message_start() ? Phase::kIdle : Phase::kHeader);
      case RequestReader::State::kBody:
        if (end_of_input_) return close();
        if (reader_.take_expect_continue()) send_continue();
        return enter(Phase::kBody);
      case RequestReader::State::kComplete:
        answer(reader_.take());
        break;
      case RequestReader::State::kError:
        refuse(reader_.error_status(), reader_.error_message());
        break;
    }
  }
}

void Connection::enter(Phase phase) {
  if (phase_ == phase || phase_ == Phase::kClosed) return;
  phase_ = phase;
  const ServerOptions& options = core_.options;
  switch (phase) {
    case Phase::kIdle: read_deadline_ = now() + options.idle_timeout; break;
    case Phase::kHandshake:
    case Phase::kHeader: read_deadline_ = now() + options.header_timeout; break;
    case Phase::kBody: read_deadline_ = now() + options.body_timeout; break;
    case Phase::kHalfClosed: read_deadline_ = now() + options.half_close_grace; break;
    case Phase::kLingering: read_deadline_ = now() + options.linger; break;
    case Phase::kAnswering:
    case Phase::kClosed: read_deadline_ = TimePoint::max(); break;
  }
}

// Nothing else is being written between requests, so 25 bytes fit into the socket's buffer or the client is hopeless.
void Connection::send_continue() {
  static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
  if (tls_) {
    tls_->send(kContinue);
    return flush();
  }
  error_code ec;
  const size_t sent = socket_.write_some(asio::buffer(kContinue.data(), kContinue.size()), ec);
  if (ec || sent != kContinue.size()) close();
}

// ---- answering ----

std::shared_ptr<Exchange> Connection::begin_exchange(bool keep_alive, bool chunked, bool head_only) {
  const uint64_t id = ++exchange_id_;
  auto wake = [weak = weak_from_this(), &io = io_, id](Wake reason) { io.wake({weak, id, reason}); };
  exchange_ = std::make_shared<Exchange>(
      Exchange::Settings{.head_only = head_only, .keep_alive = keep_alive, .chunked = chunked,
                         .max_stream_buffer = core_.options.max_stream_buffer, .draining = &core_.draining},
      std::move(wake));
  exchange_began_ = now();
  client_gone_ = end_of_input_;
  ++core_.in_progress;
  ++core_.requests_total;
  enter(Phase::kAnswering);
  if (end_of_input_) {
    exchange_->client_gone();
    enter(Phase::kHalfClosed);
  }
  return exchange_;
}

void Connection::answer(Request request) {
  method_ = request.method;
  path_ = request.path;
  request.peer = peer_;
  const std::shared_ptr<Exchange> exchange =
      begin_exchange(request.keep_alive, request.http_minor == 1, request.method == "HEAD");
  auto writer = std::make_shared<ResponseWriterImpl>(exchange, core_.options.error_body);
  try {
    core_.handler(std::move(request), writer);
  } catch (const std::exception& e) {
    log_error("http: the handler of {} {} threw: {}", method_, path_, e.what());
    writer->fail();
  } catch (...) {
    log_error("http: the handler of {} {} threw something unknown", method_, path_);
    writer->fail();
  }
}

void Connection::refuse(int status, std::string_view message) {
  method_.clear();
  path_.clear();
  const std::shared_ptr<Exchange> exchange = begin_exchange(/*keep_alive=*/false, /*chunked=*/true, /*head_only=*/false);
  ErrorBody body = make_error_body(core_.options.error_body, status, message);
  Headers headers{{"Content-Type", body.content_type}};
  if (status == 503) headers.add("Retry-After", "1");
  exchange->respond(status, std::move(headers), std::move(body.body));
}

void Connection::on_answer_complete() {
  const bool keep_alive = exchange_->keep_alive() && !core_.draining;
  end_exchange();
  if (!keep_alive) return linger();
  process();
  if (phase_ != Phase::kClosed) wait_readable();
}

void Connection::end_exchange() {
  const std::shared_ptr<Exchange> exchange = std::exchange(exchange_, nullptr);
  if (core_.options.observer) {
    const std::string label = exchange->label();
    core_.options.observer({.method = method_, .path = path_, .status = exchange->status(),
                            .bytes_sent = exchange->bytes_sent(),
                            .seconds = std::chrono::duration<double>(now() - exchange_began_).count(),
                            .client_gone = client_gone_, .peer = &peer_, .label = label});
  }
  exchange->detach();
  --core_.in_progress;
}

// ---- endings ----

// Closing a socket with unread bytes resets it, and the client may lose the answer: wait for its end, a while.
void Connection::linger() {
  error_code ec;
  say_goodbye();
  socket_.shutdown(Socket::shutdown_send, ec);
  if (ec || end_of_input_) return close();
  enter(Phase::kLingering);
  wait_readable();
}

// Best effort: a few bytes, which fit into the socket's buffer or the peer is hopeless.
void Connection::say_goodbye() {
  if (!tls_ || writing_) return;
  tls_->end();
  const std::string last = tls_->take_output();
  error_code ec;
  if (!last.empty()) socket_.write_some(asio::buffer(last), ec);
}

// Cuts the connection so that the client cannot take what it has for the whole answer.
void Connection::reset() {
  error_code ec;
  socket_.set_option(asio::socket_base::linger(true, 0), ec);
  close();
}

void Connection::close() {
  if (phase_ == Phase::kClosed) return;
  const std::shared_ptr<Connection> self = shared_from_this();
  if (phase_ == Phase::kIdle) say_goodbye();  // what is cut in the middle must not look ended
  phase_ = Phase::kClosed;
  read_deadline_ = write_deadline_ = TimePoint::max();
  paused_ = false;
  if (exchange_) {
    if (!exchange_->complete()) {
      client_gone_ = true;
      exchange_->client_gone();
    }
    end_exchange();
  }
  error_code ec;
  socket_.close(ec);
  io_.connections.erase(self);
  --core_.connections;
}

void Connection::begin_drain() {
  const bool idle = phase_ == Phase::kIdle || phase_ == Phase::kHandshake;
  if (!exchange_ && idle && reader_.at_message_start()) close();
}

void Connection::on_due(TimePoint time) {
  if (time >= write_deadline_) return reset();
  if (time >= read_deadline_) {
    if (phase_ == Phase::kHeader || phase_ == Phase::kBody) {
      return refuse(408, phase_ == Phase::kHeader ? "the request's header did not come in time"
                                                  : "the request's body did not come in time");
    }
    // An answer that was given in time may finish its writing.
    if (phase_ == Phase::kHalfClosed && exchange_ && exchange_->started()) {
      read_deadline_ = TimePoint::max();
      return;
    }
    return close();
  }
  if (paused_) {  // unread bytes hide the end of input from read(); the kernel still tells
    pollfd descriptor{.fd = socket_.native_handle(), .events = POLLRDHUP, .revents = 0};
    if (::poll(&descriptor, 1, 0) > 0) on_end_of_input();
  }
}

}  // namespace hadal::http
