// Every metric of the house, one row each. A new metric is a new row: its enumerator, registration, exposition, HELP text
// and the documentation come from here.
//
//   X(enumerator, "name", type, buckets, "unit", "label,label", "help")
//
// Names are those on the wire without Prometheus's suffixes: counters get `_total`, histograms `_bucket`, `_sum`, `_count`.
// vllm:* names are vLLM's exactly (dashboards, autoscalers and routers read them); what is our own is hadal:*.
// Labels are given in this order when a series is asked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hadal::telemetry {

enum class MetricType : uint8_t { kCounter, kGauge, kHistogram };

/// Bucket bounds by name; kTokens goes up to the model's context (RegistryOptions::max_model_len).
enum class Buckets : uint8_t { kNone, kFirstToken, kInterToken, kRequest, kTokens, kIteration, kChoices, kHttp };

// clang-format off
#define HADAL_METRICS(X) \
  X(kNumRequestsRunning, "vllm:num_requests_running", kGauge, kNone, "requests", "model_name,engine", "Number of requests in model execution batches.") \
  X(kNumRequestsWaiting, "vllm:num_requests_waiting", kGauge, kNone, "requests", "model_name,engine", "Number of requests waiting to be processed.") \
  X(kKvCacheUsage, "vllm:kv_cache_usage_perc", kGauge, kNone, "ratio", "model_name,engine", "KV-cache usage. 1 means 100 percent usage.") \
  X(kCacheConfigInfo, "vllm:cache_config_info", kGauge, kNone, "", "block_size,cache_dtype,enable_prefix_caching,num_gpu_blocks,engine", "Information of the LLMEngine CacheConfig; always 1.") \
  X(kPromptTokens, "vllm:prompt_tokens", kCounter, kNone, "tokens", "model_name,engine", "Number of prefill tokens processed.") \
  X(kGenerationTokens, "vllm:generation_tokens", kCounter, kNone, "tokens", "model_name,engine", "Number of generation tokens processed.") \
  X(kPromptTokensCached, "vllm:prompt_tokens_cached", kCounter, kNone, "tokens", "model_name,engine", "Number of prompt tokens found in the prefix cache.") \
  X(kRequestSuccess, "vllm:request_success", kCounter, kNone, "requests", "finished_reason,model_name,engine", "Count of successfully processed requests.") \
  X(kNumPreemptions, "vllm:num_preemptions", kCounter, kNone, "preemptions", "model_name,engine", "Cumulative number of preemption from the engine.") \
  X(kPrefixCacheQueries, "vllm:prefix_cache_queries", kCounter, kNone, "tokens", "model_name,engine", "Prefix cache queries, in terms of number of queried tokens.") \
  X(kPrefixCacheHits, "vllm:prefix_cache_hits", kCounter, kNone, "tokens", "model_name,engine", "Prefix cache hits, in terms of number of cached tokens.") \
  X(kAdmissionRejections, "vllm:admission_rejections", kCounter, kNone, "requests", "reason,model_name,engine", "Requests refused before they were queued, by reason.") \
  X(kTimeToFirstToken, "vllm:time_to_first_token_seconds", kHistogram, kFirstToken, "seconds", "model_name,engine", "Histogram of time to first token in seconds.") \
  X(kInterTokenLatency, "vllm:inter_token_latency_seconds", kHistogram, kInterToken, "seconds", "model_name,engine", "Histogram of inter-token latency in seconds.") \
  X(kTimePerOutputToken, "vllm:request_time_per_output_token_seconds", kHistogram, kInterToken, "seconds", "model_name,engine", "Histogram of time per output token of a request in seconds.") \
  X(kE2eRequestLatency, "vllm:e2e_request_latency_seconds", kHistogram, kRequest, "seconds", "model_name,engine", "Histogram of e2e request latency in seconds.") \
  X(kRequestQueueTime, "vllm:request_queue_time_seconds", kHistogram, kRequest, "seconds", "model_name,engine", "Histogram of time spent in WAITING phase for request.") \
  X(kRequestInferenceTime, "vllm:request_inference_time_seconds", kHistogram, kRequest, "seconds", "model_name,engine", "Histogram of time spent in RUNNING phase for request.") \
  X(kRequestPrefillTime, "vllm:request_prefill_time_seconds", kHistogram, kRequest, "seconds", "model_name,engine", "Histogram of time spent in PREFILL phase for request.") \
  X(kRequestDecodeTime, "vllm:request_decode_time_seconds", kHistogram, kRequest, "seconds", "model_name,engine", "Histogram of time spent in DECODE phase for request.") \
  X(kRequestPromptTokens, "vllm:request_prompt_tokens", kHistogram, kTokens, "tokens", "model_name,engine", "Number of prefill tokens processed, per request.") \
  X(kRequestGenerationTokens, "vllm:request_generation_tokens", kHistogram, kTokens, "tokens", "model_name,engine", "Number of generation tokens processed, per request.") \
  X(kRequestMaxGenerationTokens, "vllm:request_max_num_generation_tokens", kHistogram, kTokens, "tokens", "model_name,engine", "Histogram of maximum number of requested generation tokens.") \
  X(kIterationTokens, "vllm:iteration_tokens_total", kHistogram, kIteration, "tokens", "model_name,engine", "Histogram of number of tokens per engine_step.") \
  X(kRequestParamsN, "vllm:request_params_n", kHistogram, kChoices, "choices", "model_name,engine", "Histogram of the n request parameter.") \
  X(kRequestParamsMaxTokens, "vllm:request_params_max_tokens", kHistogram, kTokens, "tokens", "model_name,engine", "Histogram of the max_tokens request parameter.") \
  X(kBuildInfo, "hadal:build_info", kGauge, kNone, "", "version", "The running build; always 1.") \
  X(kKvBlocks, "hadal:kv_blocks", kGauge, kNone, "blocks", "state,model_name,engine", "Blocks of the KV cache by state: free, used.") \
  X(kEngineSteps, "hadal:engine_steps", kCounter, kNone, "steps", "model_name,engine", "Steps that the engine has run.") \
  X(kStepSeconds, "hadal:engine_step_seconds", kHistogram, kInterToken, "seconds", "model_name,engine", "Time of one engine step in seconds.") \
  X(kEngineUp, "hadal:engine_up", kGauge, kNone, "", "model_name,engine", "1 while the engine can serve, 0 while it loads, drains or has died.") \
  X(kHttpRequests, "hadal:http_requests", kCounter, kNone, "requests", "method,path,status", "HTTP requests answered; unknown paths are counted as other, status 0 is a client that left before the answer.") \
  X(kHttpRequestSeconds, "hadal:http_request_seconds", kHistogram, kHttp, "seconds", "path", "Time from a complete request to the end of its answer in seconds.") \
  X(kHttpClientGone, "hadal:http_client_disconnects", kCounter, kNone, "requests", "", "Clients that hung up, or were too slow, before their answer was complete.") \
  X(kProcessCpuSeconds, "process_cpu_seconds", kCounter, kNone, "seconds", "", "Total user and system CPU time spent in seconds.") \
  X(kProcessResidentMemory, "process_resident_memory_bytes", kGauge, kNone, "bytes", "", "Resident memory size in bytes.") \
  X(kProcessVirtualMemory, "process_virtual_memory_bytes", kGauge, kNone, "bytes", "", "Virtual memory size in bytes.") \
  X(kProcessStartTime, "process_start_time_seconds", kGauge, kNone, "seconds", "", "Start time of the process since unix epoch in seconds.") \
  X(kProcessOpenFds, "process_open_fds", kGauge, kNone, "descriptors", "", "Number of open file descriptors.") \
  X(kProcessMaxFds, "process_max_fds", kGauge, kNone, "descriptors", "", "Maximum number of open file descriptors.") \
  X(kProcessThreads, "process_threads", kGauge, kNone, "threads", "", "Number of threads of the process.")
// clang-format on

enum class Metric : uint16_t {
#define HADAL_METRIC_ENUM(id, ...) id,
  HADAL_METRICS(HADAL_METRIC_ENUM)
#undef HADAL_METRIC_ENUM
};

struct MetricRow {
  Metric id;
  const char* name;
  MetricType type;
  Buckets buckets;
  const char* unit;
  const char* labels;  // separated by commas
  const char* help;

  /// As exposed: counters end in `_total`.
  std::string exposed_name() const;
  std::vector<std::string> label_names() const;
};

const MetricRow& metric_row(Metric metric);
/// All rows, in the order of the table.
const std::vector<MetricRow>& metric_catalogue();

/// Upper bounds, ascending, without +Inf.
std::vector<double> bucket_bounds(Buckets buckets, int64_t max_model_len);

/// The table as a Markdown page (docs/metrics.md).
std::string metrics_markdown();

}  // namespace hadal::telemetry
