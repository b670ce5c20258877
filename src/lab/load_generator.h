// Sends a workload to an OpenAI-compatible server and times every answer. Open loop: a request goes out at
// its time whether earlier ones are answered or not, unless all `max_concurrency` places are taken; then it
// goes out as soon as one is free, and how late that was is part of the outcome (`start_s - planned_s`), not
// of its latency.
//
// Threads: one for each place, each with a connection of its own; at most kMostThreads. Prompts are written
// before a request's time comes, so their making is in no figure. Errors of single requests are outcomes;
// run_load() itself fails only where nothing can be sent at all (an address that is none).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "http/message.h"
#include "lab/token_stream.h"
#include "lab/workload.h"

namespace hadal {

inline constexpr int32_t kMostThreads = 1024;

struct LoadTarget {
  std::string url;  // http://host:port or unix:/path
  std::string endpoint = "/v1/completions";
  std::string model;
  http::Headers headers;
  std::chrono::milliseconds timeout{600'000};  // without a byte
};

struct LoadOptions {
  LoadTarget target;
  int32_t max_concurrency = 0;  // 0: as many as there are requests, at most kMostThreads
  bool ignore_eos = false;
  double temperature = 0.0;
};

/// Times in seconds after the start of the load.
struct RequestOutcome {
  double planned_s = 0.0, start_s = 0.0, end_s = 0.0;
  std::vector<double> token_s;  // events that brought tokens
  int64_t input_tokens = 0;     // as the server counts them, else as planned
  int64_t output_tokens = 0;
  int64_t cached_tokens = 0;
  CountedBy counted_by = CountedBy::kEvents;
  std::string error_kind;  // empty: a success
  std::string error_text;
};

struct LoadRun {
  std::vector<RequestOutcome> outcomes;  // in the workload's order
  double duration_s = 0.0;               // to the last answer
};

/// Called from any of the threads, one at a time, as requests end.
using OnProgress = std::function<void(size_t done, size_t failed, size_t total)>;

StatusOr<LoadRun> run_load(const Workload& workload, const LoadOptions& options,
                           const OnProgress& on_progress);

/// What GET /v1/models says of `wanted`, or of the first model where `wanted` is empty.
struct ServedModel {
  std::string name;
  int32_t max_model_len = 0;  // 0: not said
};
StatusOr<ServedModel> ask_model(const LoadTarget& target, const std::string& wanted);

/// The JSON body of one request.
std::string request_body(const PlannedRequest& request, const TokenSource& tokens,
                         const LoadOptions& options);

}  // namespace hadal
