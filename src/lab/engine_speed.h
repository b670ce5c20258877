// Measures prefill and decode through the engine, beside the machine's read bandwidth: the probe and the runs
// take turns, so that a ratio holds although a shared machine's speed drifts.
#pragma once

#include <cstdint>
#include <vector>

#include "base/status.h"
#include "server/engine_loader.h"

namespace hadal {

struct BenchOptions {
  EngineConfig engine;
  int32_t prompt_tokens = 512;
  int32_t output_tokens = 64;
  int32_t batch = 1;  // sequences at once
  int32_t rounds = 5;
};

struct BenchRound {
  double read_gb_per_s = 0.0;  // probe: mean of before and after
  double prefill_tokens_per_s = 0.0;
  double decode_tokens_per_s = 0.0;  // all sequences together
  double decode_gb_per_s = 0.0;      // weight bytes that one step must read, times steps per second
};

struct BenchReport {
  std::vector<BenchRound> rounds;
  uint64_t weight_bytes_per_step =
      0;  // everything but the embedding table; of routed experts those that are used
  double median_prefill = 0.0, median_decode = 0.0, median_read = 0.0;
  double median_decode_ratio = 0.0;  // decode_gb_per_s / read_gb_per_s, per round, then the median
  std::string device;
};

StatusOr<BenchReport> bench_engine(const BenchOptions& options);

}  // namespace hadal
