// std::mutex with clang's thread-safety annotations (libstdc++ has none). Use instead of std::mutex
// everywhere.
//
//   Mutex mutex_;
//   int count_ GUARDED_BY(mutex_);
//   { MutexLock lock(mutex_); ++count_; }
#pragma once

#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define HADAL_TSA(x) __attribute__((x))
#else
#define HADAL_TSA(x)
#endif
#undef GUARDED_BY  // Abseil has an older macro of this name
#define GUARDED_BY(x) HADAL_TSA(guarded_by(x))
#define REQUIRES(...) HADAL_TSA(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) HADAL_TSA(locks_excluded(__VA_ARGS__))

namespace hadal {

class HADAL_TSA(capability("mutex")) Mutex {
 public:
  void lock() HADAL_TSA(acquire_capability()) { mutex_.lock(); }
  void unlock() HADAL_TSA(release_capability()) { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

class HADAL_TSA(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) HADAL_TSA(acquire_capability(mutex)) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() HADAL_TSA(release_capability()) { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

/// Waits on a Mutex that the caller holds.
using CondVar = std::condition_variable_any;

}  // namespace hadal
