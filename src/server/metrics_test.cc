// The exposition against the list of vLLM's names (specs/interfaces.md, section 4), both ways.
#include "server/metrics.h"

#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <set>
#include <sstream>

namespace hadal {
namespace {

struct Wanted {
  const char* name;
  const char* type;
  const char* label;       // beside model_name and engine
  const char* first = "";  // bucket bounds
  const char* last = "";
};

constexpr const char* kGauge = "gauge";
constexpr const char* kCounter = "counter";
constexpr const char* kHistogram = "histogram";

constexpr Wanted kWanted[] = {
    {"vllm:num_requests_running", kGauge, ""},
    {"vllm:num_requests_waiting", kGauge, ""},
    {"vllm:kv_cache_usage_perc", kGauge, ""},
    {"vllm:engine_sleep_state", kGauge, "sleep_state"},
    {"vllm:cache_config_info", kGauge, "block_size"},
    {"vllm:prompt_tokens_total", kCounter, ""},
    {"vllm:generation_tokens_total", kCounter, ""},
    {"vllm:prompt_tokens_by_source_total", kCounter, "source"},
    {"vllm:prompt_tokens_cached_total", kCounter, ""},
    {"vllm:prompt_tokens_recomputed_total", kCounter, ""},
    {"vllm:request_success_total", kCounter, "finished_reason"},
    {"vllm:num_preemptions_total", kCounter, ""},
    {"vllm:prefix_cache_queries_total", kCounter, ""},
    {"vllm:prefix_cache_hits_total", kCounter, ""},
    {"vllm:external_prefix_cache_queries_total", kCounter, ""},
    {"vllm:external_prefix_cache_hits_total", kCounter, ""},
    {"vllm:mm_cache_queries_total", kCounter, ""},
    {"vllm:mm_cache_hits_total", kCounter, ""},
    {"vllm:admission_rejections_total", kCounter, "reason"},
    {"vllm:time_to_first_token_seconds", kHistogram, "", "0.001", "2560.0"},
    {"vllm:inter_token_latency_seconds", kHistogram, "", "0.01", "80.0"},
    {"vllm:request_time_per_output_token_seconds", kHistogram, "", "0.01", "80.0"},
    {"vllm:e2e_request_latency_seconds", kHistogram, "", "0.3", "7680.0"},
    {"vllm:request_queue_time_seconds", kHistogram, "", "0.3", "7680.0"},
    {"vllm:request_inference_time_seconds", kHistogram, "", "0.3", "7680.0"},
    {"vllm:request_prefill_time_seconds", kHistogram, "", "0.3", "7680.0"},
    {"vllm:request_decode_time_seconds", kHistogram, "", "0.3", "7680.0"},
    {"vllm:kv_block_lifetime_seconds", kHistogram, "", "0.001", "3600.0"},
    {"vllm:kv_block_idle_before_evict_seconds", kHistogram, "", "0.001", "3600.0"},
    {"vllm:kv_block_reuse_gap_seconds", kHistogram, "", "0.001", "3600.0"},
    {"vllm:request_prompt_tokens", kHistogram, "", "1.0", "2000.0"},
    {"vllm:request_generation_tokens", kHistogram, "", "1.0", "2000.0"},
    {"vllm:iteration_tokens_total", kHistogram, "", "1.0", "16384.0"},
    {"vllm:request_max_num_generation_tokens", kHistogram, "", "1.0", "2000.0"},
    {"vllm:request_params_n", kHistogram, "", "1.0", "20.0"},
    {"vllm:request_params_max_tokens", kHistogram, "", "1.0", "2000.0"},
    {"vllm:request_prefill_kv_computed_tokens", kHistogram, "", "1.0", "2000.0"},
};

/// Only with --kv-cache-metrics.
bool of_block_lives(std::string_view name) { return name.rfind("vllm:kv_block_", 0) == 0; }

ServerMetrics metrics_for(bool cache_metrics) {
  return ServerMetrics("demo", MetricSizes{.max_model_len = 4096, .cache_metrics = cache_metrics});
}

RunnerInfo runner_info() {
  RunnerInfo info;
  info.groups = {{.name = "all", .block_tokens = 64, .num_blocks = 129, .window = 0}};
  return info;
}

std::map<std::string, std::string> types_of(const std::string& page) {
  std::map<std::string, std::string> types;
  std::istringstream lines(page);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string hash, kind, name, type;
    words >> hash >> kind >> name >> type;
    if (hash == "#" && kind == "TYPE") types[name] = type;
  }
  return types;
}

std::vector<std::string> samples_of(const std::string& page, const std::string& name) {
  std::vector<std::string> samples;
  std::istringstream lines(page);
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind(name, 0) == 0) samples.push_back(line);
  }
  return samples;
}

