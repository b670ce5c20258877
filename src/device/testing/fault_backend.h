// For tests: a backend that is well for some steps and then loses its device, or never finishes a step.
//
//   auto device = Device::open(*testing::fault_backend(&testing::deferred_backend("cpu"), {Fault::kLost,
//   10}));
//
// The fault comes with the op that samples, which a step runs once: `after` of them are passed on as they
// are. On a real GPU `provoke` brings it about (fault_gpu.cu). Without one it is played: from then on whoever
// waits for the stream or an event is told that the device is lost, or waits until end_played_hang().
//
// Threads: any. There is one plan a process, the last one made.
#pragma once

#include <cstdint>

#include "device/testing/fault.h"
#include "kernels/api/backend.h"

namespace hadal::testing {

struct FaultPlan {
  Fault fault = Fault::kNone;
  int64_t after = 0;
  void (*provoke)(Fault) = nullptr;
};

/// `inner` must outlive it.
const BackendApi* fault_backend(const BackendApi* inner, const FaultPlan& plan);
/// Lets whoever waits go, as if the step had been done.
void end_played_hang();

}  // namespace hadal::testing
