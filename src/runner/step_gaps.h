// How long the device runs no kernel between one step's last and the next one's first, by its own clock (by
// the host's on devices without events, where a step is done when it has been launched).
//
// Two events a step: one before its first kernel, behind the copies of what it needs, one behind its last
// kernel, before the copies of what it brought. They say nothing of a device that waits in the middle of a
// step, because the host is still queueing it. That cannot be where all of a step was queued before the one
// before it had ended; where it was not, the gap is `late` and the time that the host took to queue the step
// is added, so that a gap is never reported shorter than it was.
//
// Only made where somebody asks for it (DeviceRunnerOptions::measure_gaps): two more events, a query and a
// reading a step cost the host a few microseconds.
//
// Threads: one.
#pragma once

#include <optional>
#include <vector>

#include "base/clock.h"
#include "device/device.h"
#include "runner/runner.h"

namespace hadal {

class StepGaps {
 public:
  /// `depth`: steps in flight.
  static StatusOr<StepGaps> create(Device& device, int32_t depth);

  /// The step's copies are queued, its first kernel comes. `decodes`: it has output rows.
  Status before_kernels(Device& device, BackendStream* stream, Runner::Ticket ticket, bool decodes);
  /// The step's kernels so far are queued; the last call counts.
  Status after_kernels(Device& device, BackendStream* stream, Runner::Ticket ticket);
  /// All of the step is queued.
  Status queued(Device& device, Runner::Ticket ticket);
  /// The step has been waited for. None if it or the step before it does not decode, or that one failed.
  StatusOr<std::optional<StepGap>> gap_before(Device& device, Runner::Ticket ticket) const;

 private:
  struct Mark {
    Runner::Ticket ticket = 0;  // 0: none, or not all queued
    bool decodes = false, late = false;
    Event first, last;
    MonotonicTime first_time, last_time;  // by the host
    double queue_seconds = 0;
  };
  StepGaps() = default;
  static bool follows(Runner::Ticket ticket, const Mark& before) {
    return before.ticket != 0 && before.ticket == ticket - 1;
  }
  Mark& mark(Runner::Ticket ticket) { return marks_[ticket % marks_.size()]; }
  const Mark& mark(Runner::Ticket ticket) const { return marks_[ticket % marks_.size()]; }

  bool events_ = false;
  // one more than may be in flight: a step's gap needs the one before, and then the next may be launched
  std::vector<Mark> marks_;
};

}  // namespace hadal
