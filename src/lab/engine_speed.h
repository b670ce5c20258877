// Measures prefill and decode through the engine, beside the device's own bandwidth: the probe and the runs
// take turns, so that a ratio holds although a shared machine's speed drifts. On a CPU the probe reads
// memory; on a GPU it copies device memory (bytes read and written).
//
// Decode is measured in the window in which every sequence generates: from the last one's first token to the
// first one's last, so that no prefill and no ramp is in it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "lab/churn.h"
#include "server/engine_loader.h"

namespace hadal {

struct BenchOptions {
  EngineConfig engine;
  int32_t prompt_tokens = 512;
  int32_t output_tokens = 64;
  int32_t batch = 1;  // sequences at once
  int32_t rounds = 5;
  int32_t churn_steps = 0;  // > 0: afterwards so many steps in which requests come and go (lab/churn.h)
};

struct BenchRound {
  double read_gb_per_s = 0.0;  // probe: mean of before and after
  double prefill_tokens_per_s = 0.0;
  double decode_tokens_per_s = 0.0;           // all sequences together
  double decode_gb_per_s = 0.0;               // bytes that one step must read, times steps per second
  double ttft_s = 0.0;                        // until the last sequence's first token
  double window_begin_s = 0.0;                // on the monotonic clock, for what is sampled beside the steps
  std::vector<double> steps_s;                // between tokens of a sequence, in the window, in their order
  double step_p50_s = 0.0, step_p99_s = 0.0;  // of them
};

/// Routed experts that a step of the rounds read in a layer, on average over layers and over the steps that
/// the runner looked at (runner/expert_load.h: one in some sixty, a prompt's among them).
struct ExpertsTouched {
  int32_t experts = 0;  // of a layer; 0: the model has none
  uint64_t steps = 0;   // looked at
  double mean = 0.0;
};

struct BenchReport {
  std::vector<BenchRound> rounds;
  /// weights with the routed experts that uniform routing touches (model/weight_bytes.h), and the cache
  /// records of the contexts at half of the output
  uint64_t bytes_per_step = 0;
  double median_prefill = 0.0, median_decode = 0.0, median_read = 0.0, median_ttft_s = 0.0;
  double median_step_p50_s = 0.0, median_step_p99_s = 0.0;
  double median_decode_ratio = 0.0;  // decode_gb_per_s / read_gb_per_s, per round, then the median
  GapSummary idle;                   // of the device between the rounds' decode steps
  std::optional<ChurnReport> churn;
  ExpertsTouched touched;
  std::string device;
};

StatusOr<BenchReport> bench_engine(const BenchOptions& options);

}  // namespace hadal
