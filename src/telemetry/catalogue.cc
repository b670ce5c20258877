#include "telemetry/catalogue.h"

#include <fmt/core.h>

namespace hadal::telemetry {
namespace {

// 1, 2, 5, 10, 20, 50 ... up to `max`, as vLLM builds them.
std::vector<double> one_two_five(int64_t max) {
  std::vector<double> bounds;
  for (int64_t decade = 1; decade <= max; decade *= 10) {
    for (int64_t mantissa : {1, 2, 5}) {
      if (mantissa * decade <= max) bounds.push_back(static_cast<double>(mantissa * decade));
    }
  }
  return bounds;
}

const char* type_name(MetricType type) {
  switch (type) {
    case MetricType::kCounter:
      return "counter";
    case MetricType::kGauge:
      return "gauge";
    case MetricType::kHistogram:
      return "histogram";
  }
  return "untyped";
}

}  // namespace

std::string MetricRow::exposed_name() const {
  return type == MetricType::kCounter ? std::string(name) + "_total" : name;
}

std::vector<std::string> MetricRow::label_names() const {
  std::vector<std::string> names;
  std::string_view rest = labels;
  while (!rest.empty()) {
    const size_t comma = rest.find(',');
    names.emplace_back(rest.substr(0, comma));
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
  }
  return names;
}

const std::vector<MetricRow>& metric_catalogue() {
  static const std::vector<MetricRow> rows = {
#define HADAL_METRIC_ROW(id, name, type, buckets, unit, labels, help) \
  {Metric::id, name, MetricType::type, Buckets::buckets, unit, labels, help},
      HADAL_METRICS(HADAL_METRIC_ROW)
#undef HADAL_METRIC_ROW
  };
  return rows;
}

const std::vector<LeftOutMetric>& left_out_metrics() {
  static const std::vector<LeftOutMetric> left_out = {
      {"vllm:gpu_cache_usage_perc", "the old name of `vllm:kv_cache_usage_perc`, which vLLM dropped"},
      {"vllm:lora_requests_info", "vLLM has it with LoRA only; there are no adapters here"},
      {"vllm:corrupted_requests",
       "vLLM has it with VLLM_COMPUTE_NANS_IN_LOGITS only; logits are not searched for NaN"},
      {"vllm:spec_decode_num_drafts", "vLLM has it with speculative decoding only, which is not there yet"},
      {"vllm:spec_decode_num_draft_tokens", "as above"},
      {"vllm:spec_decode_num_accepted_tokens", "as above"},
      {"vllm:spec_decode_num_accepted_tokens_per_pos", "as above"},
  };
  return left_out;
}

const MetricRow& metric_row(Metric metric) { return metric_catalogue()[static_cast<size_t>(metric)]; }

std::vector<double> bucket_bounds(Buckets buckets, int64_t max_model_len) {
  switch (buckets) {
    case Buckets::kNone:
      return {};
    case Buckets::kFirstToken:
      return {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1,  0.25,  0.5,   0.75,
              1.0,   2.5,   5.0,  7.5,  10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0};
    case Buckets::kInterToken:
      return {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2,  0.3,  0.4, 0.5,
              0.75, 1.0,   2.5,  5.0,   7.5, 10.0, 20.0, 40.0, 80.0};
    case Buckets::kRequest:
      return {0.3,  0.5,  0.8,  1.0,  1.5,   2.0,   2.5,   5.0,   10.0,   15.0,  20.0,
              30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0};
    case Buckets::kTokens:
      return one_two_five(max_model_len);
    case Buckets::kIteration:
      return {1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384};
    case Buckets::kChoices:
      return {1, 2, 5, 10, 20};
    case Buckets::kResidency:
      return {0.001, 0.002, 0.005, 0.01, 0.02, 0.05,  0.1,   0.2,   0.5,    1.0,    2.0,
              5.0,   10.0,  20.0,  30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0};
    case Buckets::kHttp:
      return {0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 300, 1800};
  }
  return {};
}

std::string metrics_markdown() {
  std::string page =
      "# Metrics\n\n"
      "What `/metrics` exposes, in Prometheus's text format. The `vllm:` names and buckets are vLLM's, so "
      "that dashboards and\n"
      "scalers made for it work; `hadal:` names are our own. `engine` is the engine's number, `model_name` "
      "the served name.\n"
      "Series with a `tenant` have at most 1,000 names; further tenants are `other`, requests without one "
      "`(default)`.\n\n"
      "This page is printed from the table in `src/telemetry/catalogue.h`; a test holds it to that.\n\n"
      "| name | type | unit | labels | meaning |\n| --- | --- | --- | --- | --- |\n";
  for (const MetricRow& row : metric_catalogue()) {
    page += fmt::format("| `{}` | {} | {} | {} | {} |\n", row.exposed_name(), type_name(row.type), row.unit,
                        row.labels, row.help);
  }
  page +=
      "\n## Not exported\n\n"
      "Names of vLLM's that do not apply to this engine.\n\n"
      "| name | why |\n| --- | --- |\n";
  for (const LeftOutMetric& metric : left_out_metrics())
    page += fmt::format("| `{}` | {} |\n", metric.name, metric.reason);
  return page;
}

}  // namespace hadal::telemetry
