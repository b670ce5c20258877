#include "lab/load_report.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "tensor/printable.h"

namespace hadal {
namespace {

/// The latencies of one answer, in milliseconds.
struct Latencies {
  double ttft = 0.0, e2el = 0.0;
  std::optional<double> tpot;
};

Latencies latencies_of(const RequestOutcome& outcome) {
  Latencies latencies;
  latencies.ttft = 1e3 * (outcome.token_s.front() - outcome.start_s);
  latencies.e2el = 1e3 * (outcome.token_s.back() - outcome.start_s);
  if (outcome.output_tokens > 1) {
    latencies.tpot = (latencies.e2el - latencies.ttft) / static_cast<double>(outcome.output_tokens - 1);
  }
  return latencies;
}

bool meets(const Latencies& latencies, const Objectives& objectives) {
  return latencies.ttft <= objectives.ttft.value_or(latencies.ttft) &&
         latencies.e2el <= objectives.e2el.value_or(latencies.e2el) &&
         latencies.tpot.value_or(0.0) <= objectives.tpot.value_or(latencies.tpot.value_or(0.0));
}

/// The most intervals that overlap. One that ends as another begins does not.
int64_t most_at_once(const std::vector<RequestOutcome>& outcomes) {
  std::vector<std::pair<double, int>> changes;
  for (const RequestOutcome& outcome : outcomes) {
    changes.emplace_back(outcome.start_s, 1);
    changes.emplace_back(outcome.end_s, -1);
  }
  std::sort(changes.begin(), changes.end());  // at equal times -1 comes first
  int64_t now = 0, most = 0;
  for (const auto& [time, change] : changes) most = std::max(most, now += change);
  return most;
}

using Row = std::pair<std::string, std::string>;
constexpr size_t kTableWidth = 56;

std::string section(std::string_view title, char fill) {
  const std::string text = title.empty() ? "" : fmt::format(" {} ", title);
  const size_t left = (kTableWidth - text.size()) / 2;
  return std::string(left, fill) + text + std::string(kTableWidth - text.size() - left, fill) + "\n";
}

std::string rows_of(const std::vector<Row>& rows) {
  std::string out;
  for (const auto& [name, value] : rows) out += fmt::format("{:<42}{:>14}\n", name, value);
  return out;
}

std::string with_digits(double value) { return fmt::format("{:.2f}", value); }

std::string latency_rows(const char* name, const Summary& summary) {
  return rows_of({{fmt::format("Mean {} (ms):", name), with_digits(summary.mean)},
                  {fmt::format("Median {} (ms):", name), with_digits(summary.p50)},
                  {fmt::format("P50 {} (ms):", name), with_digits(summary.p50)},
                  {fmt::format("P90 {} (ms):", name), with_digits(summary.p90)},
                  {fmt::format("P99 {} (ms):", name), with_digits(summary.p99)}});
}

std::string error_rows(const LoadReport& report) {
  std::string out;
  for (const auto& [kind, errors] : report.errors) {
    out += fmt::format("{:<42}{:>14}\n", kind + ":", errors.count);
    if (!errors.example.empty()) out += fmt::format("  first: {}\n", printable(errors.example, 300));
  }
  return out;
}

void add_latency(nlohmann::ordered_json& json, const std::string& name, const Summary& summary) {
  json["mean_" + name + "_ms"] = summary.mean;
  json["median_" + name + "_ms"] = summary.p50;
  json["std_" + name + "_ms"] = summary.deviation;
  json["p50_" + name + "_ms"] = summary.p50;
  json["p90_" + name + "_ms"] = summary.p90;
  json["p99_" + name + "_ms"] = summary.p99;
  json["max_" + name + "_ms"] = summary.max;
}

}  // namespace

StatusOr<Objectives> parse_objectives(const std::vector<std::string>& texts) {
  Objectives objectives;
  for (const std::string& text : texts) {
    const size_t colon = std::min(text.find(':'), text.size());
    const std::string name = text.substr(0, colon);
    std::optional<double>* target = name == "ttft"   ? &objectives.ttft
                                    : name == "tpot" ? &objectives.tpot
                                    : name == "e2el" ? &objectives.e2el
                                                     : nullptr;
    double value = 0.0;
    const char* begin = text.data() + std::min(colon + 1, text.size());
    const char* end = text.data() + text.size();
    const auto [stopped, error] = std::from_chars(begin, end, value);
    if (target == nullptr || error != std::errc{} || stopped != end || !(value >= 0.0)) {
      return invalid_argument("'{}' is no objective such as ttft:200, tpot:50 or e2el:10000 (milliseconds)",
                              text);
    }
    if (target->has_value()) return invalid_argument("the objective {} is given twice", name);
    *target = value;
  }
  return objectives;
}

LoadReport report_of(const LoadRun& run, const Objectives& objectives) {
  LoadReport report{.duration_s = run.duration_s};
  std::vector<double> ttft, tpot, itl, e2el;
  for (const RequestOutcome& outcome : run.outcomes) {
    report.latest_start_s = std::max(report.latest_start_s, outcome.start_s - outcome.planned_s);
    if (!outcome.error_kind.empty()) {
      ++report.failed;
      ErrorCount& errors = report.errors[outcome.error_kind];
      if (errors.count++ == 0) errors.example = outcome.error_text;
      continue;
    }
    ++report.completed;
    report.input_tokens += outcome.input_tokens;
    report.cached_tokens += outcome.cached_tokens;
    report.output_tokens += outcome.output_tokens;
    if (outcome.counted_by == CountedBy::kUsage) ++report.counted_by_usage;
    const Latencies latencies = latencies_of(outcome);
    ttft.push_back(latencies.ttft);
    e2el.push_back(latencies.e2el);
    if (latencies.tpot) tpot.push_back(*latencies.tpot);
    for (size_t i = 1; i < outcome.token_s.size(); ++i) {
      itl.push_back(1e3 * (outcome.token_s[i] - outcome.token_s[i - 1]));
    }
    if (meets(latencies, objectives)) ++report.good;
  }
  report.peak_concurrency = most_at_once(run.outcomes);
  report.ttft_ms = summarize(std::move(ttft));
  report.tpot_ms = summarize(std::move(tpot));
  report.itl_ms = summarize(std::move(itl));
  report.e2el_ms = summarize(std::move(e2el));
  const auto per_second = [&](int64_t count) {
    return run.duration_s > 0.0 ? static_cast<double>(count) / run.duration_s : 0.0;
  };
  report.request_rate = per_second(report.completed);
  report.output_rate = per_second(report.output_tokens);
  report.total_rate = per_second(report.input_tokens + report.output_tokens);
  report.goodput = per_second(report.good);
  return report;
}

std::string load_table(const LoadReport& report, const Objectives& objectives) {
  std::vector<Row> rows = {
      {"Successful requests:", std::to_string(report.completed)},
      {"Failed requests:", std::to_string(report.failed)},
      {"Benchmark duration (s):", with_digits(report.duration_s)},
      {"Total input tokens:", std::to_string(report.input_tokens)},
      {"  of these from the prefix cache:", std::to_string(report.cached_tokens)},
      {"Total generated tokens:", std::to_string(report.output_tokens)},
      {"Request throughput (req/s):", with_digits(report.request_rate)},
  };
  if (objectives.any()) rows.emplace_back("Request goodput (req/s):", with_digits(report.goodput));
  rows.insert(rows.end(), {{"Output token throughput (tok/s):", with_digits(report.output_rate)},
                           {"Total token throughput (tok/s):", with_digits(report.total_rate)},
                           {"Peak concurrent requests:", std::to_string(report.peak_concurrency)},
                           {"Latest start after its time (ms):", with_digits(1e3 * report.latest_start_s)}});
  std::string out = section("Serving Benchmark Result", '=') + rows_of(rows);
  out += section("Time to First Token", '-') + latency_rows("TTFT", report.ttft_ms);
  out += section("Time per Output Token (excl. 1st token)", '-') + latency_rows("TPOT", report.tpot_ms);
  out += section("Inter-token Latency", '-') + latency_rows("ITL", report.itl_ms);
  out += section("End-to-end Latency", '-') + latency_rows("E2EL", report.e2el_ms);
  if (!report.errors.empty()) out += section("Errors", '-') + error_rows(report);
  out += section("", '=');
  if (report.counted_by_usage < report.completed) {
    out +=
        fmt::format("The server gave no usage for {} requests; their tokens are counted from the stream.\n",
                    report.completed - report.counted_by_usage);
  }
  return out;
}

std::string load_json(const LoadReport& report, const Objectives& objectives) {
  nlohmann::ordered_json json;
  json["duration"] = report.duration_s;
  json["completed"] = report.completed;
  json["failed"] = report.failed;
  json["total_input_tokens"] = report.input_tokens;
  json["total_cached_tokens"] = report.cached_tokens;
  json["total_output_tokens"] = report.output_tokens;
  json["requests_counted_by_usage"] = report.counted_by_usage;
  json["request_throughput"] = report.request_rate;
  if (objectives.any()) {
    json["request_goodput"] = report.goodput;
    json["good_requests"] = report.good;
  }
  json["output_throughput"] = report.output_rate;
  json["total_token_throughput"] = report.total_rate;
  json["max_concurrent_requests"] = report.peak_concurrency;
  json["latest_start_ms"] = 1e3 * report.latest_start_s;
  add_latency(json, "ttft", report.ttft_ms);
  add_latency(json, "tpot", report.tpot_ms);
  add_latency(json, "itl", report.itl_ms);
  add_latency(json, "e2el", report.e2el_ms);
  json["errors"] = nlohmann::ordered_json::object();
  for (const auto& [kind, errors] : report.errors) {
    json["errors"][kind] = {{"count", errors.count}, {"first", errors.example}};
  }
  // a server's words may hold broken UTF-8
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace hadal
