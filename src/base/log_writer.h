// Lines on their way to a file descriptor that may be slow: a buffer of bounded size and a thread that
// empties it. write() never waits for the descriptor.
//
// Threads: any; one thread of its own. The destructor writes what is there and waits for that, so whoever
// ends a writer knows that the descriptor is read (the log's own is never ended).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <thread>

#include "base/mutex.h"

namespace hadal {

class LogWriter {
 public:
  /// The line that tells of lost ones.
  using LostLine = std::function<std::string(uint64_t lines)>;

  /// `fd` stays the caller's.
  LogWriter(int fd, size_t max_bytes, LostLine lost_line);
  ~LogWriter();

  /// False, and counted, where `line` finds no room.
  bool write(std::string_view line) EXCLUDES(mutex_);
  /// Waits until what was accepted is written or has failed to be, for at most `limit`.
  bool flush(std::chrono::milliseconds limit) EXCLUDES(mutex_);
  /// Lines that found no room, or that the descriptor did not take, since the beginning.
  uint64_t lost() const EXCLUDES(mutex_);

 private:
  void run() EXCLUDES(mutex_);

  const int fd_;
  const size_t max_bytes_;
  const LostLine lost_line_;
  mutable Mutex mutex_;
  CondVar changed_;
  std::string pending_ GUARDED_BY(mutex_);
  uint64_t lost_ GUARDED_BY(mutex_) = 0;
  uint64_t untold_ GUARDED_BY(mutex_) = 0;  // of them not told yet
  bool writing_ GUARDED_BY(mutex_) = false;
  bool ends_ GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace hadal
