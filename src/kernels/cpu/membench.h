// The machine's read bandwidth, measured: what a decode step's speed is held against. A probe owns its buffer
// and threads; pass() reads the buffer once, so that a caller can interleave passes with what it measures
// (shared machines drift).
//
//   ASSIGN_OR_RETURN(auto probe, ReadProbe::create({.threads = 2, .mebibytes = 512}));
//   for (...) { bandwidths.push_back(probe->pass()); run_one_step(); }
//
// Threads: one at a time calls pass().
#pragma once

#include <cstdint>
#include <memory>

#include "base/status.h"

namespace hadal::cpu {

enum class Pages : uint8_t { kSmall, kHuge };  // kSmall: 4 KiB, what mapped weight files get

struct ReadProbeOptions {
  int threads = 0;          // 0: all that this process may use
  int64_t mebibytes = 512;  // several times the last-level cache
  Pages pages = Pages::kSmall;
};

class ReadProbe {
 public:
  /// resource_exhausted if the buffer cannot be had.
  static StatusOr<std::unique_ptr<ReadProbe>> create(const ReadProbeOptions& options);
  ~ReadProbe();

  /// Bytes per second of one pass over the buffer, by all threads.
  double pass();
  int64_t bytes() const;
  int threads() const;

 private:
  struct State;
  explicit ReadProbe(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace hadal::cpu
