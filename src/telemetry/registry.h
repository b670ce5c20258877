// The values behind the catalogue, and their exposition.
//
//   Registry registry({.max_model_len = 4096});
//   Counter& tokens = registry.counter(Metric::kGenerationTokens, {"demo", "0"});  // once, at start
//   tokens.add(1);                                                                 // any thread, lock-free
//   std::string page = registry.expose();                                          // for GET /metrics
//
// Threads: all. Looking a series up takes a mutex: keep the reference (valid as long as the registry) where
// it matters. Values are relaxed atomics; an exposition may see one counter of an event and not yet the next.
//
// A family holds at most `max_series` label combinations; further ones share a series whose labels are all
// "other", so that label values that come from outside cannot eat the memory.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "telemetry/catalogue.h"

namespace hadal::telemetry {

class Counter {
 public:
  void add(double amount) {
    if (amount > 0) value_.fetch_add(amount, std::memory_order_relaxed);
  }
  /// For a count that is kept elsewhere (EngineStats): takes the larger, so a counter never falls.
  void raise_to(double total);
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0.0};
};

class Gauge {
 public:
  void set(double value) { value_.store(value, std::memory_order_relaxed); }
  void add(double amount) { value_.fetch_add(amount, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0.0};
};

class Histogram {
 public:
  explicit Histogram(std::vector<double> bounds);
  /// NaN is dropped.
  void observe(double value);

  const std::vector<double>& bounds() const { return bounds_; }
  /// Observations per bucket, not cumulative; the last one is +Inf's.
  std::vector<uint64_t> counts() const;
  double sum() const { return sum_.load(std::memory_order_relaxed); }

 private:
  const std::vector<double> bounds_;
  std::unique_ptr<std::atomic<uint64_t>[]> counts_;
  std::atomic<double> sum_{0.0};
};

struct RegistryOptions {
  int64_t max_model_len = 131072;  // the last bucket of token counts
  size_t max_series = 1000;        // per metric
};

class Registry {
 public:
  explicit Registry(const RegistryOptions& options = {});
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  using Labels = std::initializer_list<std::string_view>;  // values, in the catalogue's order
  Counter& counter(Metric metric, Labels labels = {});
  Gauge& gauge(Metric metric, Labels labels = {});
  Histogram& histogram(Metric metric, Labels labels = {});

  /// Another bound of one metric's series, for labels that come from within. Before its first series.
  void allow_series(Metric metric, size_t max_series);

  /// Runs before every exposition, to set gauges from figures that live elsewhere. Serialised; must not call
  /// expose().
  void add_collector(std::function<void()> collector) EXCLUDES(collect_mutex_);

  /// Prometheus text format 0.0.4 of every metric that has a series.
  std::string expose() EXCLUDES(collect_mutex_);
  static constexpr const char* kContentType = "text/plain; version=0.0.4; charset=utf-8";

 private:
  struct Series;
  struct Family;
  Series& series(Metric metric, Labels labels);

  std::vector<std::unique_ptr<Family>> families_;  // one per row of the catalogue
  Mutex collect_mutex_;
  std::vector<std::function<void()>> collectors_ GUARDED_BY(collect_mutex_);
};

/// Registers the process_* metrics: CPU time, memory, descriptors, threads, read from /proc at each
/// exposition.
void add_process_collector(Registry& registry);

}  // namespace hadal::telemetry
