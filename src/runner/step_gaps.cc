#include "runner/step_gaps.h"

namespace hadal {

StatusOr<StepGaps> StepGaps::create(Device& device, int32_t depth) {
  StepGaps gaps;
  gaps.events_ = device.api().event_create != nullptr;
  gaps.marks_.resize(static_cast<size_t>(depth) + 1);
  for (Mark& mark : gaps.marks_) {
    ASSIGN_OR_RETURN(mark.first, device.create_event());
    ASSIGN_OR_RETURN(mark.last, device.create_event());
  }
  return StatusOr<StepGaps>(std::move(gaps));
}

Status StepGaps::before_kernels(Device& device, BackendStream* stream, Runner::Ticket ticket, bool decodes) {
  Mark& mine = mark(ticket);
  mine.ticket = 0;
  mine.decodes = decodes;
  mine.first_time = Clock::real().now();
  return device.record(stream, mine.first);
}

Status StepGaps::after_kernels(Device& device, BackendStream* stream, Runner::Ticket ticket) {
  mark(ticket).last_time = Clock::real().now();
  return device.record(stream, mark(ticket).last);
}

Status StepGaps::queued(Device& device, Runner::Ticket ticket) {
  Mark& mine = mark(ticket);
  mine.ticket = ticket;
  mine.late = false;
  mine.queue_seconds = seconds_between(mine.first_time, Clock::real().now());
  const Mark& before = mark(ticket - 1);
  if (!events_ || !follows(ticket, before)) return OkStatus();
  ASSIGN_OR_RETURN(mine.late, device.passed(before.last));
  return OkStatus();
}

StatusOr<std::optional<StepGap>> StepGaps::gap_before(Device& device, Runner::Ticket ticket) const {
  const Mark &mine = mark(ticket), &before = mark(ticket - 1);
  if (mine.ticket != ticket || !follows(ticket, before) || !mine.decodes || !before.decodes)
    return std::optional<StepGap>();
  StepGap gap{.seconds = seconds_between(before.last_time, mine.first_time), .late = mine.late};
  if (events_) {
    ASSIGN_OR_RETURN(gap.seconds, device.elapsed(before.last, mine.first));
  }
  if (mine.late) gap.seconds += mine.queue_seconds;
  return std::optional<StepGap>(gap);
}

}  // namespace hadal
