// One request's answer on its way from any thread to the connection's io thread. Inside of http/ only.
//
// Writers append to `pending_` under the mutex and wake the connection (once until it looks); the connection takes everything that
// has gathered in one go, so many tokens become one system call.
//
// Lifetime: the writer (ResponseWriterImpl) and the connection share the Exchange. Once the connection has called detach()
// nothing is posted any more, so an Exchange may outlive the server.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "base/mutex.h"
#include "http/server.h"

namespace hadal::http {

enum class Wake : uint8_t { kFlush, kDrop };

class Exchange {
 public:
  struct Settings {
    bool head_only = false;      // HEAD: fields without the body
    bool keep_alive = true;      // as the request allows
    bool chunked = true;         // HTTP/1.1
    size_t max_stream_buffer = 0;
    const std::atomic<bool>* draining = nullptr;  // outlives the attachment
  };
  /// `wake` tells the io thread; called under the mutex, never after detach().
  Exchange(const Settings& settings, std::function<void(Wake)> wake)
      : settings_(settings), wake_(std::move(wake)) {}

  // writers' side, any thread
  bool respond(int status, Headers headers, std::string body) EXCLUDES(mutex_);
  bool start_stream(int status, Headers headers) EXCLUDES(mutex_);
  bool write(std::string_view piece) EXCLUDES(mutex_);
  void finish() EXCLUDES(mutex_);
  void abort() EXCLUDES(mutex_);
  bool alive() const EXCLUDES(mutex_);
  bool started() const EXCLUDES(mutex_);
  size_t unsent_bytes() const EXCLUDES(mutex_);
  void on_disconnect(std::function<void()> callback) EXCLUDES(mutex_);
  void set_label(std::string label) EXCLUDES(mutex_);
  /// The last writer went; answers 500 with `body` or cuts the stream if no end was given. A client that has gone is
  /// cut off without an answer.
  void abandon(const ErrorBodyMaker& error_body) EXCLUDES(mutex_);

  // connection's side, io thread
  /// Everything queued; empty if nothing is. Clears the pending wake.
  std::string take_pending() EXCLUDES(mutex_);
  void on_sent(size_t bytes) EXCLUDES(mutex_);
  /// Nothing more will come and nothing is pending.
  bool complete() const EXCLUDES(mutex_);
  bool keep_alive() const EXCLUDES(mutex_);
  /// A stream whose end has not been given yet.
  bool open_stream() const EXCLUDES(mutex_);
  int status() const EXCLUDES(mutex_);
  uint64_t bytes_sent() const EXCLUDES(mutex_);
  std::string label() const EXCLUDES(mutex_);
  /// The client hung up: alive() becomes false and the callback runs (on this thread).
  void client_gone() EXCLUDES(mutex_);
  /// The connection lets go; implies that nothing is posted and nothing accepted any more.
  void detach() EXCLUDES(mutex_);

 private:
  bool accepts_locked() const REQUIRES(mutex_) { return attached_ && !dropped_; }
  void wake_locked() REQUIRES(mutex_);
  std::string connection_field_locked() REQUIRES(mutex_);
  bool respond_locked(int status, Headers headers, std::string body) REQUIRES(mutex_);
  void drop_locked() REQUIRES(mutex_);

  const Settings settings_;
  mutable Mutex mutex_;
  std::function<void(Wake)> wake_ GUARDED_BY(mutex_);
  std::function<void()> on_disconnect_ GUARDED_BY(mutex_);
  std::string pending_ GUARDED_BY(mutex_);
  std::string label_ GUARDED_BY(mutex_);
  size_t in_flight_ GUARDED_BY(mutex_) = 0;
  uint64_t sent_ GUARDED_BY(mutex_) = 0;
  int status_ GUARDED_BY(mutex_) = 0;
  bool attached_ GUARDED_BY(mutex_) = true;
  bool gone_ GUARDED_BY(mutex_) = false;
  bool dropped_ GUARDED_BY(mutex_) = false;  // too slow, or abort()
  bool started_ GUARDED_BY(mutex_) = false;
  bool stream_ GUARDED_BY(mutex_) = false;
  bool chunked_ GUARDED_BY(mutex_) = false;
  bool finished_ GUARDED_BY(mutex_) = false;
  bool keep_alive_ GUARDED_BY(mutex_) = true;
  bool woken_ GUARDED_BY(mutex_) = false;
};

/// The facade that handlers hold.
class ResponseWriterImpl final : public ResponseWriter {
 public:
  ResponseWriterImpl(std::shared_ptr<Exchange> exchange, ErrorBodyMaker error_body)
      : exchange_(std::move(exchange)), error_body_(std::move(error_body)) {}
  ~ResponseWriterImpl() override { exchange_->abandon(error_body_); }

  bool respond(int status, Headers headers, std::string body) override {
    return exchange_->respond(status, std::move(headers), std::move(body));
  }
  bool start_stream(int status, Headers headers) override {
    return exchange_->start_stream(status, std::move(headers));
  }
  bool write(std::string_view piece) override { return exchange_->write(piece); }
  void finish() override { exchange_->finish(); }
  void abort() override { exchange_->abort(); }
  bool alive() const override { return exchange_->alive(); }
  bool started() const override { return exchange_->started(); }
  size_t unsent_bytes() const override { return exchange_->unsent_bytes(); }
  void on_disconnect(std::function<void()> callback) override { exchange_->on_disconnect(std::move(callback)); }
  void set_label(std::string label) override { exchange_->set_label(std::move(label)); }
  /// As if the last reference had gone: 500, or the stream is cut.
  void fail() { exchange_->abandon(error_body_); }

 private:
  const std::shared_ptr<Exchange> exchange_;
  const ErrorBodyMaker error_body_;
};

/// `maker`'s body, or plain text without one.
ErrorBody make_error_body(const ErrorBodyMaker& maker, int status, std::string_view message);

}  // namespace hadal::http
