// The load of routed experts in /metrics: how many tokens chose each, how many of them a step reads, how even
// it is.
//
// A series for each expert and layer is what a plan of placement needs, but a large model has many (58 x 256
// of DeepSeek-V3, a megabyte a scrape), so --expert-load-metrics chooses: `experts`, `layers` (sums of the
// layers alone) or `off`. Without it a model of at most kMaxDefaultSeries gets the former, a larger one
// `layers`.
//
// Threads: any.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "runner/runner.h"
#include "telemetry/registry.h"

namespace hadal {

enum class ExpertDetail : uint8_t { kOff, kLayers, kExperts };

class ExpertMetrics {
 public:
  static constexpr size_t kMaxDefaultSeries = 4096;

  /// `asked`: --expert-load-metrics (auto, experts, layers, off). `load`: of the engine at start.
  static ExpertDetail detail_of(const std::string& asked, const ExpertLoad& load);

  ExpertMetrics(telemetry::Registry& registry, std::string model_name, ExpertDetail detail,
                const ExpertLoad& load);
  void observe(const ExpertLoad& load) EXCLUDES(mutex_);

 private:
  struct Layer {
    telemetry::Counter* tokens = nullptr;
    telemetry::Counter* active = nullptr;
    telemetry::Gauge* imbalance = nullptr;
    std::vector<telemetry::Counter*> experts;  // with kExperts
  };
  void add_layer(int32_t layer, int32_t experts, ExpertDetail detail);

  telemetry::Registry& registry_;
  const std::string model_name_;
  telemetry::Counter* sampled_steps_ = nullptr;
  Mutex mutex_;
  std::vector<Layer> layers_ GUARDED_BY(mutex_);  // the series, looked up once
};

}  // namespace hadal
