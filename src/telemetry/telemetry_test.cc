#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <thread>

#include "base/files.h"
#include "telemetry/registry.h"

namespace hadal::telemetry {
namespace {

struct Sample {
  std::string name, labels;
  double value = 0;
};
struct ParsedFamily {
  std::string type, help;
  std::vector<Sample> samples;
};

// A strict reader of the text format 0.0.4, written against its definition and not against the writer.
std::map<std::string, ParsedFamily> parse(const std::string& page) {
  static const std::regex kSample(
      R"(^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*)\})? ([^ ]+)$)");
  std::map<std::string, ParsedFamily> families;
  std::istringstream lines(page);
  std::string line, current;
  EXPECT_FALSE(page.empty());
  EXPECT_EQ(page.back(), '\n');
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string hash, kind, name;
    if (line.rfind("# HELP ", 0) == 0) {
      words >> hash >> kind >> name;
      EXPECT_TRUE(families.find(name) == families.end()) << "HELP twice: " << name;
      families[name].help = line.substr(line.find(name) + name.size());
      current = name;
    } else if (line.rfind("# TYPE ", 0) == 0) {
      words >> hash >> kind >> name >> families[name].type;
      EXPECT_EQ(name, current);
    } else {
      std::smatch match;
      if (!std::regex_match(line, match, kSample)) {
        ADD_FAILURE() << "not a sample: " << line;
        continue;
      }
      name = match[1];
      const std::string suffix = name.size() >= current.size() ? name.substr(current.size()) : "?";
      const bool histogram = families[current].type == "histogram";
      EXPECT_EQ(name.substr(0, current.size()), current) << "samples of a family must stay together";
      EXPECT_TRUE(histogram ? suffix == "_bucket" || suffix == "_sum" || suffix == "_count" : suffix.empty()) << line;
      families[current].samples.push_back({name, match[3], std::stod(match[4])});
    }
  }
  return families;
}

TEST(Catalogue, RowsAreWellFormed) {
  static const std::regex kName("[a-zA-Z_:][a-zA-Z0-9_:]*");
  static const std::regex kLabel("[a-zA-Z_][a-zA-Z0-9_]*");
  std::set<std::string> seen;
  size_t index = 0;
  for (const MetricRow& row : metric_catalogue()) {
    EXPECT_EQ(static_cast<size_t>(row.id), index++);
    EXPECT_TRUE(std::regex_match(row.name, kName)) << row.name;
    EXPECT_TRUE(seen.insert(row.exposed_name()).second) << row.name;
    EXPECT_NE(std::string(row.help), "");
    EXPECT_EQ(std::string(row.help).find('\n'), std::string::npos);
    EXPECT_EQ(row.buckets == Buckets::kNone, row.type != MetricType::kHistogram) << row.name;
    for (const std::string& label : row.label_names()) EXPECT_TRUE(std::regex_match(label, kLabel)) << row.name;
    const auto bounds = bucket_bounds(row.buckets, 4096);
    for (size_t i = 1; i < bounds.size(); ++i) EXPECT_LT(bounds[i - 1], bounds[i]) << row.name;
  }
  EXPECT_EQ(bucket_bounds(Buckets::kTokens, 128), (std::vector<double>{1, 2, 5, 10, 20, 50, 100}));
}

TEST(Catalogue, HasVllmsNames) {
  std::set<std::string> names;
  for (const MetricRow& row : metric_catalogue()) names.insert(row.exposed_name());
  for (const char* name :
       {"vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc", "vllm:cache_config_info",
        "vllm:prompt_tokens_total", "vllm:generation_tokens_total", "vllm:request_success_total", "vllm:num_preemptions_total",
        "vllm:prefix_cache_queries_total", "vllm:prefix_cache_hits_total", "vllm:time_to_first_token_seconds",
        "vllm:inter_token_latency_seconds", "vllm:e2e_request_latency_seconds", "vllm:request_queue_time_seconds",
        "vllm:request_inference_time_seconds", "vllm:request_prefill_time_seconds", "vllm:request_decode_time_seconds",
        "vllm:request_prompt_tokens", "vllm:request_generation_tokens", "vllm:iteration_tokens_total",
        "vllm:request_params_n", "vllm:request_params_max_tokens"}) {
    EXPECT_TRUE(names.count(name)) << name;
  }
}

TEST(Exposition, IsValidAndComplete) {
  Registry registry({.max_model_len = 100});
  registry.counter(Metric::kPromptTokens, {"a \"model\"\\\n", "0"}).add(12);
  registry.gauge(Metric::kKvCacheUsage, {"m", "0"}).set(0.25);
  registry.gauge(Metric::kNumRequestsRunning, {"m", "0"}).set(NAN);
  Histogram& first = registry.histogram(Metric::kTimeToFirstToken, {"m", "0"});
  for (double seconds : {0.0005, 0.001, 0.0011, 3000.0, double(NAN)}) first.observe(seconds);
  registry.histogram(Metric::kRequestPromptTokens, {"m", "0"}).observe(7);
  int collected = 0;
  registry.add_collector([&] { registry.gauge(Metric::kProcessThreads).set(++collected); });
  add_process_collector(registry);

  const std::string page = registry.expose();
  EXPECT_NE(page.find(R"(vllm:prompt_tokens_total{model_name="a \"model\"\\\n",engine="0"} 12)" "\n"), std::string::npos);
  EXPECT_NE(page.find("process_threads 1\n"), std::string::npos);
  const auto families = parse(page);
  const auto& histogram = families.at("vllm:time_to_first_token_seconds");
  EXPECT_EQ(histogram.type, "histogram");
  std::map<std::string, double> buckets;
  for (const Sample& sample : histogram.samples) {
    if (sample.name.find("_bucket") != std::string::npos) buckets[sample.labels.substr(sample.labels.find("le="))] = sample.value;
    if (sample.name.find("_sum") != std::string::npos) {
      EXPECT_NEAR(sample.value, 3000.0026, 1e-9);
    }
    if (sample.name.find("_count") != std::string::npos) {
      EXPECT_EQ(sample.value, 4);
    }
  }
  EXPECT_EQ(buckets.size(), 23u);
  EXPECT_EQ(buckets.at("le=\"0.001\""), 2) << "a bound belongs to its bucket";
  EXPECT_EQ(buckets.at("le=\"0.005\""), 3);
  EXPECT_EQ(buckets.at("le=\"1.0\""), 3);
  EXPECT_EQ(buckets.at("le=\"2560.0\""), 3);
  EXPECT_EQ(buckets.at("le=\"+Inf\""), 4);
  Registry large({.max_model_len = 1'000'000});
  large.histogram(Metric::kRequestPromptTokens, {"m", "0"}).observe(1);
  EXPECT_NE(large.expose().find("le=\"100000.0\""), std::string::npos) << "as Python writes it";
  EXPECT_EQ(families.at("vllm:prompt_tokens_total").type, "counter");
  EXPECT_GT(families.at("process_resident_memory_bytes").samples.at(0).value, 1e6);
  EXPECT_GT(families.at("process_start_time_seconds").samples.at(0).value, 1.6e9);
  EXPECT_GE(families.at("process_open_fds").samples.at(0).value, 3);
  EXPECT_EQ(families.count("vllm:generation_tokens_total"), 0u) << "no series, no family";
}

TEST(Registry, SeriesAreBoundedAndTheRestIsFolded) {
  Registry registry({.max_series = 10});
  for (int i = 0; i < 1000; ++i) {
    const std::string path = "/" + std::to_string(i);
    registry.counter(Metric::kHttpRequests, {"GET", path, "200"}).add(1);
  }
  const auto families = parse(registry.expose());
  const auto& samples = families.at("hadal:http_requests_total").samples;
  EXPECT_EQ(samples.size(), 11u);
  double total = 0;
  for (const Sample& sample : samples) total += sample.value;
  EXPECT_EQ(total, 1000);
  EXPECT_EQ(registry.counter(Metric::kHttpRequests, {"x", "y", "z"}).value(), 990);
}

TEST(Registry, ManyThreadsLoseNothing) {
  Registry registry;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&registry, t] {
      for (int i = 0; i < 5000; ++i) {
        registry.counter(Metric::kGenerationTokens, {"m", "0"}).add(1);
        registry.histogram(Metric::kInterTokenLatency, {"m", std::to_string(t)}).observe(0.02);
        registry.gauge(Metric::kProcessThreads).add(i % 2 == 0 ? 1 : -1);
        registry.counter(Metric::kProcessCpuSeconds).raise_to(i);
        if (i % 1000 == 0) registry.expose();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(registry.counter(Metric::kGenerationTokens, {"m", "0"}).value(), 20000);
  EXPECT_EQ(registry.gauge(Metric::kProcessThreads).value(), 0);
  EXPECT_EQ(registry.counter(Metric::kProcessCpuSeconds).value(), 4999);
  EXPECT_EQ(registry.histogram(Metric::kInterTokenLatency, {"m", "3"}).counts()[1], 5000u);
  registry.counter(Metric::kGenerationTokens, {"m", "0"}).add(-5);
  EXPECT_EQ(registry.counter(Metric::kGenerationTokens, {"m", "0"}).value(), 20000) << "a counter never falls";
}

TEST(Catalogue, IsTheDocumentedOne) {
  const std::string path = std::string(HADAL_SOURCE_DIR) + "/docs/metrics.md";
  if (std::getenv("HADAL_UPDATE_DOCS") != nullptr) {
    ASSERT_TRUE(write_file(path, metrics_markdown()).ok());
  }
  const auto page = read_file(path);
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_EQ(*page, metrics_markdown()) << "run this test with HADAL_UPDATE_DOCS=1 and commit the page";
}

}  // namespace
}  // namespace hadal::telemetry
