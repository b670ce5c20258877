#include "server/expert_metrics.h"

#include <fmt/core.h>

#include <algorithm>
#include <numeric>

#include "base/log.h"
#include "server/metrics.h"

namespace hadal {

using telemetry::Metric;

ExpertDetail ExpertMetrics::detail_of(const std::string& asked, const ExpertLoad& load) {
  if (load.experts == 0 || asked == "off") return ExpertDetail::kOff;
  if (asked == "experts") return ExpertDetail::kExperts;
  if (asked == "layers") return ExpertDetail::kLayers;
  if (load.chosen.size() <= kMaxDefaultSeries) return ExpertDetail::kExperts;
  log_info(
      "/metrics has the experts' load by layer: by expert it would be {} series (--expert-load-metrics "
      "experts)",
      load.chosen.size());
  return ExpertDetail::kLayers;
}

ExpertMetrics::ExpertMetrics(telemetry::Registry& registry, std::string model_name, ExpertDetail detail,
                             const ExpertLoad& load)
    : registry_(registry), model_name_(std::move(model_name)) {
  if (detail == ExpertDetail::kOff) return;
  registry_.gauge(Metric::kExperts, {model_name_, kEngineLabel}).set(load.experts);
  sampled_steps_ = &registry_.counter(Metric::kExpertSampledSteps, {model_name_, kEngineLabel});
  registry_.allow_series(Metric::kExpertTokens, load.chosen.size());
  for (const int32_t layer : load.layers) add_layer(layer, load.experts, detail);
}

void ExpertMetrics::add_layer(int32_t layer, int32_t experts, ExpertDetail detail) {
  const std::string name = fmt::format("{}", layer);
  Layer series;
  series.tokens = &registry_.counter(Metric::kExpertLayerTokens, {name, model_name_, kEngineLabel});
  series.active = &registry_.counter(Metric::kExpertsActive, {name, model_name_, kEngineLabel});
  series.imbalance = &registry_.gauge(Metric::kExpertImbalance, {name, model_name_, kEngineLabel});
  for (int32_t expert = 0; detail == ExpertDetail::kExperts && expert < experts; ++expert) {
    series.experts.push_back(&registry_.counter(
        Metric::kExpertTokens, {name, fmt::format("{}", expert), model_name_, kEngineLabel}));
  }
  const MutexLock lock(mutex_);
  layers_.push_back(std::move(series));
}

void ExpertMetrics::observe(const ExpertLoad& load) {
  const MutexLock lock(mutex_);
  if (layers_.empty() || layers_.size() != load.layers.size()) return;
  const auto experts = static_cast<size_t>(load.experts);
  sampled_steps_->raise_to(static_cast<double>(load.sampled_steps));
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    const uint64_t* chosen = load.chosen.data() + layer * experts;
    Layer& series = layers_[layer];
    series.tokens->raise_to(static_cast<double>(std::accumulate(chosen, chosen + experts, uint64_t{0})));
    series.active->raise_to(static_cast<double>(load.active[layer]));
    series.imbalance->set(load.imbalance[layer]);
    for (size_t expert = 0; expert < series.experts.size(); ++expert)
      series.experts[expert]->raise_to(static_cast<double>(chosen[expert]));
  }
}

}  // namespace hadal
