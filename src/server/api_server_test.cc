// The server on the demo model over real sockets, from many threads: what ThreadSanitizer should see.
#include "server/api_server.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "base/files.h"
#include "base/log.h"
#include "http/client.h"

namespace hadal {
namespace {

using nlohmann::json;

ServeOptions demo_options() {
  ServeOptions options;
  options.engine.model = HADAL_SOURCE_DIR "/models/demo";
  options.engine.max_num_seqs = 8;
  options.engine.kv_cache_bytes = 32 << 20;
  options.port = 0;
  options.served_model_names = {"demo"};
  return options;
}

std::string chat_body(const std::string& question, bool stream, int max_tokens) {
  return json{{"model", "demo"},
              {"messages", json::array({{{"role", "user"}, {"content", question}}})},
              {"temperature", 0},
              {"max_tokens", max_tokens},
              {"stream", stream}}
      .dump();
}

class ApiServerTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    set_log_level(LogLevel::kWarning);
    auto started = ApiServer::start(demo_options());
    ASSERT_TRUE(started.ok()) << message_of(started.status());
    server_ = std::move(*started);
  }
  static void TearDownTestSuite() { server_.reset(); }

  static http::Client client() { return std::move(*http::Client::create(server_->address())); }

  static std::string ask(const std::string& question) {
    auto answer = client().request("POST", "/v1/chat/completions", {}, chat_body(question, false, 24));
    if (!answer.ok() || answer->status != 200) return "failed";
    return json::parse(answer->body)["choices"][0]["message"]["content"].get<std::string>();
  }

  static std::unique_ptr<ApiServer> server_;
};
std::unique_ptr<ApiServer> ApiServerTest::server_;

