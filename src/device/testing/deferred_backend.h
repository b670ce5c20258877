// For tests without a GPU: `ref` or `cpu` behaving as a GPU does at the C interface, and watching that its
// user keeps the interface's rules.
//
//   auto device = Device::open(testing::deferred_backend("cpu"));
//   ... EXPECT_THAT(testing::deferred_report(**device).violations, IsEmpty());
//
// Two steps in flight, events, graphs, memory that is not the host's. Nothing runs when it is asked for: ops
// and copies of pinned memory wait in a queue until somebody waits for the stream, for an event (then up to
// its mark) or copies other host memory. As late as a device may run them, that is:
//   - device memory cannot be touched by the host: it is unmapped (PROT_NONE) but while the queue runs;
//   - pinned bytes that a copy is to read must still be the same when it runs, and are overwritten with
//     garbage afterwards (when somebody waits next); bytes that it is to write are garbage until then, and
//     the host must not write them;
//   - descriptors, BatchMeta and GroupMeta are taken when an op is run, what they point to is read when its
//     turn comes, and must lie in device memory; the host mirrors must say what the device arrays then hold;
//   - memory is not released while something is queued;
//   - while a graph is captured nothing waits, allocates or copies, and there are no host mirrors.
// What is broken is noted (and goes on).
//
// Threads: one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "device/device.h"

namespace hadal::testing {

struct DeferredReport {
  std::vector<std::string> violations;
  int64_t graphs = 0;           // captured
  int64_t replays = 0;          // launches of graphs
  int64_t ops = 0;              // run one by one, not captured
  int64_t uploads = 0;          // copies from pinned memory
  int64_t downloads = 0;        // copies to pinned memory
  int64_t blocking_copies = 0;  // of other host memory
  uint64_t upload_bytes = 0;
  int64_t mapped_files = 0;  // that the backend was told of
};

/// `inner`: "ref" or "cpu".
const BackendApi& deferred_backend(std::string_view inner);
/// Of a device that was opened with deferred_backend.
DeferredReport& deferred_report(const Device& device);
/// From now on the device has so much memory of its own; what is over it cannot be allocated.
void deferred_set_memory(const Device& device, uint64_t bytes);
/// Ops and copies that have not run yet.
int64_t deferred_queue(const Device& device);

}  // namespace hadal::testing
