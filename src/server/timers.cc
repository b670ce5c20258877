#include "server/timers.h"

#include <utility>

namespace hadal {

void Timers::at(MonotonicTime due, Call call) {
  bool sooner = false;
  {
    MutexLock lock(mutex_);
    if (stopped_) return;
    sooner = calls_.empty() || due < calls_.begin()->first;
    calls_.emplace(due, std::move(call));
  }
  if (sooner) changed_.notify_one();
}

void Timers::stop() {
  std::multimap<MonotonicTime, Call> dropped;  // what they hold goes outside of the lock
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    dropped.swap(calls_);
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Timers::run() {
  mutex_.lock();
  while (!stopped_) {
    if (calls_.empty()) {
      changed_.wait(mutex_);
    } else if (const MonotonicTime due = calls_.begin()->first; Clock::real().now() < due) {
      changed_.wait_until(mutex_, due);
    } else {
      Call call = std::move(calls_.begin()->second);
      calls_.erase(calls_.begin());
      mutex_.unlock();
      call();
      call = nullptr;  // what it holds goes outside of the lock, too
      mutex_.lock();
    }
  }
  mutex_.unlock();
}

}  // namespace hadal