TEST_F(ApiServerTest, StreamsJoinToTheWholeAnswerFromManyThreads) {
  const std::string whole = ask("What is 17 + 25?");
  EXPECT_NE(whole.find("42"), std::string::npos) << whole;
  std::vector<std::string> texts(8);
  std::vector<std::thread> threads;
  for (std::string& text : texts) {
    threads.emplace_back([&text] {
      auto answer = client().post_sse("/v1/chat/completions", chat_body("What is 17 + 25?", true, 24),
                                      [&text](const http::SseEvent& event) {
                                        if (event.data == "[DONE]") return true;
                                        const json chunk = json::parse(event.data);
                                        text += chunk["choices"][0]["delta"].value("content", "");
                                        return true;
                                      });
      EXPECT_TRUE(answer.ok()) << message_of(answer.status());
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& text : texts) EXPECT_EQ(text, whole);
}

TEST_F(ApiServerTest, ClientsThatVanishLeaveNothingBehind) {
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 6; ++thread) {
    threads.emplace_back([thread] {
      int events = 0;
      // hangs up after some events, in the middle of the stream
      (void)client().post_sse("/v1/chat/completions", chat_body("Tell me a story about a fox.", true, 200),
                              [&](const http::SseEvent&) { return ++events < 2 + thread; });
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int attempt = 0; attempt < 600; ++attempt) {
    const std::string page = client().request("GET", "/metrics")->body;
    if (page.find("vllm:num_requests_running{model_name=\"demo\",engine=\"0\"} 0\n") != std::string::npos &&
        page.find("vllm:kv_cache_usage_perc{model_name=\"demo\",engine=\"0\"} 0\n") != std::string::npos) {
      return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  FAIL() << "requests or blocks are still held";
}

/// Sum of the samples whose line begins so.
double sum_of(const std::string& page, const std::string& prefix) {
  double sum = 0;
  std::istringstream lines(page);
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind(prefix, 0) == 0) sum += std::stod(line.substr(line.rfind(' ')));
  }
  return sum;
}

TEST_F(ApiServerTest, TheExpertsThatTokensChoseAreInMetrics) {
  const json config = json::parse(*read_file(HADAL_SOURCE_DIR "/models/demo/config.json"));
  const double experts = config["n_routed_experts"], top_k = config["num_experts_per_tok"];
  ask("What is 17 + 25?");
  const std::string page = client().request("GET", "/metrics")->body;
  const std::string layer = fmt::format(R"({{layer="{}",)", config["first_k_dense_replace"].get<int>());
  const double chosen = sum_of(page, "hadal:expert_layer_tokens_total" + layer);
  EXPECT_GT(chosen, 0) << page;
  EXPECT_EQ(std::fmod(chosen, top_k), 0);
  EXPECT_EQ(sum_of(page, "hadal:expert_tokens_total" + layer), chosen);
  EXPECT_EQ(sum_of(page, "hadal:experts{"), experts);
  const double sampled = sum_of(page, "hadal:expert_sampled_steps_total{");
  ASSERT_GE(sampled, 1);
  const double active = sum_of(page, "hadal:experts_active_total" + layer) / sampled;
  EXPECT_GE(active, top_k);
  EXPECT_LE(active, experts);
  EXPECT_GE(sum_of(page, "hadal:expert_imbalance" + layer), 1);
}

TEST_F(ApiServerTest, AFullAnswerIsRefusedForAnUnknownModelAndABadBody) {
  auto unknown = client().request("POST", "/v1/chat/completions", {},
                                  R"({"model": "x", "messages": [{"role": "user", "content": "a"}]})");
  ASSERT_TRUE(unknown.ok());
  EXPECT_EQ(unknown->status, 404);
  EXPECT_EQ(json::parse(unknown->body)["error"]["code"], "model_not_found");
  auto broken = client().request("POST", "/v1/chat/completions", {}, "{");
  ASSERT_TRUE(broken.ok());
  EXPECT_EQ(broken->status, 400);
}

TEST(ApiServerLife, ShutDownWaitsForWhatRunsAndRefusesTheRest) {
  auto server = std::move(*ApiServer::start(demo_options()));
  const std::string address = server->address();
  std::thread running([&address] {
    auto connection = std::move(*http::Client::create(address));
    json body = json::parse(chat_body("Tell me a story about a fox.", false, 64));
    body["ignore_eos"] = true;
    auto answer = connection.request("POST", "/v1/chat/completions", {}, body.dump());
    ASSERT_TRUE(answer.ok()) << message_of(answer.status());
    EXPECT_EQ(answer->status, 200) << answer->body;
    EXPECT_EQ(json::parse(answer->body)["usage"]["completion_tokens"], 64);
  });
  auto watcher = std::move(*http::Client::create(address));
  while (watcher.request("GET", "/metrics")
             ->body.find("vllm:num_requests_running{model_name=\"demo\",engine=\"0\"} 1") ==
         std::string::npos) {
    std::this_thread::yield();
  }
  const std::string page = watcher.request("GET", "/metrics")->body;
  EXPECT_NE(page.find("vllm:prefix_cache_hits_total{model_name=\"demo\",engine=\"0\"} 0\n"),
            std::string::npos);
  EXPECT_TRUE(server->shut_down(std::chrono::seconds(120)));
  running.join();
}

TEST(ApiServerLife, AFullQueueIsRefusedWith503AndCounted) {
  ServeOptions options = demo_options();
  options.engine.max_num_seqs = 1;
  options.engine.max_num_queued_reqs = 1;
  auto server = std::move(*ApiServer::start(options));
  const std::string address = server->address();
  std::atomic<int> refused = 0;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 12; ++thread) {
    threads.emplace_back([&] {
      auto connection = std::move(*http::Client::create(address));
      json body = json::parse(chat_body("Tell me a story about a fox.", false, 400));
      body["ignore_eos"] = true;
      auto answer = connection.request("POST", "/v1/chat/completions", {}, body.dump());
      ASSERT_TRUE(answer.ok()) << message_of(answer.status());
      EXPECT_TRUE(answer->status == 200 || answer->status == 503) << answer->body;
      if (answer->status != 503) return;
      ++refused;
      EXPECT_EQ(json::parse(answer->body)["error"]["code"], "queue_full");
      EXPECT_GE(std::stoi(std::string(answer->headers.get("Retry-After"))), 1);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(refused.load(), 0);
  const std::string page = std::move(*http::Client::create(address)).request("GET", "/metrics")->body;
  const std::string line = fmt::format(
      "vllm:admission_rejections_total{{reason=\"queue_full\",model_name=\"demo\",engine=\"0\"}} {}\n",
      refused.load());
  EXPECT_NE(page.find(line), std::string::npos) << line;
}

TEST(ApiServerLife, AMissingModelIsAClearError) {
  ServeOptions options = demo_options();
  options.engine.model = "/nowhere/at/all";
  const auto server = ApiServer::start(options);
  ASSERT_FALSE(server.ok());
  EXPECT_NE(message_of(server.status()).find("/nowhere/at/all"), std::string_view::npos);
}

}  // namespace
}  // namespace hadal
