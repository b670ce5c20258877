// One socket of the server: reads requests, runs the handler, writes answers, watches the clock. Inside of http/ only.
//
// Everything here runs on the connection's io thread; other threads reach it through Exchange's wake alone. Deadlines are
// plain values that the io thread's sweeper compares every kSweepInterval, so ten thousand idle connections cost
// neither timers nor read buffers (bytes are read into a buffer that the thread's connections share).
#pragma once

#include <atomic>
#include <boost/asio/generic/stream_protocol.hpp>
#include <chrono>
#include <memory>
#include <string>

#include "http/exchange.h"
#include "http/io_thread.h"
#include "http/request_reader.h"
#include "http/server.h"
#include "http/tls_context.h"

namespace hadal::http {

using Socket = boost::asio::generic::stream_protocol::socket;

/// What all connections share. Outlives them.
struct ServerCore {
  ServerOptions options;
  Handler handler;
  std::unique_ptr<TlsCertificates> tls;  // null: plain
  std::atomic<bool> draining{false};
  std::atomic<int64_t> connections{0};
  std::atomic<int64_t> connections_total{0};
  std::atomic<int64_t> in_progress{0};
  std::atomic<int64_t> requests_total{0};
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(ServerCore& core, IoThread& io, Socket socket, PeerInfo peer);

  enum class Admission : uint8_t { kServe, kTooMany };
  void start(Admission admission);
  /// The server stops: closes when idle, otherwise after the running answer.
  void begin_drain();
  void close();
  void on_wake(uint64_t exchange_id, Wake wake);
  /// By the sweeper.
  bool due(TimePoint now) const { return now >= read_deadline_ || now >= write_deadline_ || paused_; }
  void on_due(TimePoint now);

 private:
  enum class Phase : uint8_t { kHandshake, kIdle, kHeader, kBody, kAnswering, kHalfClosed, kLingering, kClosed };

  void wait_readable();
  void on_readable();
  void on_ciphertext(std::string_view bytes);
  void on_bytes(std::string_view bytes);
  void on_end_of_input();
  void process();
  void enter(Phase phase);
  void send_continue();

  std::shared_ptr<Exchange> begin_exchange(bool keep_alive, bool chunked, bool head_only);
  void answer(Request request);
  void refuse(int status, std::string_view message);
  void flush();
  bool fill_out();
  bool write_out();
  void wait_writable();
  void on_written(size_t bytes);
  void on_answer_complete();
  void end_exchange();
  void linger();
  void reset();
  void say_goodbye();

  ServerCore& core_;
  IoThread& io_;
  Socket socket_;
  const PeerInfo peer_;
  RequestReader reader_;
  std::unique_ptr<TlsSession> tls_;  // null: plain, and nothing below differs
  Admission admission_ = Admission::kServe;

  Phase phase_ = Phase::kIdle;
  TimePoint read_deadline_ = TimePoint::max();
  TimePoint write_deadline_ = TimePoint::max();
  bool waiting_ = false;  // for the socket to become readable
  bool paused_ = false;   // read-ahead is full; the sweeper watches for a hang-up
  bool end_of_input_ = false;

  std::shared_ptr<Exchange> exchange_;  // null between answers
  uint64_t exchange_id_ = 0;
  bool client_gone_ = false;
  std::string method_, path_;  // of the current request, for the observer
  TimePoint exchange_began_{};
  std::string out_;  // being written
  size_t out_offset_ = 0;
  size_t out_answer_bytes_ = 0;    // how many bytes of the answer it carries
  size_t out_answer_credited_ = 0;  // how many of them the exchange was told of
  bool writing_ = false;  // the socket's buffer is full, and the rest of `out_` waits for it
};

}  // namespace hadal::http
