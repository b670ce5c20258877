// Calls that are due later, all on one thread: what a server does by the clock and not for a request (pings
// of silent streams, its line of figures).
//
// Threads: any. Calls run one after the other on the timers' thread and must be quick.
#pragma once

#include <functional>
#include <map>
#include <thread>

#include "base/clock.h"
#include "base/mutex.h"

namespace hadal {

class Timers {
 public:
  using Call = std::function<void()>;

  Timers() : thread_([this] { run(); }) {}
  ~Timers() { stop(); }

  /// `call` runs at `due` or soon after it; never, once stop() has begun.
  void at(MonotonicTime due, Call call) EXCLUDES(mutex_);
  /// Waits for the call that runs; drops the others. Not from a call.
  void stop() EXCLUDES(mutex_);

 private:
  void run() EXCLUDES(mutex_);

  Mutex mutex_;
  CondVar changed_;
  std::multimap<MonotonicTime, Call> calls_ GUARDED_BY(mutex_);
  bool stopped_ GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace hadal
