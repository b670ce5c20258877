#include "device/testing/fault_backend.h"

#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <mutex>

namespace hadal::testing {
namespace {

struct State {
  const BackendApi* inner = nullptr;
  FaultPlan plan;
  std::atomic<int64_t> samples{0};
  std::atomic<bool> struck{false};
  std::mutex mutex;
  std::condition_variable changed;
  bool hang_ended = false;
};

State& state() {
  static State one;
  return one;
}

void strike() {
  State& mine = state();
  if (mine.plan.provoke != nullptr) {
    mine.plan.provoke(mine.plan.fault);
  } else {
    mine.struck.store(true);
  }
}

int32_t run(BackendDevice* device, BackendStream* stream, OpKind kind, const void* args,
            BackendError* error) {
  State& mine = state();
  if (kind == OpKind::kSample && mine.plan.fault != Fault::kNone &&
      mine.samples.fetch_add(1) == mine.plan.after) {
    strike();
  }
  return mine.inner->run(device, stream, kind, args, error);
}

/// Before a wait: 0 to pass it on.
int32_t played(BackendError* error) {
  State& mine = state();
  if (!mine.struck.load()) return 0;
  if (mine.plan.fault == Fault::kLost) {
    std::snprintf(error->message, sizeof(error->message), "played: the device is lost to this process");
    error->fatal = 1;
    return 1;
  }
  std::unique_lock lock(mine.mutex);
  mine.changed.wait(lock, [&] { return mine.hang_ended; });
  return 0;
}

int32_t stream_wait(BackendDevice* device, BackendStream* stream, BackendError* error) {
  const int32_t code = played(error);
  return code != 0 ? code : state().inner->stream_wait(device, stream, error);
}

int32_t event_wait(BackendDevice* device, BackendEvent* event, BackendError* error) {
  const int32_t code = played(error);
  return code != 0 ? code : state().inner->event_wait(device, event, error);
}

}  // namespace

const BackendApi* fault_backend(const BackendApi* inner, const FaultPlan& plan) {
  State& mine = state();
  mine.inner = inner;
  mine.plan = plan;
  mine.samples = 0;
  mine.struck = false;
  mine.hang_ended = false;
  static BackendApi table;
  table = *inner;
  table.run = run;
  table.stream_wait = stream_wait;
  if (inner->event_wait != nullptr) table.event_wait = event_wait;
  return &table;
}

void end_played_hang() {
  State& mine = state();
  {
    const std::lock_guard lock(mine.mutex);
    mine.hang_ended = true;
  }
  mine.changed.notify_all();
}

}  // namespace hadal::testing
