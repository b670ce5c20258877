#include "http/exchange.h"

#include <charconv>
#include <ctime>
#include <utility>

namespace hadal::http {
namespace {

// "Date: Tue, 24 Nov 2026 02:23:49 GMT", made once a second.
const std::string& date_field() {
  thread_local std::time_t made_at = -1;
  thread_local std::string field;
  const std::time_t now = std::time(nullptr);
  if (now != made_at) {
    char text[64];
    std::tm parts{};
    gmtime_r(&now, &parts);
    std::strftime(text, sizeof text, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &parts);
    field = text;
    made_at = now;
  }
  return field;
}

constexpr size_t kFraming = 24;  // of a chunk, at most

void append_chunk(std::string_view piece, std::string* out) {
  char size[20];
  const auto end = std::to_chars(size, size + sizeof size, piece.size(), 16).ptr;
  out->append(size, end);
  out->append("\r\n");
  out->append(piece);
  out->append("\r\n");
}

bool has_no_body(int status) { return status < 200 || status == 204 || status == 304; }

}  // namespace

ErrorBody make_error_body(const ErrorBodyMaker& maker, int status, std::string_view message) {
  if (maker) {
    try {
      return maker(status, message);
    } catch (...) {
      // falls back to text: an error must still be answered
    }
  }
  ErrorBody plain;
  plain.body = std::string(message) + "\n";
  return plain;
}

void Exchange::wake_locked() {
  if (woken_ || !attached_) return;
  woken_ = true;
  wake_(Wake::kFlush);
}

void Exchange::drop_locked() {
  if (dropped_ || !attached_) return;
  dropped_ = true;
  pending_.clear();
  wake_(Wake::kDrop);
}

std::string Exchange::connection_field_locked() {
  keep_alive_ = keep_alive_ && settings_.keep_alive && !settings_.draining->load(std::memory_order_relaxed);
  return keep_alive_ ? "Connection: keep-alive\r\n" : "Connection: close\r\n";
}

bool Exchange::respond_locked(int status, Headers headers, std::string body) {
  if (!accepts_locked() || started_) return false;
  started_ = finished_ = true;
  status_ = status;
  on_disconnect_ = nullptr;
  std::string extra = date_field() + connection_field_locked();
  if (!has_no_body(status)) extra += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  pending_ = response_head(status, headers, extra);
  if (!settings_.head_only && !has_no_body(status)) pending_ += body;
  wake_locked();
  return true;
}

bool Exchange::respond(int status, Headers headers, std::string body) {
  std::function<void()> dropped_callback;  // destroyed outside the lock: it may own the writer
  MutexLock lock(mutex_);
  if (!started_) dropped_callback = std::move(on_disconnect_);
  return respond_locked(status, std::move(headers), std::move(body));
}

bool Exchange::start_stream(int status, Headers headers) {
  MutexLock lock(mutex_);
  if (!accepts_locked() || started_ || gone_) return false;
  started_ = stream_ = true;
  status_ = status;
  chunked_ = settings_.chunked;
  if (!chunked_) keep_alive_ = false;
  std::string extra = date_field() + connection_field_locked();
  if (chunked_) extra += "Transfer-Encoding: chunked\r\n";
  pending_ = response_head(status, headers, extra);
  wake_locked();
  return true;
}

bool Exchange::write(std::string_view piece) {
  MutexLock lock(mutex_);
  if (!accepts_locked() || gone_ || !stream_ || finished_) return false;
  if (piece.empty() || settings_.head_only) return true;
  if (pending_.size() + in_flight_ + piece.size() > settings_.max_stream_buffer) {
    drop_locked();
    return false;
  }
  if (pending_.empty()) pending_.reserve(piece.size() + kFraming);
  if (chunked_) {
    append_chunk(piece, &pending_);
  } else {
    pending_ += piece;
  }
  wake_locked();
  return true;
}

void Exchange::finish() {
  std::function<void()> dropped_callback;
  MutexLock lock(mutex_);
  if (!accepts_locked() || !stream_ || finished_) return;
  finished_ = true;
  dropped_callback = std::move(on_disconnect_);
  on_disconnect_ = nullptr;
  if (chunked_ && !settings_.head_only) pending_ += "0\r\n\r\n";
  wake_locked();
}

void Exchange::abort() {
  MutexLock lock(mutex_);
  if (!finished_) drop_locked();
}

void Exchange::abandon(const ErrorBodyMaker& error_body) {
  std::function<void()> dropped_callback;
  ErrorBody answer;
  {
    MutexLock lock(mutex_);
    if (finished_ || !accepts_locked()) return;
    dropped_callback = std::move(on_disconnect_);
    on_disconnect_ = nullptr;
    if (started_ || gone_) {  // who has gone is owed no answer, and its request did not fail
      drop_locked();
      return;
    }
  }
  answer = make_error_body(error_body, 500, "internal error: the request was given no answer");
  MutexLock lock(mutex_);
  respond_locked(500, {{"Content-Type", answer.content_type}}, std::move(answer.body));
}

bool Exchange::alive() const {
  MutexLock lock(mutex_);
  return accepts_locked() && !gone_;
}

bool Exchange::started() const {
  MutexLock lock(mutex_);
  return started_;
}

size_t Exchange::unsent_bytes() const {
  MutexLock lock(mutex_);
  return pending_.size() + in_flight_;
}

void Exchange::on_disconnect(std::function<void()> callback) {
  std::function<void()> replaced;
  {
    MutexLock lock(mutex_);
    if (finished_) return;
    replaced = std::move(on_disconnect_);
    on_disconnect_ = nullptr;
    if (attached_ && !gone_ && !dropped_) {
      on_disconnect_ = std::move(callback);
      return;
    }
  }
  if (callback) callback();
}

std::string Exchange::take_pending() {
  MutexLock lock(mutex_);
  woken_ = false;
  in_flight_ += pending_.size();
  return std::exchange(pending_, std::string());
}

void Exchange::on_sent(size_t bytes) {
  MutexLock lock(mutex_);
  in_flight_ -= bytes;
  sent_ += bytes;
}

bool Exchange::complete() const {
  MutexLock lock(mutex_);
  return finished_ && pending_.empty() && in_flight_ == 0;
}

bool Exchange::keep_alive() const {
  MutexLock lock(mutex_);
  return keep_alive_;
}

bool Exchange::open_stream() const {
  MutexLock lock(mutex_);
  return stream_ && !finished_;
}

int Exchange::status() const {
  MutexLock lock(mutex_);
  return status_;
}

uint64_t Exchange::bytes_sent() const {
  MutexLock lock(mutex_);
  return sent_;
}

void Exchange::set_label(std::string label) {
  MutexLock lock(mutex_);
  label_ = std::move(label);
}

std::string Exchange::label() const {
  MutexLock lock(mutex_);
  return label_;
}

void Exchange::client_gone() {
  std::function<void()> callback;
  {
    MutexLock lock(mutex_);
    if (gone_) return;
    gone_ = true;
    callback = std::move(on_disconnect_);
    on_disconnect_ = nullptr;
    if (finished_) return;  // never after the end was given
  }
  if (callback) {
    try {
      callback();
    } catch (...) {
      // a handler's exception must not reach the io thread
    }
  }
}

void Exchange::detach() {
  std::function<void(Wake)> wake;  // destroyed outside the lock: it owns the connection
  MutexLock lock(mutex_);
  attached_ = false;
  pending_.clear();
  pending_.shrink_to_fit();
  wake = std::move(wake_);
  wake_ = nullptr;
}

}  // namespace hadal::http