double value_of(const std::string& page, const std::string& series) {
  for (const std::string& line : samples_of(page, series + " "))
    return std::stod(line.substr(series.size() + 1));
  ADD_FAILURE() << "no series " << series;
  return -1;
}

TEST(ServerMetrics, ExposesEveryNameOfVllmsThatApplies) {
  ServerMetrics metrics = metrics_for(true);
  metrics.describe(runner_info(), EngineConfig());
  const std::string page = metrics.expose(EngineStats(), true);
  const auto types = types_of(page);
  for (const Wanted& wanted : kWanted) {
    ASSERT_TRUE(types.count(wanted.name)) << wanted.name;
    EXPECT_EQ(types.at(wanted.name), wanted.type) << wanted.name;
    const auto samples = samples_of(page, wanted.name);
    ASSERT_FALSE(samples.empty()) << wanted.name;
    const std::string& first = samples.front();
    EXPECT_NE(first.find("engine=\"0\""), std::string::npos) << first;
    if (std::string_view(wanted.name) != "vllm:cache_config_info") {
      EXPECT_NE(first.find("model_name=\"demo\""), std::string::npos) << first;
    }
    if (*wanted.label != '\0') {
      EXPECT_NE(first.find(fmt::format("{}=\"", wanted.label)), std::string::npos) << first;
    }
    if (std::string_view(wanted.type) != kHistogram) continue;
    EXPECT_NE(first.find(fmt::format("le=\"{}\"", wanted.first)), std::string::npos) << first;
    const std::string bounds = page.substr(page.find(std::string(wanted.name) + "_bucket"));
    const size_t infinite = bounds.find("le=\"+Inf\"");
    const size_t last = bounds.rfind("le=\"", infinite - 1);
    EXPECT_EQ(bounds.substr(last, bounds.find('"', last + 4) - last + 1),
              fmt::format("le=\"{}\"", wanted.last))
        << wanted.name;
  }
}

TEST(ServerMetrics, AGpusFiguresAreThoseThatCouldBeRead) {
  ServerMetrics metrics = metrics_for(true);
  EXPECT_TRUE(samples_of(metrics.expose(EngineStats(), true), "hadal:gpu_").empty());
  BackendFacts facts{.name = "cuda:0", .total_bytes = 1000, .free_bytes = 250};
  metrics.observe_device(facts, {.power_watts = 310.5,
                                 .temperature_celsius = -1,
                                 .compute_utilization = 0.5,
                                 .memory_utilization = 0,
                                 .ecc_uncorrected = 2,
                                 .last_xid = 79});
  const std::string page = metrics.expose(EngineStats(), true);
  EXPECT_EQ(value_of(page, R"(hadal:gpu_power_watts{device="cuda:0"})"), 310.5);
  EXPECT_EQ(value_of(page, R"(hadal:gpu_memory_utilization{device="cuda:0"})"), 0);
  EXPECT_EQ(value_of(page, R"(hadal:gpu_memory_free_bytes{device="cuda:0"})"), 250);
  EXPECT_EQ(value_of(page, R"(hadal:gpu_ecc_uncorrected_total{device="cuda:0"})"), 2);
  EXPECT_EQ(value_of(page, R"(hadal:gpu_last_xid{device="cuda:0"})"), 79);
  EXPECT_TRUE(samples_of(page, "hadal:gpu_temperature_celsius{").empty());
}

TEST(ServerMetrics, ExposesNoOtherNameOfVllms) {
  ServerMetrics metrics = metrics_for(true);
  metrics.describe(runner_info(), EngineConfig());
  std::set<std::string> wanted;
  for (const Wanted& row : kWanted) wanted.insert(row.name);
  for (const auto& [name, type] : types_of(metrics.expose(EngineStats(), true))) {
    if (name.rfind("vllm:", 0) == 0) {
      EXPECT_TRUE(wanted.count(name)) << name;
    }
  }
  for (const auto& left_out : telemetry::left_out_metrics()) {
    EXPECT_FALSE(wanted.count(left_out.name)) << left_out.name;
    EXPECT_STRNE(left_out.reason, "");
  }
}

TEST(ServerMetrics, BlockLivesAreThereOnlyWhenAskedFor) {
  const auto types = types_of(metrics_for(false).expose(EngineStats(), true));
  for (const Wanted& wanted : kWanted) {
    const bool described = std::string_view(wanted.name) == "vllm:cache_config_info";
    EXPECT_EQ(types.count(wanted.name), of_block_lives(wanted.name) || described ? 0u : 1u) << wanted.name;
  }
}

