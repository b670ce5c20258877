// Collects the time between decode steps in which the device ran nothing (EngineObserver::on_step_gap).
#pragma once

#include <utility>
#include <vector>

#include "base/mutex.h"
#include "engine/engine.h"
#include "lab/percentiles.h"

namespace hadal {

struct GapSummary {
  Summary seconds;
  size_t late = 0;  // of them upper bounds (runner/step_gaps.h)
};

class GapRecorder final : public EngineObserver {
 public:
  void on_step_gap(const StepGap& gap) override EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    seconds_.push_back(gap.seconds);
    late_ += gap.late ? 1 : 0;
  }
  size_t count() const EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    return seconds_.size();
  }
  /// What came since the last call.
  GapSummary take() EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    return {summarize(std::exchange(seconds_, {})), std::exchange(late_, 0)};
  }

 private:
  mutable Mutex mutex_;
  std::vector<double> seconds_ GUARDED_BY(mutex_);
  size_t late_ GUARDED_BY(mutex_) = 0;
};

}  // namespace hadal
