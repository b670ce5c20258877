#include "server/metrics.h"

#include "base/version.h"

namespace hadal {

using telemetry::Metric;

namespace {
constexpr const char* kEngine = "0";  // the engine's index: one a server
}

ServerMetrics::ServerMetrics(std::string model_name, int32_t max_model_len)
    : model_name_(std::move(model_name)), registry_({.max_model_len = max_model_len}) {
  telemetry::add_process_collector(registry_);
  registry_.gauge(Metric::kBuildInfo, {kVersion}).set(1);
  // present from the start, so that dashboards and alerts see zeros and not nothing
  for (const char* reason : {"stop", "length", "abort", "error"}) {
    registry_.counter(Metric::kRequestSuccess, {reason, model_name_, kEngine});
  }
  // no prefix cache yet: nothing queried, nothing hit, which is what vLLM shows with it switched off
  for (const Metric metric :
       {Metric::kPrefixCacheQueries, Metric::kPrefixCacheHits, Metric::kPromptTokensCached}) {
    registry_.counter(metric, {model_name_, kEngine});
  }
  for (const Metric metric :
       {Metric::kTimeToFirstToken, Metric::kInterTokenLatency, Metric::kE2eRequestLatency}) {
    histogram(metric);
  }
}

void ServerMetrics::describe(const RunnerInfo& info, const std::string& cache_dtype) {
  const RunnerCacheGroup& group = info.groups.front();
  registry_
      .gauge(Metric::kCacheConfigInfo, {fmt::format("{}", group.block_tokens), cache_dtype, "False",
                                        fmt::format("{}", group.num_blocks), kEngine})
      .set(1);
}

telemetry::Histogram& ServerMetrics::histogram(Metric metric) {
  return registry_.histogram(metric, {model_name_, kEngine});
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

void ServerMetrics::on_finished(const Finished& finished) {
  registry_.counter(Metric::kRequestSuccess, {finish_reason_name(finished.reason), model_name_, kEngine})
      .add(1);
  histogram(Metric::kE2eRequestLatency).observe(finished.e2e_seconds);
  histogram(Metric::kRequestQueueTime).observe(finished.queue_seconds);
  histogram(Metric::kRequestPrefillTime).observe(finished.prefill_seconds);
  histogram(Metric::kRequestDecodeTime).observe(finished.decode_seconds);
  histogram(Metric::kRequestInferenceTime).observe(finished.prefill_seconds + finished.decode_seconds);
  histogram(Metric::kRequestPromptTokens).observe(finished.prompt_tokens);
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
  registry_.counter(Metric::kHttpRequests, {exchanged.method, path, fmt::format("{}", exchanged.status)})
      .add(1);
  registry_.histogram(Metric::kHttpRequestSeconds, {path}).observe(exchanged.seconds);
  if (exchanged.client_gone) registry_.counter(Metric::kHttpClientGone).add(1);
}

void ServerMetrics::on_refused(std::string_view reason) {
  registry_.counter(Metric::kAdmissionRejections, {reason, model_name_, kEngine}).add(1);
}

std::string ServerMetrics::expose(const EngineStats& stats, bool up) {
  const auto gauge = [&](Metric metric, double value) {
    registry_.gauge(metric, {model_name_, kEngine}).set(value);
  };
  const auto counter = [&](Metric metric, int64_t total) {
    registry_.counter(metric, {model_name_, kEngine}).raise_to(static_cast<double>(total));
  };
  gauge(Metric::kNumRequestsRunning, static_cast<double>(stats.running));
  gauge(Metric::kNumRequestsWaiting, static_cast<double>(stats.waiting));
  gauge(Metric::kEngineUp, up ? 1 : 0);
  const auto total = static_cast<double>(stats.blocks_total);
  gauge(Metric::kKvCacheUsage, total > 0 ? static_cast<double>(stats.blocks_used) / total : 0);
  registry_.gauge(Metric::kKvBlocks, {"used", model_name_, kEngine})
      .set(static_cast<double>(stats.blocks_used));
  registry_.gauge(Metric::kKvBlocks, {"free", model_name_, kEngine})
      .set(static_cast<double>(stats.blocks_total - stats.blocks_used));
  counter(Metric::kPromptTokens, stats.prompt_tokens);
  counter(Metric::kGenerationTokens, stats.generation_tokens);
  counter(Metric::kNumPreemptions, stats.preemptions);
  counter(Metric::kEngineSteps, stats.steps);
  return registry_.expose();
}

}  // namespace hadal
