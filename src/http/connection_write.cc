// The answer's way from the exchange into the socket.
#include <boost/asio/buffer.hpp>

#include "http/connection.h"

namespace hadal::http {

namespace asio = boost::asio;
using boost::system::error_code;

void Connection::on_wake(uint64_t exchange_id, Wake wake) {
  if (phase_ == Phase::kClosed || !exchange_ || exchange_id != exchange_id_) return;
  if (wake == Wake::kDrop) return reset();
  flush();
}

void Connection::flush() {
  if (writing_) return;
  while (phase_ != Phase::kClosed && fill_out()) {
    if (!write_out()) return;
  }
  if (phase_ != Phase::kClosed && exchange_ && exchange_->complete()) on_answer_complete();
}

// What there is to be sent now; false if nothing is.
bool Connection::fill_out() {
  out_ = exchange_ ? exchange_->take_pending() : std::string();
  out_offset_ = out_answer_credited_ = 0;
  out_answer_bytes_ = out_.size();
  if (tls_) {
    tls_->send(out_);
    out_ = tls_->take_output();
  }
  return !out_.empty();
}

// Most writes fit into the socket's buffer at once and need no round through the reactor. False where the
// rest must wait.
bool Connection::write_out() {
  while (out_offset_ < out_.size()) {
    error_code ec;
    const size_t sent =
        socket_.write_some(asio::buffer(out_.data() + out_offset_, out_.size() - out_offset_), ec);
    if (ec == asio::error::interrupted) continue;
    if (ec == asio::error::would_block) {
      wait_writable();
      return false;
    }
    if (ec) {
      close();
      return false;
    }
    on_written(sent);
  }
  return true;
}

void Connection::wait_writable() {
  writing_ = true;
  write_deadline_ = std::chrono::steady_clock::now() + core_.options.write_timeout;
  socket_.async_wait(Socket::wait_write, [self = shared_from_this()](error_code ec) {
    if (self->phase_ == Phase::kClosed) return;
    if (ec) return self->close();
    self->writing_ = false;
    self->write_deadline_ = TimePoint::max();
    if (self->write_out()) self->flush();
  });
}

// Under TLS the answer's bytes are told in proportion: a record carries a little more than the answer's.
void Connection::on_written(size_t bytes) {
  out_offset_ += bytes;
  if (!exchange_ || out_answer_bytes_ == 0) return;
  const double share = static_cast<double>(out_offset_) / static_cast<double>(out_.size());
  const size_t told = out_offset_ == out_.size()
                          ? out_answer_bytes_
                          : static_cast<size_t>(share * static_cast<double>(out_answer_bytes_));
  exchange_->on_sent(told - out_answer_credited_);
  out_answer_credited_ = told;
}

}  // namespace hadal::http
