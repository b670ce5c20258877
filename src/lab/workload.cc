#include "lab/workload.h"

#include <algorithm>
#include <cmath>
#include <random>

namespace hadal {
namespace {

/// SplitMix64's finaliser: every bit of the input moves every bit of the output.
uint64_t mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

enum class Owner : uint64_t { kSharedBlock = 1, kRequest = 2 };

/// Appends `count` tokens of what `owner` and `id` name.
void append_tokens(const TokenSource& source, Owner owner, uint64_t id, int64_t count,
                   std::vector<int32_t>* out) {
  const uint64_t stream = mix(mix(source.seed ^ mix(static_cast<uint64_t>(owner))) ^ id);
  const auto span = static_cast<uint64_t>(source.vocab - kFirstRandomToken);
  for (int64_t i = 0; i < count; ++i) {
    out->push_back(kFirstRandomToken + static_cast<int32_t>(mix(stream + static_cast<uint64_t>(i)) % span));
  }
}

Status check(const WorkloadOptions& options) {
  const auto positive = [](double value) { return value > 0.0 && value <= 1e9; };
  if (options.num_prompts < 0) return invalid_argument("the number of prompts must not be negative");
  if (!(options.arrivals.rate > 0.0)) return invalid_argument("the request rate must be above 0, or inf");
  if (!positive(options.arrivals.burstiness)) return invalid_argument("the burstiness must be above 0");
  if (!positive(options.time_scale) || !positive(options.tokens.length_scale)) {
    return invalid_argument("time and length scales must be above 0");
  }
  if (options.tokens.vocab <= kFirstRandomToken) {
    return invalid_argument("the vocabulary must have more than {} tokens", kFirstRandomToken);
  }
  const LengthLimits& limits = options.limits;
  if (limits.max_input < 0 || limits.max_output < 0 || limits.max_model_len < 0 ||
      limits.max_model_len == 1) {
    return invalid_argument("length limits must not be negative, and a model must hold 2 tokens");
  }
  return OkStatus();
}

void limit_lengths(const LengthLimits& limits, Workload& workload) {
  for (PlannedRequest& request : workload.requests) {
    const int32_t input = request.input_tokens, output = request.output_tokens;
    if (limits.max_input > 0) request.input_tokens = std::min(request.input_tokens, limits.max_input);
    if (limits.max_output > 0) request.output_tokens = std::min(request.output_tokens, limits.max_output);
    if (limits.max_model_len > 0) {  // the prompt gives way, so that the answers stay those of the trace
      request.output_tokens = std::min(request.output_tokens, limits.max_model_len - 1);
      request.input_tokens = std::min(request.input_tokens, limits.max_model_len - request.output_tokens);
    }
    if (input != request.input_tokens || output != request.output_tokens) ++workload.shortened;
  }
}

void set_arrivals(const WorkloadOptions& options, Workload& workload) {
  const std::vector<double> times = arrival_times(options.arrivals, workload.requests.size());
  for (size_t i = 0; i < times.size(); ++i) workload.requests[i].arrival_s = times[i];
}

int32_t scaled_length(int32_t tokens, double scale) {
  return static_cast<int32_t>(
      std::clamp(std::round(tokens * scale), 1.0, static_cast<double>(kMaxTraceTokens)));
}

}  // namespace

StatusOr<Workload> random_workload(const WorkloadOptions& options) {
  RETURN_IF_ERROR(check(options));
  const RandomLengths& lengths = options.random;
  if (options.arrivals.kind == ArrivalKind::kRecorded)
    return invalid_argument("recorded arrivals need a trace");
  if (lengths.input < 1 || lengths.output < 1 || lengths.input > kMaxTraceTokens ||
      lengths.output > kMaxTraceTokens) {
    return invalid_argument("lengths must be 1 to {}", kMaxTraceTokens);
  }
  if (!(lengths.range_ratio >= 0.0 && lengths.range_ratio < 1.0)) {
    return invalid_argument("the range ratio must be 0 or more and below 1");
  }
  Workload workload{.tokens = options.tokens};
  std::mt19937_64 random(mix(options.tokens.seed));
  const auto draw = [&](int32_t length) {
    const double spread = length * lengths.range_ratio;
    std::uniform_int_distribution<int32_t> even(
        std::max(1, static_cast<int32_t>(std::floor(length - spread))),
        static_cast<int32_t>(std::ceil(length + spread)));
    return even(random);
  };
  for (int64_t i = 0; i < options.num_prompts; ++i) {
    PlannedRequest request{.number = static_cast<uint64_t>(i)};
    request.input_tokens = draw(lengths.input);
    request.output_tokens = draw(lengths.output);
    workload.requests.push_back(std::move(request));
  }
  set_arrivals(options, workload);
  limit_lengths(options.limits, workload);
  return workload;
}

StatusOr<Workload> trace_workload(const Trace& trace, const WorkloadOptions& options) {
  RETURN_IF_ERROR(check(options));
  Workload workload{.tokens = options.tokens};
  for (const TraceRequest& recorded : trace.requests) {
    if (options.num_prompts > 0 && workload.requests.size() >= static_cast<size_t>(options.num_prompts))
      break;
    workload.requests.push_back(
        {.arrival_s = recorded.arrival_s * options.time_scale,
         .input_tokens = scaled_length(recorded.input_tokens, options.tokens.length_scale),
         .output_tokens = scaled_length(recorded.output_tokens, options.tokens.length_scale),
         .hash_ids = recorded.hash_ids,
         .number = workload.requests.size()});
  }
  if (options.arrivals.kind != ArrivalKind::kRecorded) set_arrivals(options, workload);
  limit_lengths(options.limits, workload);
  return workload;
}

std::vector<int32_t> prompt_tokens(const PlannedRequest& request, const TokenSource& source) {
  std::vector<int32_t> tokens;
  tokens.reserve(static_cast<size_t>(request.input_tokens));
  int64_t begin = 0;
  for (size_t i = 0; i < request.hash_ids.size() && begin < request.input_tokens; ++i) {
    const double scaled_end =
        std::round(kMooncakeBlockTokens * static_cast<double>(i + 1) * source.length_scale);
    const int64_t end =
        std::min<int64_t>(request.input_tokens, static_cast<int64_t>(std::min(scaled_end, 1e15)));
    append_tokens(source, Owner::kSharedBlock, static_cast<uint64_t>(request.hash_ids[i]), end - begin,
                  &tokens);
    begin = end;
  }
  append_tokens(source, Owner::kRequest, request.number, request.input_tokens - begin, &tokens);
  return tokens;
}

}  // namespace hadal