TEST(ServerMetrics, TheCachesConfigurationIsReal) {
  ServerMetrics metrics = metrics_for(false);
  EngineConfig config;
  config.kv_cache_dtype = "fp8";
  config.enable_prefix_caching = false;
  config.gpu_memory_utilization = 0.5;
  metrics.describe(runner_info(), config);
  EXPECT_NE(
      metrics.expose(EngineStats(), true)
          .find(
              "vllm:cache_config_info{block_size=\"64\",cache_dtype=\"fp8\",enable_prefix_caching=\"False\","
              "gpu_memory_utilization=\"0.5\",kv_cache_memory_bytes=\"None\",num_gpu_blocks=\"129\","
              "num_gpu_blocks_override=\"None\",engine=\"0\"} 1\n"),
      std::string::npos);
}

TEST(ServerMetrics, TheEnginesFiguresArriveUnderTheirNames) {
  ServerMetrics metrics = metrics_for(true);
  EngineStats stats;
  stats.running = 3;
  stats.blocks_total = 100;
  stats.blocks_used = 20;
  stats.blocks_free = 50;
  stats.blocks_cached = 30;
  stats.blocks_pinned = 4;
  stats.held_places = 1280;
  stats.used_places = 1216;
  stats.prompt_tokens = 500;
  stats.prompt_tokens_cached = 200;
  stats.prompt_tokens_recomputed = 7;
  stats.prefix_queries = 510;
  stats.prefix_hits = 200;
  metrics.on_block_life({BlockLifeEvent::Kind::kReuseGap, 0.5});
  const std::string page = metrics.expose(stats, true);
  const auto value = [&](std::string name, const std::string& label = "") {
    return value_of(page, name + "{" + label + "model_name=\"demo\",engine=\"0\"}");
  };
  EXPECT_EQ(value("vllm:kv_cache_usage_perc"), 0.2);
  EXPECT_EQ(value("hadal:kv_blocks", "state=\"free\","), 50);
  EXPECT_EQ(value("hadal:kv_blocks", "state=\"cached\","), 30);
  EXPECT_EQ(value("hadal:kv_blocks", "state=\"used\","), 20);
  EXPECT_EQ(value("hadal:kv_blocks", "state=\"pinned\","), 4);
  EXPECT_EQ(value("hadal:kv_place_utilization"), 0.95);
  EXPECT_EQ(value("vllm:prompt_tokens_by_source_total", "source=\"local_compute\","), 300);
  EXPECT_EQ(value("vllm:prompt_tokens_by_source_total", "source=\"local_cache_hit\","), 200);
  EXPECT_EQ(value("vllm:prompt_tokens_cached_total"), 200);
  EXPECT_EQ(value("vllm:prompt_tokens_recomputed_total"), 7);
  EXPECT_EQ(value("vllm:prefix_cache_queries_total"), 510);
  EXPECT_EQ(value("vllm:prefix_cache_hits_total"), 200);
  EXPECT_EQ(value("vllm:engine_sleep_state", "sleep_state=\"awake\","), 1);
  EXPECT_EQ(value("vllm:kv_block_reuse_gap_seconds_count"), 1);
}

TEST(ServerMetrics, TenantsAreApartAndTheirNamesAreEscaped) {
  ServerMetrics metrics = metrics_for(false);
  EngineStats stats;
  for (const char* name : {"", "search", "a\"b"}) {
    TenantStats tenant;
    tenant.name = name;
    tenant.running = static_cast<int64_t>(std::string_view(name).size());
    tenant.blocks_held = 2;
    tenant.blocks_cached = 5;
    tenant.generation_tokens = 11;
    tenant.counter = 2.5;
    stats.tenants.push_back(tenant);
    metrics.on_tenant_first_token(name, 0.02);
  }
  const std::string page = metrics.expose(stats, true);
  EXPECT_EQ(value_of(page, "hadal:tenant_running{tenant=\"search\"}"), 6);
  EXPECT_EQ(value_of(page, "hadal:tenant_running{tenant=\"(default)\"}"), 0);
  EXPECT_EQ(value_of(page, "hadal:tenant_running{tenant=\"a\\\"b\"}"), 3);
  EXPECT_EQ(value_of(page, "hadal:tenant_kv_blocks{state=\"cached\",tenant=\"search\"}"), 5);
  EXPECT_EQ(value_of(page, "hadal:tenant_virtual_tokens{tenant=\"search\"}"), 2.5);
  EXPECT_EQ(value_of(page, "hadal:tenant_generation_tokens_total{tenant=\"search\"}"), 11);
  EXPECT_EQ(value_of(page, "hadal:tenant_time_to_first_token_seconds_count{tenant=\"search\"}"), 1);
}

ExpertLoad load_of(int32_t experts, std::vector<int32_t> layers) {
  ExpertLoad load{.experts = experts, .layers = std::move(layers)};
  load.chosen.resize(load.layers.size() * static_cast<size_t>(experts));
  load.active.resize(load.layers.size());
  load.imbalance.resize(load.layers.size());
  return load;
}

