// The server's figures: what the engine observes, under the names of the metric catalogue.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/mutex.h"
#include "device/device.h"
#include "engine/engine.h"
#include "http/server.h"
#include "server/engine_loader.h"
#include "server/expert_metrics.h"
#include "telemetry/registry.h"

namespace hadal {

/// The label `engine`: its index, one a server.
inline constexpr const char* kEngineLabel = "0";

struct MetricSizes {
  int32_t max_model_len = 0;
  bool cache_metrics = false;  // --kv-cache-metrics
};

/// Threads: observations come from the engine's and http's threads, expose() from any.
class ServerMetrics final : public EngineObserver {
 public:
  ServerMetrics(std::string model_name, const MetricSizes& sizes);

  /// Facts known once the engine runs.
  void describe(const RunnerInfo& info, const EngineConfig& config);
  /// From now on a page has the experts' load, as `asked` (--expert-load-metrics), for a model that has some.
  void describe_experts(const ExpertLoad& load, const std::string& asked);

  void on_step(int32_t tokens, double seconds) override;
  void on_first_token(double seconds_since_arrival) override;
  void on_next_token(double seconds_since_last) override;
  void on_block_life(const BlockLifeEvent& event) override;
  void on_tenant_first_token(const std::string& tenant, double seconds_since_arrival) override;
  void on_finished(const Finished& finished) override;

  /// One answered HTTP request; from http's io threads.
  void on_http(const http::Exchanged& exchanged, bool known_path);

  /// A request turned away, by the code of its answer (server/service.h).
  void on_refused(std::string_view reason);
  void on_untrusted_tenant();

  /// From now on a page has this device's figures, if it has any.
  void watch_device(std::shared_ptr<Device> device) EXCLUDES(device_mutex_);
  void observe_experts(const ExpertLoad& load);
  /// A device's figures; those below 0 could not be read and are left out.
  void observe_device(const BackendFacts& facts, const BackendHealth& health);

  /// Prometheus text, with the engine's counts as they are now.
  std::string expose(const EngineStats& stats, bool up);

 private:
  void expose_cache(const EngineStats& stats);
  void expose_device() EXCLUDES(device_mutex_);
  void expose_tenants(const EngineStats& stats);
  void set_gauge(telemetry::Metric metric, double value);
  void raise_counter(telemetry::Metric metric, int64_t total);
  telemetry::Histogram& histogram(telemetry::Metric metric);

  const std::string model_name_;
  telemetry::Registry registry_;
  std::unique_ptr<ExpertMetrics> experts_;  // made before anybody can ask for a page
  Mutex device_mutex_;                      // one reader of a device at a time
  std::shared_ptr<Device> device_ GUARDED_BY(device_mutex_);
};

}  // namespace hadal
