// A bounded queue for many producers and consumers. Full is an answer (`try_push` returns false), never a
// block: the caller turns it into 429 or 503.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <optional>
#include <utility>

#include "base/mutex.h"

namespace hadal {

template <typename T>
class BoundedQueue {
 public:
  explicit BoundedQueue(size_t capacity) : capacity_(capacity) {}

  /// False when full or closed; the item is then untouched.
  bool try_push(T&& item) EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      if (closed_ || items_.size() >= capacity_) return false;
      items_.push_back(std::move(item));
    }
    ready_.notify_one();
    return true;
  }

  /// Waits up to `timeout` for an item; nullopt on timeout, or when closed and empty.
  std::optional<T> pop_for(std::chrono::nanoseconds timeout) EXCLUDES(mutex_) {
    mutex_.lock();
    ready_.wait_for(mutex_, timeout, [this] { return closed_ || !items_.empty(); });
    std::optional<T> item;
    if (!items_.empty()) {
      item.emplace(std::move(items_.front()));
      items_.pop_front();
    }
    mutex_.unlock();
    return item;
  }

  void close() EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      closed_ = true;
    }
    ready_.notify_all();
  }

  /// Closed and empty: nothing will come any more.
  bool closed() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return closed_ && items_.empty();
  }

  size_t size() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return items_.size();
  }

 private:
  const size_t capacity_;
  mutable Mutex mutex_;
  CondVar ready_;
  std::deque<T> items_ GUARDED_BY(mutex_);
  bool closed_ GUARDED_BY(mutex_) = false;
};

}  // namespace hadal
