// What the server makes of an engine's refusals, failures and death, with an engine that does as it is told.
#include "server/serve_loop.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "base/files.h"
#include "base/log.h"
#include "http/client.h"
#include "server/fake_engine.h"

namespace hadal {
namespace {

using nlohmann::json;

class FakeServer : public testing::Test {
 protected:
  void SetUp() override {
    set_log_level(LogLevel::kOff);
    const std::string secret = testing::TempDir() + "hadal_serve_loop_secret";
    ASSERT_TRUE(write_file(secret, "s3cret\n").ok());
    ServeOptions options;
    options.port = 0;
    options.served_model_names = {"demo"};
    options.trusted_hop_secret_file = secret;
    auto engine = std::make_unique<FakeEngine>();
    engine_ = engine.get();
    auto started = ApiServer::start(options, demo_around(std::move(engine)));
    ASSERT_TRUE(started.ok()) << message_of(started.status());
    server_ = std::move(*started);
  }
  void TearDown() override {
    if (engine_ != nullptr) engine_->let_go();
  }

  http::Response send(std::string_view path, const json& body, http::Headers headers = {}) {
    auto answer =
        std::move(*http::Client::create(server_->address())).request("POST", path, headers, body.dump());
    EXPECT_TRUE(answer.ok()) << message_of(answer.status());
    return answer.ok() ? *answer : http::Response();
  }
  http::Response chat(http::Headers headers = {}, const json& more = json::object()) {
    json body = {{"messages", json::array({{{"role", "user"}, {"content", "Hello."}}})}};
    body.update(more);
    return send("/v1/chat/completions", body, std::move(headers));
  }
  std::string page() {
    return std::move(*http::Client::create(server_->address())).request("GET", "/metrics")->body;
  }
  int health() {
    return std::move(*http::Client::create(server_->address())).request("GET", "/health")->status;
  }

