// Time as a parameter, so that tests and simulations own it. `Clock::real()` is the machine's.
#pragma once

#include <chrono>

namespace hadal {

using MonotonicTime = std::chrono::steady_clock::time_point;
using Duration = std::chrono::nanoseconds;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual MonotonicTime now() const = 0;
  /// Seconds since 1970, for wire formats and logs only.
  virtual double unix_seconds() const = 0;

  static const Clock& real();
};

/// A clock that a test moves.
class ManualClock final : public Clock {
 public:
  MonotonicTime now() const override { return now_; }
  double unix_seconds() const override { return unix_; }
  void advance(Duration by) {
    now_ += by;
    unix_ += std::chrono::duration<double>(by).count();
  }

 private:
  MonotonicTime now_{};
  double unix_ = 1.0e9;
};

inline double seconds_between(MonotonicTime from, MonotonicTime to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace hadal
