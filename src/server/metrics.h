// The server's figures: what the engine observes, under the names of the metric catalogue.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "engine/engine.h"
#include "http/server.h"
#include "telemetry/registry.h"

namespace hadal {

/// Threads: observations come from the engine's and http's threads, expose() from any.
class ServerMetrics final : public EngineObserver {
 public:
  /// `model_name` and `max_model_len` label and size the series.
  ServerMetrics(std::string model_name, int32_t max_model_len);

  /// Facts known once the engine runs.
  void describe(const RunnerInfo& info, const std::string& cache_dtype);

  void on_step(int32_t tokens, double seconds) override;
  void on_first_token(double seconds_since_arrival) override;
  void on_next_token(double seconds_since_last) override;
  void on_finished(const Finished& finished) override;

  /// One answered HTTP request; from http's io threads.
  void on_http(const http::Exchanged& exchanged, bool known_path);

  /// A request turned away before it was queued: "queue_full", "busy" or "draining".
  void on_refused(std::string_view reason);

  /// Prometheus text, with the engine's counts as they are now.
  std::string expose(const EngineStats& stats, bool up);

 private:
  telemetry::Histogram& histogram(telemetry::Metric metric);

  const std::string model_name_;
  telemetry::Registry registry_;
};

}  // namespace hadal