  std::unique_ptr<ApiServer> server_;
  FakeEngine* engine_ = nullptr;
};

std::string code_of(const http::Response& answer) { return json::parse(answer.body)["error"]["code"]; }

TEST_F(FakeServer, RefusalsHaveTheirStatusCodeAndRetryAfter) {
  engine_->refuse_with(resource_exhausted("the tenant's queue is full"));
  const auto full = chat();
  EXPECT_EQ(full.status, 429);
  EXPECT_EQ(code_of(full), "tenant_queue_full");
  EXPECT_EQ(full.headers.get("Retry-After"), "7");
  engine_->refuse_with(unavailable("no more requests are taken"));
  const auto draining = chat();
  EXPECT_EQ(draining.status, 503);
  EXPECT_EQ(code_of(draining), "draining");
  engine_->refuse_with(invalid_argument("the prompt is too long"));
  EXPECT_EQ(chat().status, 400);
  engine_->refuse_with(OkStatus());
  engine_->on_submit(
      [](const EngineRequest& request) { FakeEngine::deliver_error(*request.sink, ErrorKind::kDeadline); });
  const auto late = chat({{"x-hadal-deadline-ms", "50"}});
  EXPECT_EQ(late.status, 503);
  EXPECT_EQ(code_of(late), "deadline_unreachable");
  EXPECT_EQ(late.headers.get("Retry-After"), "7");
  for (const char* reason : {"tenant_queue_full", "draining", "deadline_unreachable"}) {
    const std::string line = fmt::format(
        "vllm:admission_rejections_total{{reason=\"{}\",model_name=\"demo\",engine=\"0\"}} 1\n", reason);
    EXPECT_NE(page().find(line), std::string::npos) << line;
  }
}

TEST_F(FakeServer, AFailedStepIsA500ThatSaysSo) {
  engine_->on_submit(
      [](const EngineRequest& request) { FakeEngine::deliver_error(*request.sink, ErrorKind::kStep); });
  const auto answer = chat();
  EXPECT_EQ(answer.status, 500);
  EXPECT_EQ(code_of(answer), "step_failed");
  EXPECT_EQ(health(), 200) << "one step is not the engine";
}

TEST_F(FakeServer, WhatHeadersAndFieldsSayReachesTheEngine) {
  engine_->on_submit(
      [](const EngineRequest& request) { FakeEngine::deliver_error(*request.sink, ErrorKind::kStep); });
  const auto before = std::chrono::steady_clock::now();
  chat({{"x-hadal-tenant", "a"}, {"x-hadal-hop-secret", "s3cret"}, {"x-hadal-deadline-ms", "60000"}},
       {{"cache_salt", "salt"},
        {"priority", -2},
        {"resume", {{"output_token_ids", {5, 6, 7}}, {"seed", 11}, {"choice", 3}}}});
  const EngineRequest request = engine_->last();
  EXPECT_EQ(request.tenant, "a");
  EXPECT_EQ(request.cache_salt, "salt");
  EXPECT_EQ(request.priority, -2);
  EXPECT_EQ(request.resume_ids, (std::vector<int32_t>{5, 6, 7}));
  EXPECT_EQ(request.sampling.seed, 11u);
  EXPECT_EQ(request.sampling.choice, 3u);
  EXPECT_GE(request.deadline, before + std::chrono::seconds(59));
  EXPECT_LE(request.deadline, std::chrono::steady_clock::now() + std::chrono::seconds(60));
  chat({{"x-hadal-tenant", "a"}});
  EXPECT_EQ(engine_->last().tenant, "");
  EXPECT_EQ(engine_->last().deadline, MonotonicTime::max());
  EXPECT_NE(page().find("hadal:untrusted_tenant_headers_total 1\n"), std::string::npos);
  EXPECT_EQ(chat({{"x-hadal-deadline-ms", "soon"}}).status, 400);
  const auto unknown = chat({}, {{"resume", {{"output_token_ids", {4096}}, {"seed", 1}}}});
  EXPECT_EQ(unknown.status, 400);
  EXPECT_EQ(json::parse(unknown.body)["error"]["param"], "resume.output_token_ids");
  const auto long_one =
      send("/v1/completions",
           {{"prompt", {5}}, {"max_tokens", 1}, {"resume", {{"output_token_ids", {5, 6}}, {"seed", 1}}}});
  EXPECT_EQ(long_one.status, 400);
}

TEST_F(FakeServer, AResumedAnswerGoesOnInsideItsReasoning) {
  engine_->on_submit([](const EngineRequest& request) {
    RequestOutput output;
    output.resumed_text = "7 and 5 are 12.</th";  // cut inside of the tag
    output.text = "ink>It is 12.";
    output.output_tokens = 9;
    output.prompt_tokens = static_cast<int32_t>(request.prompt_ids.size());
    output.cached_tokens = output.prompt_tokens + 3;
    output.finish = FinishReason::kStop;
    request.sink->deliver(std::move(output));
  });
  const auto answer = chat({}, {{"chat_template_kwargs", {{"thinking", true}}},
                                {"resume", {{"output_token_ids", {5, 6, 7}}, {"seed", 11}}}});
  ASSERT_EQ(answer.status, 200) << answer.body;
  const json body = json::parse(answer.body);
  EXPECT_EQ(body["choices"][0]["message"]["content"], "It is 12.");
  EXPECT_EQ(body["choices"][0]["message"].value("reasoning_content", json()), json());
  EXPECT_EQ(body["usage"]["completion_tokens"], 9);
  EXPECT_EQ(body["usage"]["prompt_tokens_details"]["cached_tokens"], body["usage"]["prompt_tokens"]);
  EXPECT_EQ(body["usage"]["prompt_cache_miss_tokens"], 0);
  EXPECT_EQ(answer.headers.get("x-hadal-seed"), "11");
}

TEST_F(FakeServer, OnlyATrustedHopResetsThePrefixCache) {
  EXPECT_EQ(send("/reset_prefix_cache", json()).status, 403);
  EXPECT_EQ(send("/reset_prefix_cache", json(), {{"x-hadal-hop-secret", "guess"}}).status, 403);
  EXPECT_EQ(engine_->resets, 0);
  EXPECT_EQ(send("/reset_prefix_cache", json(), {{"x-hadal-hop-secret", "s3cret"}}).status, 200);
  EXPECT_EQ(engine_->resets, 1);
}

TEST_F(FakeServer, ADeadEnginesErrorsReachTheClients) {
  http::Response answer;
  std::thread client([&] { answer = chat(); });
  while (engine_->submitted == 0) std::this_thread::yield();
  EXPECT_EQ(health(), 200);
  engine_->die();
  EXPECT_EQ(health(), 503);
  server_->give_up(std::chrono::seconds(60));
  client.join();
  EXPECT_EQ(answer.status, 500);
  EXPECT_EQ(code_of(answer), "engine_dead");
}

TEST_F(FakeServer, ShutDownDoesNotWaitForADeadEngine) {
  std::thread client([&] { chat(); });
  while (engine_->submitted == 0) std::this_thread::yield();
  std::thread killer([&] { engine_->die(); });
  EXPECT_FALSE(server_->shut_down(std::chrono::hours(1)));
  EXPECT_FALSE(server_->engine_health().ok());
  server_->give_up(std::chrono::seconds(60));
  client.join();
  killer.join();
}

/// In a process of its own: an engine that hangs, whose thread would never be joined.
int serve_until_the_engine_hangs() {
  set_log_level(LogLevel::kError);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ServeOptions options;
  options.port = 0;
  auto engine = std::make_unique<FakeEngine>();
  FakeEngine* raw = engine.get();
  auto server = std::move(*ApiServer::start(options, demo_around(std::move(engine))));
  std::thread hang([raw] { raw->die(); });
  hang.detach();
  return serve_until_end(*server, signals, std::chrono::hours(1));
}

TEST(ServeLoopDeathTest, EndsWithOneWhenTheEngineHangs) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(std::exit(serve_until_the_engine_hangs()), testing::ExitedWithCode(1),
              "the engine died: .*5 s");
}

int serve_until_sigterm() {
  set_log_level(LogLevel::kOff);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ServeOptions options;
  options.port = 0;
  auto server = std::move(*ApiServer::start(options, demo_around(std::make_unique<FakeEngine>())));
  kill(getpid(), SIGTERM);
  return serve_until_end(*server, signals, std::chrono::milliseconds(50));
}

TEST(ServeLoopDeathTest, EndsWithZeroAfterSigterm) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(std::exit(serve_until_sigterm()), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace hadal
