// Every metric of the house, one row each. A new metric is a new row: its enumerator, registration,
// exposition, HELP text and the documentation come from here.
//
//   X(enumerator, "name", type, buckets, "unit", "label,label", "help")
//
// Names are those on the wire without Prometheus's suffixes: counters get `_total`, histograms `_bucket`,
// `_sum`, `_count`. vllm:* names are vLLM's exactly (dashboards, autoscalers and routers read them); what is
// our own is hadal:*. Labels are given in this order when a series is asked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hadal::telemetry {

enum class MetricType : uint8_t { kCounter, kGauge, kHistogram };

/// Bucket bounds by name; kTokens goes up to the model's context (RegistryOptions::max_model_len).
enum class Buckets : uint8_t {
  kNone,
  kFirstToken,
  kInterToken,
  kRequest,
  kTokens,
  kIteration,
  kChoices,
  kResidency,
  kHttp
};

// clang-format off
#define HADAL_METRICS(X) \
  X(kNumRequestsRunning, "vllm:num_requests_running", kGauge, kNone, "requests", "model_name,engine", "Number of requests in model execution batches.") \
  X(kNumRequestsWaiting, "vllm:num_requests_waiting", kGauge, kNone, "requests", "model_name,engine", "Number of requests waiting to be processed.") \
  X(kKvCacheUsage, "vllm:kv_cache_usage_perc", kGauge, kNone, "ratio", "model_name,engine", "KV-cache usage. 1 means 100 percent usage.") \
  X(kEngineSleepState, "vllm:engine_sleep_state", kGauge, kNone, "", "sleep_state,model_name,engine", "Engine sleep state; this engine is always awake.") \
  X(kCacheConfigInfo, "vllm:cache_config_info", kGauge, kNone, "", "block_size,cache_dtype,enable_prefix_caching,gpu_memory_utilization,kv_cache_memory_bytes,num_gpu_blocks,num_gpu_blocks_override,engine", "Information of the LLMEngine CacheConfig; always 1.") \
  X(kPromptTokens, "vllm:prompt_tokens", kCounter, kNone, "tokens", "model_name,engine", "Number of prefill tokens processed.") \
  X(kGenerationTokens, "vllm:generation_tokens", kCounter, kNone, "tokens", "model_name,engine", "Number of generation tokens processed.") \
  X(kPromptTokensBySource, "vllm:prompt_tokens_by_source", kCounter, kNone, "tokens", "source,model_name,engine", "Number of prompt tokens by source: local_compute, local_cache_hit, external_kv_transfer (always 0).") \
  X(kPromptTokensCached, "vllm:prompt_tokens_cached", kCounter, kNone, "tokens", "model_name,engine", "Number of prompt tokens found in the prefix cache.") \
  X(kPromptTokensRecomputed, "vllm:prompt_tokens_recomputed", kCounter, kNone, "tokens", "model_name,engine", "Number of prompt tokens computed again after a preemption.") \
  X(kRequestSuccess, "vllm:request_success", kCounter, kNone, "requests", "finished_reason,model_name,engine", "Count of successfully processed requests.") \
  X(kNumPreemptions, "vllm:num_preemptions", kCounter, kNone, "preemptions", "model_name,engine", "Cumulative number of preemption from the engine.") \
  X(kPrefixCacheQueries, "vllm:prefix_cache_queries", kCounter, kNone, "tokens", "model_name,engine", "Prefix cache queries, in terms of number of queried tokens.") \
  X(kPrefixCacheHits, "vllm:prefix_cache_hits", kCounter, kNone, "tokens", "model_name,engine", "Prefix cache hits, in terms of number of cached tokens.") \
  X(kExternalCacheQueries, "vllm:external_prefix_cache_queries", kCounter, kNone, "tokens", "model_name,engine", "External prefix cache queries; always 0, there is no cache outside the engine.") \
  X(kExternalCacheHits, "vllm:external_prefix_cache_hits", kCounter, kNone, "tokens", "model_name,engine", "External prefix cache hits; always 0.") \
  X(kMmCacheQueries, "vllm:mm_cache_queries", kCounter, kNone, "items", "model_name,engine", "Multi-modal cache queries; always 0, inputs are text.") \
  X(kMmCacheHits, "vllm:mm_cache_hits", kCounter, kNone, "items", "model_name,engine", "Multi-modal cache hits; always 0.") \
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
  X(kRequestComputedTokens, "vllm:request_prefill_kv_computed_tokens", kHistogram, kTokens, "tokens", "model_name,engine", "Histogram of new KV tokens computed during prefill (excluding cached tokens).") \
  X(kKvBlockLifetime, "vllm:kv_block_lifetime_seconds", kHistogram, kResidency, "seconds", "model_name,engine", "Histogram of KV cache block lifetime from allocation to eviction; with --kv-cache-metrics.") \
  X(kKvBlockIdle, "vllm:kv_block_idle_before_evict_seconds", kHistogram, kResidency, "seconds", "model_name,engine", "Histogram of idle time before KV cache block eviction; with --kv-cache-metrics.") \
  X(kKvBlockReuseGap, "vllm:kv_block_reuse_gap_seconds", kHistogram, kResidency, "seconds", "model_name,engine", "Histogram of time gaps between consecutive KV cache block accesses; with --kv-cache-metrics.") \
  X(kBuildInfo, "hadal:build_info", kGauge, kNone, "", "version", "The running build; always 1.") \
  X(kKvBlocks, "hadal:kv_blocks", kGauge, kNone, "blocks", "state,model_name,engine", "Blocks of the KV cache by state: free, cached (findable, held by nobody), used (held by sequences); pinned are those of declared shared prefixes, counted among cached or used, too.") \
  X(kKvPlaceUtilization, "hadal:kv_place_utilization", kGauge, kNone, "ratio", "model_name,engine", "Share of the token places in blocks held by sequences that are used; 1 with nothing held.") \
  X(kKvPlaces, "hadal:kv_places", kGauge, kNone, "tokens", "state,model_name,engine", "Token places in blocks held by sequences: held, and of them used.") \
  X(kKvEvictions, "hadal:kv_evictions", kCounter, kNone, "blocks", "model_name,engine", "Cached blocks that were given to somebody else.") \
  X(kResumed, "hadal:requests_resumed", kCounter, kNone, "requests", "model_name,engine", "Requests that brought output of another engine (resume).") \
  X(kTenantRunning, "hadal:tenant_running", kGauge, kNone, "sequences", "tenant", "Sequences of the tenant that run. The tenant of requests without one is (default); names beyond the first 1,000 are other.") \
  X(kTenantWaiting, "hadal:tenant_waiting", kGauge, kNone, "requests", "tenant", "Requests of the tenant that wait.") \
  X(kTenantBlocks, "hadal:tenant_kv_blocks", kGauge, kNone, "blocks", "state,tenant", "Blocks charged to the tenant: held by its sequences, or cached.") \
  X(kTenantPromptTokens, "hadal:tenant_prompt_tokens", kCounter, kNone, "tokens", "tenant", "Prompt tokens of the tenant's requests.") \
  X(kTenantGenerationTokens, "hadal:tenant_generation_tokens", kCounter, kNone, "tokens", "tenant", "Tokens made for the tenant.") \
  X(kTenantPreemptions, "hadal:tenant_preemptions", kCounter, kNone, "preemptions", "tenant", "Preemptions of the tenant's sequences.") \
  X(kTenantCounter, "hadal:tenant_virtual_tokens", kGauge, kNone, "tokens", "tenant", "The tenant's virtual token counter: what it has been served, output tokens dearer, over its weight. The lowest is served next.") \
  X(kTenantFirstToken, "hadal:tenant_time_to_first_token_seconds", kHistogram, kFirstToken, "seconds", "tenant", "Time to first token of the tenant's requests in seconds.") \
  X(kUntrustedTenantHeaders, "hadal:untrusted_tenant_headers", kCounter, kNone, "requests", "", "Requests whose tenant header was ignored, since the hop that sent it is not trusted.") \
  X(kEngineSteps, "hadal:engine_steps", kCounter, kNone, "steps", "model_name,engine", "Steps that the engine has run.") \
  X(kStepSeconds, "hadal:engine_step_seconds", kHistogram, kInterToken, "seconds", "model_name,engine", "Time of one engine step in seconds.") \
  X(kEngineUp, "hadal:engine_up", kGauge, kNone, "", "model_name,engine", "1 while the engine can serve, 0 while it loads, drains or has died.") \
  X(kExpertTokens, "hadal:expert_tokens", kCounter, kNone, "tokens", "layer,expert,model_name,engine", "Tokens that chose the routed expert, a layer, as of at most a second of work ago; --expert-load-metrics experts (the default up to 4,096 series).") \
  X(kExpertLayerTokens, "hadal:expert_layer_tokens", kCounter, kNone, "tokens", "layer,model_name,engine", "Choices of routed experts in the layer: tokens times experts per token. This and the next four are there for models with routed experts, unless --expert-load-metrics is off.") \
  X(kExpertImbalance, "hadal:expert_imbalance", kGauge, kNone, "ratio", "layer,model_name,engine", "Tokens of the layer's most chosen expert over the mean of its experts; a step counts half as much after 1,024 more.") \
  X(kExpertsActive, "hadal:experts_active", kCounter, kNone, "experts", "layer,model_name,engine", "Experts of the layer that a sampled step chose, summed over the sampled steps. Share active in a step: rate of this / rate of hadal:expert_sampled_steps_total / hadal:experts.") \
  X(kExpertSampledSteps, "hadal:expert_sampled_steps", kCounter, kNone, "steps", "model_name,engine", "Steps whose experts were counted apart: one in 65, or one a second where steps are longer.") \
  X(kExperts, "hadal:experts", kGauge, kNone, "experts", "model_name,engine", "Routed experts of a layer.") \
  X(kGpuPower, "hadal:gpu_power_watts", kGauge, kNone, "watts", "device", "Power that the GPU draws. GPU figures are there where one is used and its driver tells.") \
  X(kGpuTemperature, "hadal:gpu_temperature_celsius", kGauge, kNone, "celsius", "device", "Temperature of the GPU.") \
  X(kGpuCompute, "hadal:gpu_compute_utilization", kGauge, kNone, "ratio", "device", "Share of the driver's last sampling period in which a kernel ran.") \
  X(kGpuMemory, "hadal:gpu_memory_utilization", kGauge, kNone, "ratio", "device", "Share of the driver's last sampling period in which device memory was read or written.") \
  X(kGpuMemoryFree, "hadal:gpu_memory_free_bytes", kGauge, kNone, "bytes", "device", "Device memory that nobody has allocated.") \
  X(kGpuEcc, "hadal:gpu_ecc_uncorrected", kCounter, kNone, "errors", "device", "Uncorrected ECC errors since the driver was loaded.") \
  X(kGpuXid, "hadal:gpu_last_xid", kGauge, kNone, "", "device", "Number of the last Xid error that the driver reported, 0 with none.") \
  X(kHttpRequests, "hadal:http_requests", kCounter, kNone, "requests", "method,path,status", "HTTP requests answered; unknown paths and methods are counted as other, status 0 is a client that left before the answer.") \
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

/// A vLLM metric that this engine does not export, and why.
struct LeftOutMetric {
  const char* name;
  const char* reason;
};
const std::vector<LeftOutMetric>& left_out_metrics();

/// Upper bounds, ascending, without +Inf.
std::vector<double> bucket_bounds(Buckets buckets, int64_t max_model_len);

/// The table as a Markdown page (docs/metrics.md).
std::string metrics_markdown();

}  // namespace hadal::telemetry
