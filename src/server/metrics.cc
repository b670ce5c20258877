#include "server/metrics.h"

#include <algorithm>
#include <array>

#include "base/version.h"

namespace hadal {

using telemetry::Metric;

namespace {
constexpr const char* kNoTenant = "(default)";
constexpr size_t kMaxSeries =
    2 * (static_cast<size_t>(TenantTable::kMaxTenants) + 2);  // two block states each

std::string_view tenant_label(const std::string& tenant) {
  return tenant.empty() ? std::string_view(kNoTenant) : std::string_view(tenant);
}

// A method is whatever a client sends; each new one would be a series for ever.
std::string_view method_label(std::string_view method) {
  static constexpr std::array kKnown = {"",    "GET",    "POST",  "HEAD",    "OPTIONS",
                                        "PUT", "DELETE", "PATCH", "CONNECT", "TRACE"};
  const bool known = std::find(kKnown.begin(), kKnown.end(), method) != kKnown.end();
  return known ? method : std::string_view("other");
}
}  // namespace

ServerMetrics::ServerMetrics(std::string model_name, const MetricSizes& sizes)
    : model_name_(std::move(model_name)),
      // every tenant that the engine knows apart, the default one and "other"
      registry_({.max_model_len = sizes.max_model_len, .max_series = kMaxSeries}) {
  telemetry::add_process_collector(registry_);
  registry_.gauge(Metric::kBuildInfo, {kVersion}).set(1);
  // present from the start, so that dashboards and alerts see zeros and not nothing
  for (const char* reason : {"stop", "length", "abort", "error"})
    registry_.counter(Metric::kRequestSuccess, {reason, model_name_, kEngineLabel});
  for (const char* source : {"local_compute", "local_cache_hit", "external_kv_transfer"})
    registry_.counter(Metric::kPromptTokensBySource, {source, model_name_, kEngineLabel});
  for (const char* reason :
       {"tenant_queue_full", "queue_full", "deadline_unreachable", "busy", "draining", "engine_dead"})
    registry_.counter(Metric::kAdmissionRejections, {reason, model_name_, kEngineLabel});
  for (const Metric metric : {Metric::kExternalCacheQueries, Metric::kExternalCacheHits,
                              Metric::kMmCacheQueries, Metric::kMmCacheHits}) {
    registry_.counter(metric, {model_name_, kEngineLabel});
  }
  registry_.counter(Metric::kUntrustedTenantHeaders);
  for (const char* state : {"weights_offloaded", "discard_all"})
    registry_.gauge(Metric::kEngineSleepState, {state, model_name_, kEngineLabel}).set(0);
  registry_.gauge(Metric::kEngineSleepState, {"awake", model_name_, kEngineLabel}).set(1);
  for (const telemetry::MetricRow& row : telemetry::metric_catalogue()) {
    const bool per_model = std::string_view(row.labels) == "model_name,engine";
    const bool of_blocks = row.buckets == telemetry::Buckets::kResidency;
    if (row.type == telemetry::MetricType::kHistogram && per_model && (!of_blocks || sizes.cache_metrics))
      histogram(row.id);
  }
}

void ServerMetrics::describe(const RunnerInfo& info, const EngineConfig& config) {
  const RunnerCacheGroup& group = info.groups.front();
  // as Python writes what vLLM's CacheConfig holds
  const auto or_none = [](bool given, auto value) {
    return given ? fmt::format("{}", value) : std::string("None");
  };
  const double share = config.gpu_memory_utilization.value_or(0.0);
  registry_
      .gauge(Metric::kCacheConfigInfo,
             {fmt::format("{}", group.block_tokens), config.kv_cache_dtype,
              config.enable_prefix_caching ? "True" : "False",
              or_none(config.gpu_memory_utilization.has_value(), share),
              or_none(config.kv_cache_bytes > 0, config.kv_cache_bytes), fmt::format("{}", group.num_blocks),
              or_none(config.num_blocks > 0, config.num_blocks), kEngineLabel})
      .set(1);
}

void ServerMetrics::describe_experts(const ExpertLoad& load, const std::string& asked) {
  experts_ =
      std::make_unique<ExpertMetrics>(registry_, model_name_, ExpertMetrics::detail_of(asked, load), load);
}

void ServerMetrics::observe_experts(const ExpertLoad& load) {
  if (experts_ != nullptr) experts_->observe(load);
}

telemetry::Histogram& ServerMetrics::histogram(Metric metric) {
  return registry_.histogram(metric, {model_name_, kEngineLabel});
}

void ServerMetrics::on_step(int32_t tokens, double seconds) {
  histogram(Metric::kIterationTokens).observe(tokens);
  histogram(Metric::kStepSeconds).observe(seconds);
}

void ServerMetrics::on_first_token(double seconds_since_arrival) {
  histogram(Metric::kTimeToFirstToken).observe(seconds_since_arrival);
}

void ServerMetrics::on_next_token(double seconds_since_last) {
  histogram(Metric::kInterTokenLatency).observe(seconds_since_last);
}

void ServerMetrics::on_block_life(const BlockLifeEvent& event) {
  switch (event.kind) {
    case BlockLifeEvent::Kind::kLifetime:
      return histogram(Metric::kKvBlockLifetime).observe(event.seconds);
    case BlockLifeEvent::Kind::kIdleBeforeEvict:
      return histogram(Metric::kKvBlockIdle).observe(event.seconds);
    case BlockLifeEvent::Kind::kReuseGap:
      return histogram(Metric::kKvBlockReuseGap).observe(event.seconds);
  }
}

void ServerMetrics::on_tenant_first_token(const std::string& tenant, double seconds_since_arrival) {
  registry_.histogram(Metric::kTenantFirstToken, {tenant_label(tenant)}).observe(seconds_since_arrival);
}

void ServerMetrics::on_finished(const Finished& finished) {
  registry_.counter(Metric::kRequestSuccess, {finish_reason_name(finished.reason), model_name_, kEngineLabel})
      .add(1);
  histogram(Metric::kE2eRequestLatency).observe(finished.e2e_seconds);
  histogram(Metric::kRequestQueueTime).observe(finished.queue_seconds);
  histogram(Metric::kRequestPrefillTime).observe(finished.prefill_seconds);
  histogram(Metric::kRequestDecodeTime).observe(finished.decode_seconds);
  histogram(Metric::kRequestInferenceTime).observe(finished.prefill_seconds + finished.decode_seconds);
  histogram(Metric::kRequestPromptTokens).observe(finished.prompt_tokens);
  histogram(Metric::kRequestComputedTokens)
      .observe(std::max(finished.prompt_tokens - finished.cached_tokens, 0));
  histogram(Metric::kRequestGenerationTokens).observe(finished.output_tokens);
  histogram(Metric::kRequestMaxGenerationTokens).observe(finished.max_tokens);
  histogram(Metric::kRequestParamsMaxTokens).observe(finished.max_tokens);
  histogram(Metric::kRequestParamsN).observe(finished.num_choices);
  if (finished.output_tokens > 1) {
    histogram(Metric::kTimePerOutputToken).observe(finished.decode_seconds / (finished.output_tokens - 1));
  }
}

void ServerMetrics::on_http(const http::Exchanged& exchanged, bool known_path) {
  const std::string_view path = known_path ? exchanged.path : std::string_view("other");
  registry_
      .counter(Metric::kHttpRequests,
               {method_label(exchanged.method), path, fmt::format("{}", exchanged.status)})
      .add(1);
  registry_.histogram(Metric::kHttpRequestSeconds, {path}).observe(exchanged.seconds);
  if (exchanged.client_gone) registry_.counter(Metric::kHttpClientGone).add(1);
}

void ServerMetrics::on_refused(std::string_view reason) {
  registry_.counter(Metric::kAdmissionRejections, {reason, model_name_, kEngineLabel}).add(1);
}

void ServerMetrics::on_untrusted_tenant() { registry_.counter(Metric::kUntrustedTenantHeaders).add(1); }

void ServerMetrics::set_gauge(Metric metric, double value) {
  registry_.gauge(metric, {model_name_, kEngineLabel}).set(value);
}

void ServerMetrics::raise_counter(Metric metric, int64_t total) {
  registry_.counter(metric, {model_name_, kEngineLabel}).raise_to(static_cast<double>(total));
}

void ServerMetrics::expose_cache(const EngineStats& stats) {
  const auto total = static_cast<double>(stats.blocks_total);
  set_gauge(Metric::kKvCacheUsage, total > 0 ? static_cast<double>(stats.blocks_used) / total : 0);
  const auto blocks = [&](const char* state, int64_t count) {
    registry_.gauge(Metric::kKvBlocks, {state, model_name_, kEngineLabel}).set(static_cast<double>(count));
  };
  blocks("free", stats.blocks_free);
  blocks("cached", stats.blocks_cached);
  blocks("pinned", stats.blocks_pinned);
  blocks("used", stats.blocks_used);
  const auto held = static_cast<double>(stats.held_places);
  set_gauge(Metric::kKvPlaceUtilization, held > 0 ? static_cast<double>(stats.used_places) / held : 1);
  registry_.gauge(Metric::kKvPlaces, {"held", model_name_, kEngineLabel}).set(held);
  registry_.gauge(Metric::kKvPlaces, {"used", model_name_, kEngineLabel})
      .set(static_cast<double>(stats.used_places));
  raise_counter(Metric::kPrefixCacheQueries, stats.prefix_queries);
  raise_counter(Metric::kPrefixCacheHits, stats.prefix_hits);
  raise_counter(Metric::kKvEvictions, stats.evictions);
}

void ServerMetrics::expose_tenants(const EngineStats& stats) {
  for (const TenantStats& tenant : stats.tenants) {
    const std::string_view label = tenant_label(tenant.name);
    const auto gauge = [&](Metric metric, auto value) {
      registry_.gauge(metric, {label}).set(static_cast<double>(value));
    };
    const auto counter = [&](Metric metric, int64_t value) {
      registry_.counter(metric, {label}).raise_to(static_cast<double>(value));
    };
    gauge(Metric::kTenantRunning, tenant.running);
    gauge(Metric::kTenantWaiting, tenant.waiting);
    gauge(Metric::kTenantCounter, tenant.counter);
    registry_.gauge(Metric::kTenantBlocks, {"held", label}).set(static_cast<double>(tenant.blocks_held));
    registry_.gauge(Metric::kTenantBlocks, {"cached", label}).set(static_cast<double>(tenant.blocks_cached));
    counter(Metric::kTenantPromptTokens, tenant.prompt_tokens);
    counter(Metric::kTenantGenerationTokens, tenant.generation_tokens);
    counter(Metric::kTenantPreemptions, tenant.preemptions);
  }
}

void ServerMetrics::watch_device(std::shared_ptr<Device> device) {
  MutexLock lock(device_mutex_);
  device_ = std::move(device);
}

void ServerMetrics::expose_device() {
  MutexLock lock(device_mutex_);
  BackendHealth health{};
  if (device_ != nullptr && device_->health(health)) observe_device(device_->facts(), health);
}

void ServerMetrics::observe_device(const BackendFacts& facts, const BackendHealth& health) {
  const std::string name = facts.name;
  const auto gauge = [&](Metric metric, double value) {
    if (value >= 0) registry_.gauge(metric, {name}).set(value);
  };
  gauge(Metric::kGpuPower, health.power_watts);
  gauge(Metric::kGpuTemperature, health.temperature_celsius);
  gauge(Metric::kGpuCompute, health.compute_utilization);
  gauge(Metric::kGpuMemory, health.memory_utilization);
  gauge(Metric::kGpuMemoryFree, static_cast<double>(facts.free_bytes));
  gauge(Metric::kGpuXid, static_cast<double>(health.last_xid));
  if (health.ecc_uncorrected >= 0) {
    registry_.counter(Metric::kGpuEcc, {name}).raise_to(static_cast<double>(health.ecc_uncorrected));
  }
}

std::string ServerMetrics::expose(const EngineStats& stats, bool up) {
  set_gauge(Metric::kNumRequestsRunning, static_cast<double>(stats.running));
  set_gauge(Metric::kNumRequestsWaiting, static_cast<double>(stats.waiting));
  set_gauge(Metric::kEngineUp, up ? 1 : 0);
  expose_cache(stats);
  expose_tenants(stats);
  expose_device();
  raise_counter(Metric::kPromptTokens, stats.prompt_tokens);
  raise_counter(Metric::kPromptTokensCached, stats.prompt_tokens_cached);
  raise_counter(Metric::kPromptTokensRecomputed, stats.prompt_tokens_recomputed);
  const auto source = [&](const char* name, int64_t total) {
    registry_.counter(Metric::kPromptTokensBySource, {name, model_name_, kEngineLabel})
        .raise_to(static_cast<double>(total));
  };
  source("local_compute", stats.prompt_tokens - stats.prompt_tokens_cached);
  source("local_cache_hit", stats.prompt_tokens_cached);
  raise_counter(Metric::kGenerationTokens, stats.generation_tokens);
  raise_counter(Metric::kNumPreemptions, stats.preemptions);
  raise_counter(Metric::kResumed, stats.resumed);
  raise_counter(Metric::kEngineSteps, stats.steps);
  return registry_.expose();
}

}  // namespace hadal