TEST(ServerMetrics, ExpertsLoadIsThereByLayerAndExpert) {
  ServerMetrics metrics = metrics_for(false);
  ExpertLoad load = load_of(3, {1, 2});
  metrics.describe_experts(load, "auto");
  EXPECT_EQ(value_of(metrics.expose(EngineStats(), true),
                     R"(hadal:expert_tokens_total{layer="2",expert="0",model_name="demo",engine="0"})"),
            0)
      << "zeros from the start";
  load.chosen = {5, 0, 1, 2, 4, 0};
  load.sampled_steps = 4;
  load.active = {7, 8};
  load.imbalance = {2.5, 2};
  metrics.observe_experts(load);
  const std::string page = metrics.expose(EngineStats(), true);
  const auto value = [&](const std::string& name, const std::string& labels) {
    return value_of(page, name + "{" + labels + R"(model_name="demo",engine="0"})");
  };
  EXPECT_EQ(value("hadal:expert_tokens_total", R"(layer="1",expert="0",)"), 5);
  EXPECT_EQ(value("hadal:expert_tokens_total", R"(layer="2",expert="1",)"), 4);
  EXPECT_EQ(value("hadal:expert_layer_tokens_total", R"(layer="1",)"), 6);
  EXPECT_EQ(value("hadal:experts_active_total", R"(layer="2",)"), 8);
  EXPECT_EQ(value("hadal:expert_imbalance", R"(layer="1",)"), 2.5);
  EXPECT_EQ(value("hadal:expert_sampled_steps_total", ""), 4);
  EXPECT_EQ(value("hadal:experts", ""), 3);
}

TEST(ServerMetrics, ExpertsLoadIsAsDetailedAsAskedFor) {
  const auto pages = [](const ExpertLoad& load, const char* asked) {
    ServerMetrics metrics = metrics_for(false);
    metrics.describe_experts(load, asked);
    metrics.observe_experts(load);
    const std::string page = metrics.expose(EngineStats(), true);
    return std::pair(samples_of(page, "hadal:expert_tokens_total{").size(),
                     samples_of(page, "hadal:expert_layer_tokens_total{").size());
  };
  std::vector<int32_t> v3(58);
  std::iota(v3.begin(), v3.end(), 3);
  const ExpertLoad large = load_of(256, v3), small = load_of(64, {1, 2});
  EXPECT_EQ(pages(small, "auto"), std::pair(size_t{128}, size_t{2}));
  EXPECT_EQ(pages(large, "auto"), std::pair(size_t{0}, size_t{58}));
  EXPECT_EQ(pages(large, "experts"), std::pair(size_t{58 * 256}, size_t{58})) << "none is folded away";
  EXPECT_EQ(pages(small, "layers"), std::pair(size_t{0}, size_t{2}));
  EXPECT_EQ(pages(small, "off"), std::pair(size_t{0}, size_t{0}));
  EXPECT_EQ(pages(ExpertLoad(), "experts"), std::pair(size_t{0}, size_t{0})) << "a model without experts";
}

// Bug: each method that a client made up was a series of its own, until there was no room for real ones.
TEST(ServerMetrics, MadeUpMethodsShareASeries) {
  ServerMetrics metrics = metrics_for(false);
  for (int i = 0; i < 1000; ++i) {
    const std::string method = "BREW" + std::to_string(i);
    metrics.on_http({.method = method, .path = "/health", .status = 405}, /*known_path=*/true);
  }
  metrics.on_http({.method = "GET", .path = "/health", .status = 200}, /*known_path=*/true);
  const std::string page = metrics.expose(EngineStats(), true);
  EXPECT_EQ(page.find("BREW"), std::string::npos);
  EXPECT_EQ(value_of(page, "hadal:http_requests_total{method=\"other\",path=\"/health\",status=\"405\"}"), 1000);
  EXPECT_EQ(value_of(page, "hadal:http_requests_total{method=\"GET\",path=\"/health\",status=\"200\"}"), 1);
}

TEST(ServerMetrics, TenantsLabelsAreBounded) {
  ServerMetrics metrics = metrics_for(false);
  for (int name = 0; name < 20'000; ++name) metrics.on_tenant_first_token(fmt::format("t{}", name), 0.1);
  const std::string page = metrics.expose(EngineStats(), true);
  const auto series = samples_of(page, "hadal:tenant_time_to_first_token_seconds_count");
  EXPECT_LE(series.size(), 2u * TenantTable::kMaxTenants + 5);
  EXPECT_EQ(value_of(page, "hadal:tenant_time_to_first_token_seconds_count{tenant=\"other\"}"),
            20'000.0 - static_cast<double>(series.size() - 1));
}

}  // namespace
}  // namespace hadal
