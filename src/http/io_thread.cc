#include "http/io_thread.h"

#include <boost/asio/post.hpp>
#include <exception>
#include <utility>

#include "base/log.h"
#include "http/connection.h"

namespace hadal::http {

namespace asio = boost::asio;
using boost::system::error_code;

void IoThread::wake(Woken woken) {
  {
    MutexLock lock(wake_mutex_);
    woken_.push_back(std::move(woken));
    if (woken_.size() > 1) return;  // the one before has posted
  }
  asio::post(context, [this] { run_wakes(); });
}

void IoThread::run_wakes() {
  std::vector<Woken> all;
  {
    MutexLock lock(wake_mutex_);
    all.swap(woken_);
  }
  for (const Woken& woken : all) {
    const std::shared_ptr<Connection> connection = woken.connection.lock();
    if (!connection) continue;
    try {
      connection->on_wake(woken.exchange_id, woken.reason);
    } catch (const std::exception& e) {  // memory is out: the others must not go unserved for it
      log_error("http: a connection is cut: {}", e.what());
      connection->close();
    }
  }
}

void IoThread::start_sweeping() {
  if (sweeping) return;
  sweeping = true;
  sweeper.expires_after(kSweepInterval);
  sweeper.async_wait([this](error_code) {
    sweeping = false;
    sweep();
    if (!connections.empty()) start_sweeping();
  });
}

void IoThread::sweep() {
  const TimePoint time = std::chrono::steady_clock::now();
  std::vector<std::shared_ptr<Connection>> due;
  for (const auto& connection : connections) {
    if (connection->due(time)) due.push_back(connection);
  }
  for (const auto& connection : due) connection->on_due(time);
}

}  // namespace hadal::http
