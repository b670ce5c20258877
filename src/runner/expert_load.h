// How often each routed expert has been chosen: now and then the model's counters are brought to the host
// with a step's results and added up, so that whoever scrapes metrics disturbs no step.
//
// They are brought twice each time, with two steps that follow each other: the difference is what the second
// of them chose, so that the experts active in a step are known (of one step in kSteps) without the device
// counting them.
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
  /// Steps after which a choice counts half in ExpertLoad::imbalance.
  static constexpr double kHalfLife = 1024.0;

  /// What the counters hold now does not count.
  static StatusOr<std::unique_ptr<ExpertLoadMeter>> create(Device& device, ExpertCounters counters,
                                                           int32_t slots);

  /// Part of launching a step in this slot: true if it brings the counters along.
  StatusOr<bool> fetch(Device& device, BackendStream* stream, int32_t slot, MonotonicTime now);
  /// The stream has passed a fetch.
  void take(int32_t slot);

  ExpertLoad snapshot() const;

 private:
  /// What a step in flight brings along.
  struct Fetch {
    uint64_t number = 0;
    int32_t steps = 0;    // since the fetch before, this one included
    bool single = false;  // the fetch before came with the step before
  };
  explicit ExpertLoadMeter(ExpertCounters counters) : counters_(std::move(counters)) {}
  void add_layer(size_t layer, const uint32_t* now, const Fetch& fetch) REQUIRES(mutex_);

  const ExpertCounters counters_;
  std::vector<Buffer> host_;    // by slot
  std::vector<Fetch> fetches_;  // by slot
  std::vector<uint32_t> last_;  // counters when they were taken last
  std::vector<double> recent_;  // choices, older ones counting less
  uint64_t fetched_count_ = 0;  // fetches so far
  uint64_t taken_ = 0;          // number of the last one taken; one that failed never is
  int32_t steps_ = 0;           // since the last fetch
  bool pair_is_due_ = false;    // the next step is to be compared with the last
  MonotonicTime fetched_;
  mutable Mutex mutex_;
  ExpertLoad load_ GUARDED_BY(mutex_);
};

}  // namespace hadal
