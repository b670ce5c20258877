// How often each routed expert has been chosen: now and then the model's counters are brought to the host
// with a step's results and added up, so that whoever scrapes metrics disturbs no step.
//
// Threads: `snapshot` may be called by any thread, the rest by the runner's.
#pragma once

#include <cstdint>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"
#include "device/device.h"
#include "model/model.h"
#include "runner/runner.h"

namespace hadal {

class ExpertLoadMeter {
 public:
  /// A step brings the counters along when so many steps, or so much time, have passed since the last did.
  static constexpr int32_t kSteps = 64;
  static constexpr double kSeconds = 1.0;

  static StatusOr<std::unique_ptr<ExpertLoadMeter>> create(Device& device, ExpertCounters counters,
                                                           int32_t slots);

  /// Part of launching a step in this slot: true if it brings the counters along.
  StatusOr<bool> fetch(Device& device, BackendStream* stream, int32_t slot, MonotonicTime now);
  /// The stream has passed a fetch.
  void take(int32_t slot);

  ExpertLoad snapshot() const;

 private:
  explicit ExpertLoadMeter(ExpertCounters counters) : counters_(std::move(counters)) {}

  const ExpertCounters counters_;
  std::vector<Buffer> host_;
  std::vector<uint32_t> last_;
  int32_t steps_ = 0;
  MonotonicTime fetched_;
  mutable Mutex mutex_;
  ExpertLoad load_ GUARDED_BY(mutex_);
};

}  // namespace hadal
