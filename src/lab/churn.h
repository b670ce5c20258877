// Decode under churn: a full batch of requests that join, end and are cancelled at random, with and without
// penalties, greedy and drawn, for so many steps. What a real server's steps look like, for the time between
// them in which the device runs nothing.
//
// The same requests in every run (a generator with a fixed seed); when one is cancelled depends on the clock.
#pragma once

#include <cstdint>

#include "base/status.h"
#include "lab/gap_recorder.h"
#include "server/engine_loader.h"

namespace hadal {

struct ChurnOptions {
  int32_t steps = 1000;  // measured ones, at least
  int32_t batch = 64;
  int32_t prompt_tokens = 512;
  int32_t output_tokens = 64;  // of the longest; the shortest has half
};

struct ChurnReport {
  int64_t steps = 0;
  int64_t joined = 0, ended = 0, cancelled = 0;  // while it was measured
  double seconds = 0, tokens_per_s = 0;
  GapSummary idle;
};

/// `gaps` is an observer of the engine, which measures them.
StatusOr<ChurnReport> run_churn(LoadedEngine& loaded, GapRecorder& gaps, const ChurnOptions& options);

}  // namespace hadal
