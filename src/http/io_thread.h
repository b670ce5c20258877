// An io thread of the server: its context, its connections, what wakes them, and the clock that all of them
// share. Inside of http/ only. Everything but wake() is called on the thread itself.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <unordered_set>
#include <vector>

#include "base/mutex.h"
#include "http/exchange.h"

namespace hadal::http {

using TimePoint = std::chrono::steady_clock::time_point;
constexpr std::chrono::milliseconds kSweepInterval{50};

class Connection;

/// A connection whose exchange has something for it.
struct Woken {
  std::weak_ptr<Connection> connection;
  uint64_t exchange_id;
  Wake reason;
};

/// One io thread's context and connections.
struct IoThread {
  boost::asio::io_context context{1};
  boost::asio::steady_timer sweeper{context};
  bool sweeping = false;
  bool stopped = false;
  std::unordered_set<std::shared_ptr<Connection>> connections;
  std::vector<char> scratch = std::vector<char>(64 * 1024);

  void start_sweeping();
  void sweep();
  /// Any thread. What gathers until the io thread looks costs one post: a step gives a token to each of many
  /// streams.
  void wake(Woken woken) EXCLUDES(wake_mutex_);

 private:
  void run_wakes() EXCLUDES(wake_mutex_);

  Mutex wake_mutex_;
  std::vector<Woken> woken_ GUARDED_BY(wake_mutex_);
};

}  // namespace hadal::http
