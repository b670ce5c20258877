// What a server logs of its traffic, and what it does not.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "base/log.h"
#include "http/client.h"
#include "http/testing.h"
#include "server/access_log.h"
#include "server/api_server.h"
#include "server/fake_engine.h"
#include "server/stats_log.h"

namespace hadal {
namespace {

using http::testing::eventually;
using nlohmann::json;

/// What standard error gets while this lives, as JSON lines.
class Captured {
 public:
  Captured() {
    set_log_level(LogLevel::kInfo);
    set_log_format(LogFormat::kJson);
    testing::internal::CaptureStderr();
  }
  ~Captured() { end(); }
  /// The lines of one event.
  std::vector<json> take(const std::string& event) {
    end();
    std::vector<json> lines;
    std::istringstream all(text_);
    for (std::string line; std::getline(all, line);) {
      json one = json::parse(line);
      if (one["event"] == event) lines.push_back(std::move(one));
    }
    return lines;
  }
  const std::string& text() const { return text_; }

 private:
  void end() {
    if (std::exchange(over_, true)) return;
    text_ = testing::internal::GetCapturedStderr();
    set_log_format(LogFormat::kText);
    set_log_level(LogLevel::kOff);
  }
  std::string text_;
  bool over_ = false;
};

TEST(AccessLog, OneLineARequestInWhateverBytes) {
  set_log_level(LogLevel::kInfo);
  testing::internal::CaptureStderr();
  const http::PeerInfo four{.address = "10.0.0.1", .port = 5}, six{.address = "::1", .port = 6},
      local{.address = "unix", .is_unix_socket = true};
  const AccessLog log("/health, /metrics,,");
  log.on_http(
      {.method = "GET", .path = "/v1/models", .status = 200, .seconds = 0.25, .peer = &four, .label = "abc"});
  log.on_http({.method = "POST",
               .path = "/a\n\"b\xFF",
               .status = 0,
               .client_gone = true,
               .peer = &six,
               .label = "x"});
  log.on_http({.method = "", .path = "", .status = 400, .peer = &local});
  for (const char* path : {"/health", "/metrics"})
    log.on_http({.method = "GET", .path = path, .status = 200});
  log.on_http({.method = "GET", .path = "/health/", .status = 404});
  const std::string said = testing::internal::GetCapturedStderr();
  set_log_level(LogLevel::kOff);
  std::vector<std::string> lines;
  std::istringstream all(said);
  for (std::string line; std::getline(all, line);) lines.push_back(line.substr(line.find(" I ") + 3));
  EXPECT_EQ(lines, (std::vector<std::string>{
                       R"(10.0.0.1:5 - "GET /v1/models" 200 0.250s abc)",
                       R"([::1]:6 - "POST /a\x0a\x22b\xff" 499 0.000s x (client left))",
                       R"(unix - "- -" 400 0.000s -)",
                       R"(- - "GET /health/" 404 0.000s -)",
                   }));
}

TEST(AccessLog, IsTheSameKeysAsJson) {
  Captured captured;
  const http::PeerInfo peer{.address = "10.0.0.1", .port = 5};
  AccessLog("").on_http({.method = "GET",
                         .path = "/a\xFF",
                         .status = 200,
                         .bytes_sent = 7,
                         .seconds = 0.25,
                         .client_gone = true,
                         .peer = &peer,
                         .label = "abc"});
  const std::vector<json> lines = captured.take("access");
  ASSERT_EQ(lines.size(), 1u);
  json line = lines.front();
  line.erase("time");
  line.erase("message");
  EXPECT_EQ(line, (json{{"level", "info"},
                        {"event", "access"},
                        {"client", "10.0.0.1:5"},
                        {"method", "GET"},
                        {"path", "/a\uFFFD"},
                        {"status", 200},
                        {"seconds", 0.25},
                        {"bytes", 7},
                        {"client_gone", true},
                        {"request_id", "abc"}}));
}

TEST(StatsLog, TellsWhatChangedAndIsSilentWhenIdleTwice) {
  const MonotonicTime start{};
  const auto after = [&](int seconds) { return start + std::chrono::seconds(seconds); };
  EngineStats stats;
  stats.blocks_total = 100;
  StatsLog log(stats, start);
  EXPECT_FALSE(log.next(stats, after(10))) << "idle from the beginning";
  stats.prompt_tokens = 300;
  stats.prompt_tokens_cached = 100;
  stats.generation_tokens = 50;
  stats.running = 2;
  stats.waiting = 1;
  stats.blocks_used = 25;
  stats.prefix_queries = 300;
  stats.prefix_hits = 100;
  const auto line = log.next(stats, after(20));
  ASSERT_TRUE(line);
  EXPECT_DOUBLE_EQ(line->prompt_tokens_per_second, 20);
  EXPECT_DOUBLE_EQ(line->generation_tokens_per_second, 5);
  EXPECT_EQ(line->running, 2);
  EXPECT_EQ(line->waiting, 1);
  EXPECT_DOUBLE_EQ(line->kv_cache_usage, 0.25);
  EXPECT_DOUBLE_EQ(line->prefix_cache_hit_rate, 1.0 / 3);
  EXPECT_TRUE(log.next(stats, after(30))) << "what runs and makes nothing is news";
  stats.running = stats.waiting = 0;
  const auto idle = log.next(stats, after(40));
  ASSERT_TRUE(idle) << "idle for the first time";
  EXPECT_DOUBLE_EQ(idle->generation_tokens_per_second, 0);
  EXPECT_DOUBLE_EQ(idle->prefix_cache_hit_rate, 1.0 / 3);
  EXPECT_FALSE(log.next(stats, after(50)));
  EXPECT_FALSE(log.next(stats, after(50))) << "no time at all";
  stats.generation_tokens = 60;
  EXPECT_TRUE(log.next(stats, after(60)));
}

TEST(StatsLog, SaysItInVllmsWords) {
  set_log_level(LogLevel::kInfo);
  testing::internal::CaptureStderr();
  log_stats({.prompt_tokens_per_second = 12.34,
             .generation_tokens_per_second = 5,
             .running = 2,
             .waiting = 1,
             .kv_cache_usage = 0.255,
             .prefix_cache_hit_rate = 1});
  const std::string said = testing::internal::GetCapturedStderr();
  set_log_level(LogLevel::kOff);
  EXPECT_NE(
      said.find("Engine 000: Avg prompt throughput: 12.3 tokens/s, Avg generation throughput: 5.0 tokens/s, "
                "Running: 2 reqs, Waiting: 1 reqs, KV cache usage: 25.5%, Prefix cache hit rate: 100.0%\n"),
      std::string::npos)
      << said;
}

/// A server over an engine that answers "4", "2".
struct TestServer {
  explicit TestServer(ServeOptions options) {
    options.port = 0;
    options.served_model_names = {"demo"};
    auto fake = std::make_unique<FakeEngine>();
    engine = fake.get();
    engine->on_submit([](const EngineRequest& request) {
      for (const bool last : {false, true}) {
        RequestOutput output;
        output.text = last ? "2" : "4";
        output.tokens.push_back({.id = last ? 301 : 300, .logprob = -1.0f, .rank = 1, .top = {}});
        output.output_tokens = last ? 2 : 1;
        output.cached_tokens = 1;
        output.finish = last ? FinishReason::kLength : FinishReason::kNone;
        request.sink->deliver(std::move(output));
      }
    });
    auto started = ApiServer::start(options, demo_around(std::move(fake)));
    EXPECT_TRUE(started.ok()) << message_of(started.status());
    server = std::move(*started);
  }
  int ask(const char* method, const char* path, const std::string& body = "",
          http::Headers headers = {}) const {
    auto answer =
        std::move(*http::Client::create(server->address())).request(method, path, std::move(headers), body);
    return answer.ok() ? answer->status : 0;
  }
  std::unique_ptr<ApiServer> server;
  FakeEngine* engine = nullptr;
};

const std::string kSecretRequest = json{
    {"prompt", "the secret prompt"},
    {"stop", {"secret stop"}},
    {"stop_token_ids", {4001, 4002}},
    {"bad_words", {"secret word"}},
    {"logit_bias", {{"4003", 1.0}}},
    {"cache_salt", "secret salt"},
    {"user", "secret user"},
    {"temperature", 0.5},
    {"seed", 7},
    {"max_tokens", 2}}.dump();

TEST(RequestLog, HasIdParametersAndCountsButNoTexts) {
  Captured captured;
  {
    const TestServer test({.enable_log_requests = true});
    EXPECT_EQ(test.ask("POST", "/v1/completions", kSecretRequest, {{"X-Request-Id", "mine"}}), 200);
  }
  const std::vector<json> begun = captured.take("request"), ended = captured.take("request_end");
  EXPECT_EQ(captured.text().find("secret"), std::string::npos) << captured.text();
  for (const char* id : {"4001", "4002", "4003", "300", "301"})
    EXPECT_EQ(captured.text().find(fmt::format("={}", id)), std::string::npos) << captured.text();
  ASSERT_EQ(begun.size(), 1u);
  EXPECT_EQ(begun[0]["id"], "cmpl-mine");
  EXPECT_EQ(begun[0]["request_id"], "mine");
  EXPECT_EQ(begun[0]["temperature"], 0.5);
  EXPECT_EQ(begun[0]["seed"], 7);
  EXPECT_EQ(begun[0]["max_tokens"], 2);
  EXPECT_GT(begun[0]["prompt_tokens"], 2);
  EXPECT_EQ(begun[0]["stop"], 1);
  EXPECT_EQ(begun[0]["stop_token_ids"], 2);
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(ended[0]["id"], "cmpl-mine");
  EXPECT_EQ(ended[0]["finish_reason"], "length");
  EXPECT_EQ(ended[0]["output_tokens"], 2);
  EXPECT_EQ(ended[0]["cached_tokens"], 1);
  EXPECT_EQ(ended[0]["prompt_tokens"], begun[0]["prompt_tokens"]);
}

TEST(RequestLog, IsOffByDefaultAndTellsOfFailures) {
  Captured captured;
  {
    const TestServer silent({});
    EXPECT_EQ(silent.ask("POST", "/v1/completions", kSecretRequest), 200);
    const TestServer test({.enable_log_requests = true});
    test.engine->refuse_with(unavailable("full"));
    EXPECT_EQ(test.ask("POST", "/v1/completions", kSecretRequest), 503);
  }
  EXPECT_EQ(captured.take("request").size(), 1u);
  const std::vector<json> ended = captured.take("request_end");
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(ended[0]["finish_reason"], "draining");
}

TEST(ServerLogs, AccessLinesHaveTheRequestsIds) {
  Captured captured;
  {
    const TestServer test({.quiet_endpoints = "/health"});
    EXPECT_EQ(test.ask("GET", "/health"), 200);
    EXPECT_EQ(test.ask("GET", "/v1/models", "", {{"X-Request-Id", "mine"}}), 200);
    EXPECT_EQ(test.ask("GET", "/nowhere?api_key=secret"), 404);
    const TestServer silent({.disable_access_log = true});
    EXPECT_EQ(silent.ask("GET", "/v1/models"), 200);
  }
  const std::vector<json> lines = captured.take("access");
  ASSERT_EQ(lines.size(), 2u) << captured.text();
  EXPECT_EQ(lines[0]["path"], "/v1/models");
  EXPECT_EQ(lines[0]["request_id"], "mine");
  EXPECT_EQ(lines[1]["status"], 404);
  EXPECT_FALSE(lines[1]["request_id"].get<std::string>().empty()) << "one is drawn";
  EXPECT_EQ(captured.text().find("secret"), std::string::npos) << "queries are not logged";
}

}  // namespace
}  // namespace hadal
