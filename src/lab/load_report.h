// The figures of a load: rates, latencies, goodput. Names and definitions are those of `vllm bench serve`:
//   TTFT  time from sending a request to its first token
//   TPOT  (E2E - TTFT) / (output tokens - 1), of answers of at least two tokens
//   ITL   time between two events that brought tokens, all requests together
//   E2E   time from sending a request to its last token
// Failed requests count in `errors` and nowhere else. Goodput is the rate of successful requests that meet
// every stated objective; an answer of one token has no TPOT and meets any.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "lab/load_generator.h"
#include "lab/percentiles.h"

namespace hadal {

/// Milliseconds.
struct Objectives {
  std::optional<double> ttft, tpot, e2el;
  bool any() const { return ttft || tpot || e2el; }
};

/// "ttft:200", "tpot:50", "e2el:10000".
StatusOr<Objectives> parse_objectives(const std::vector<std::string>& texts);

struct ErrorCount {
  int64_t count = 0;
  std::string example;  // what the first of them said
};

struct LoadReport {
  int64_t completed = 0, failed = 0;
  double duration_s = 0.0;
  int64_t input_tokens = 0, cached_tokens = 0, output_tokens = 0;
  double request_rate = 0.0, output_rate = 0.0, total_rate = 0.0;  // a second
  int64_t peak_concurrency = 0;                                    // requests under way at once
  Summary ttft_ms, tpot_ms, itl_ms, e2el_ms;
  double latest_start_s = 0.0;  // the most that a request went out after its time
  int64_t good = 0;             // that met the objectives
  double goodput = 0.0;
  int64_t counted_by_usage = 0;  // successful requests whose tokens the server counted
  std::map<std::string, ErrorCount> errors;
};

LoadReport report_of(const LoadRun& run, const Objectives& objectives);

/// The table that is printed, in vLLM's style.
std::string load_table(const LoadReport& report, const Objectives& objectives);
/// One JSON object, with vLLM's keys where it has one.
std::string load_json(const LoadReport& report, const Objectives& objectives);

}  // namespace hadal
