// How often something happens, measured over the last seconds: for Retry-After.
//
// Threads: none of its own.
#pragma once

#include <cstdint>

#include "base/clock.h"

namespace hadal {

class RateMeter {
 public:
  /// `count` more, at `now`. Idle stretches in which nothing could happen are to be left out by restart().
  void add(int64_t count, MonotonicTime now) {
    pending_ += count;
    if (start_ == MonotonicTime{}) start_ = now;
    const double seconds = seconds_between(start_, now);
    if (seconds < kWindowSeconds) return;
    const double rate = static_cast<double>(pending_) / seconds;
    per_second_ = per_second_ > 0 ? per_second_ + kNewest * (rate - per_second_) : rate;
    pending_ = 0;
    start_ = now;
  }
  /// The time until `now` says nothing.
  void restart(MonotonicTime now) {
    start_ = now;
    pending_ = 0;
  }
  /// 0: not measured yet.
  double per_second() const { return per_second_; }

 private:
  static constexpr double kWindowSeconds = 0.5;
  static constexpr double kNewest = 0.4;
  MonotonicTime start_{};
  int64_t pending_ = 0;
  double per_second_ = 0.0;
};

}  // namespace hadal
