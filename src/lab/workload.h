// The requests of a load: when, how long, and which tokens.
//
// Prompts are token ids, made when they are sent: a trace of 145 million tokens need not fit in memory. A
// token depends on the seed and on what the prompt's block stands for, and on nothing else:
//   - a block with a trace's hash id: on the id, so equal ids are equal tokens in every request, run and
//   order;
//   - anything else: on the request's number, so it is shared with nobody.
// With a length scale s, block i of the trace lies at the positions [round(512 i s), round(512 (i + 1) s)) of
// the prompt: prompts that shared a prefix share the scaled one.
#pragma once

#include <cstdint>
#include <vector>

#include "base/status.h"
#include "lab/arrivals.h"
#include "lab/traces.h"

namespace hadal {

struct PlannedRequest {
  double arrival_s = 0.0;
  int32_t input_tokens = 0;
  int32_t output_tokens = 0;
  std::vector<int64_t> hash_ids;
  uint64_t number = 0;
};

/// Tokens are drawn from [kFirstRandomToken, vocab): the lowest ids are begin, end and padding in DeepSeek's
/// vocabularies.
inline constexpr int32_t kFirstRandomToken = 3;

struct TokenSource {
  uint64_t seed = 0;
  int32_t vocab = 1000;
  double length_scale = 1.0;
};

struct Workload {
  std::vector<PlannedRequest> requests;  // by arrival
  TokenSource tokens;
  int64_t shortened = 0;  // requests that a limit cut
};

struct LengthLimits {
  int32_t max_input = 0, max_output = 0;  // 0: none
  int32_t max_model_len = 0;              // prompt and answer together; 0: none
};

struct RandomLengths {
  int32_t input = 1024, output = 128;
  double range_ratio = 0.0;  // lengths are even over [n (1 - r), n (1 + r)], as vLLM's
};

struct WorkloadOptions {
  int64_t num_prompts = 0;  // 0: all of a trace
  ArrivalOptions arrivals;
  double time_scale = 1.0;  // recorded times are multiplied by this: 0.5 is twice the traffic
  LengthLimits limits;
  RandomLengths random;
  TokenSource tokens;
};

StatusOr<Workload> random_workload(const WorkloadOptions& options);
/// The first `num_prompts` requests of the trace; every length is at least 1.
StatusOr<Workload> trace_workload(const Trace& trace, const WorkloadOptions& options);

std::vector<int32_t> prompt_tokens(const PlannedRequest& request, const TokenSource& source);

}  // namespace hadal
