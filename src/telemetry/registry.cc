#include "telemetry/registry.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

#include "base/check.h"

namespace hadal::telemetry {
namespace {

void append_value(double value, std::string* out) {
  if (std::isnan(value)) {
    *out += "NaN";
  } else if (std::isinf(value)) {
    *out += value > 0 ? "+Inf" : "-Inf";
  } else {
    char text[40];
    out->append(text, std::to_chars(text, text + sizeof text, value).ptr);
  }
}

void append_label_value(std::string_view value, std::string* out) {
  for (char c : value) {
    if (c == '\\') {
      *out += "\\\\";
    } else if (c == '"') {
      *out += "\\\"";
    } else if (c == '\n') {
      *out += "\\n";
    } else {
      out->push_back(c);
    }
  }
}

// name{labels,le="..."} value
void append_sample(std::string_view name, std::string_view suffix, std::string_view labels,
                   std::string_view le, double value, std::string* out) {
  *out += name;
  *out += suffix;
  if (!labels.empty() || !le.empty()) {
    out->push_back('{');
    *out += labels;
    if (!le.empty()) {
      if (!labels.empty()) out->push_back(',');
      *out += "le=\"";
      *out += le;
      out->push_back('"');
    }
    out->push_back('}');
  }
  out->push_back(' ');
  append_value(value, out);
  out->push_back('\n');
}

}  // namespace

void Counter::raise_to(double total) {
  double now = value_.load(std::memory_order_relaxed);
  while (now < total && !value_.compare_exchange_weak(now, total, std::memory_order_relaxed)) {
  }
}

Histogram::Histogram(std::vector<double> bounds)
    : bounds_(std::move(bounds)), counts_(new std::atomic<uint64_t>[bounds_.size() + 1]()) {}

void Histogram::observe(double value) {
  if (std::isnan(value)) return;
  const auto bucket = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
  counts_[static_cast<size_t>(bucket)].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(value, std::memory_order_relaxed);
}

std::vector<uint64_t> Histogram::counts() const {
  std::vector<uint64_t> counts(bounds_.size() + 1);
  for (size_t i = 0; i < counts.size(); ++i) counts[i] = counts_[i].load(std::memory_order_relaxed);
  return counts;
}

struct Registry::Series {
  std::string labels;  // model_name="demo",engine="0"
  Counter counter;
  Gauge gauge;
  std::unique_ptr<Histogram> histogram;
};

struct Registry::Family {
  const MetricRow* row = nullptr;
  std::vector<std::string> label_names;
  std::vector<double> bounds;
  Mutex mutex;
  size_t max_series GUARDED_BY(mutex) = 0;
  std::map<std::vector<std::string>, std::unique_ptr<Series>> series
      GUARDED_BY(mutex);  // ordered: a stable page

  void expose(std::string* out) EXCLUDES(mutex);
};

Registry::Registry(const RegistryOptions& options) {
  for (const MetricRow& row : metric_catalogue()) {
    auto family = std::make_unique<Family>();
    family->row = &row;
    family->label_names = row.label_names();
    family->bounds = bucket_bounds(row.buckets, options.max_model_len);
    {
      const MutexLock lock(family->mutex);
      family->max_series = options.max_series;
    }
    families_.push_back(std::move(family));
  }
}

Registry::~Registry() = default;

Registry::Series& Registry::series(Metric metric, Labels labels) {
  Family& family = *families_[static_cast<size_t>(metric)];
  CHECK_MSG(labels.size() == family.label_names.size(), family.row->name);
  std::vector<std::string> key(labels.begin(), labels.end());
  MutexLock lock(family.mutex);
  auto found = family.series.find(key);
  if (found != family.series.end()) return *found->second;
  if (family.series.size() >= family.max_series && !key.empty()) {
    key.assign(key.size(), "other");
    found = family.series.find(key);
    if (found != family.series.end()) return *found->second;
  }
  auto series = std::make_unique<Series>();
  for (size_t i = 0; i < key.size(); ++i) {
    if (i > 0) series->labels.push_back(',');
    series->labels += family.label_names[i] + "=\"";
    append_label_value(key[i], &series->labels);
    series->labels.push_back('"');
  }
  if (family.row->type == MetricType::kHistogram)
    series->histogram = std::make_unique<Histogram>(family.bounds);
  return *family.series.emplace(std::move(key), std::move(series)).first->second;
}

Counter& Registry::counter(Metric metric, Labels labels) {
  CHECK_MSG(metric_row(metric).type == MetricType::kCounter, metric_row(metric).name);
  return series(metric, labels).counter;
}

Gauge& Registry::gauge(Metric metric, Labels labels) {
  CHECK_MSG(metric_row(metric).type == MetricType::kGauge, metric_row(metric).name);
  return series(metric, labels).gauge;
}

Histogram& Registry::histogram(Metric metric, Labels labels) {
  CHECK_MSG(metric_row(metric).type == MetricType::kHistogram, metric_row(metric).name);
  return *series(metric, labels).histogram;
}

void Registry::allow_series(Metric metric, size_t max_series) {
  Family& family = *families_[static_cast<size_t>(metric)];
  const MutexLock lock(family.mutex);
  family.max_series = max_series;
}

void Registry::add_collector(std::function<void()> collector) {
  MutexLock lock(collect_mutex_);
  collectors_.push_back(std::move(collector));
}

std::string Registry::expose() {
  MutexLock lock(collect_mutex_);
  for (const auto& collector : collectors_) collector();
  std::string page;
  page.reserve(16 * 1024);
  for (const auto& family : families_) family->expose(&page);
  return page;
}

void Registry::Family::expose(std::string* out) {
  MutexLock lock(mutex);
  if (series.empty()) return;
  const std::string name = row->exposed_name();
  static constexpr const char* kTypes[] = {"counter", "gauge", "histogram"};
  *out += "# HELP " + name + " " + row->help + "\n# TYPE " + name + " " +
          kTypes[static_cast<size_t>(row->type)] + "\n";
  for (const auto& [key, one] : series) {
    switch (row->type) {
      case MetricType::kCounter:
        append_sample(name, "", one->labels, "", one->counter.value(), out);
        break;
      case MetricType::kGauge:
        append_sample(name, "", one->labels, "", one->gauge.value(), out);
        break;
      case MetricType::kHistogram: {
        const std::vector<uint64_t> counts = one->histogram->counts();
        uint64_t total = 0;
        for (size_t i = 0; i < counts.size(); ++i) {
          total += counts[i];
          std::string le = "+Inf";
          if (i < bounds.size()) {
            le = fmt::format("{}", bounds[i]);
            // prometheus_client writes bounds as Python floats ("1.0"); series keep their identity with
            // queries on le.
            if (le.find_first_of(".e") == std::string::npos) le += ".0";
          }
          append_sample(name, "_bucket", one->labels, le, static_cast<double>(total), out);
        }
        append_sample(name, "_sum", one->labels, "", one->histogram->sum(), out);
        append_sample(name, "_count", one->labels, "", static_cast<double>(total), out);
        break;
      }
    }
  }
}

}  // namespace hadal::telemetry
