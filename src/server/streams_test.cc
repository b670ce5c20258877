// How a stream's bytes go out: pings while it is silent, several tokens in a chunk.
#include <gtest/gtest.h>

#include <atomic>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "http/client.h"
#include "http/testing.h"
#include "server/api_server.h"
#include "server/fake_engine.h"
#include "server/reply.h"
#include "server/timers.h"

namespace hadal {
namespace {

using http::testing::count_of;
using http::testing::eventually;
using nlohmann::json;

TEST(Timers, CallInTheOrderInWhichTheyAreDue) {
  Mutex mutex;
  std::string order;
  std::atomic<bool> done = false;
  Timers timers;
  const MonotonicTime now = Clock::real().now();
  const auto say = [&](char name) {
    return [&, name] {
      MutexLock lock(mutex);
      order += name;
      if (order.size() == 4) done = true;
    };
  };
  timers.at(now + std::chrono::milliseconds(60), say('c'));
  timers.at(now + std::chrono::milliseconds(30), say('a'));
  timers.at(now + std::chrono::milliseconds(30), say('b'));
  timers.at(now + std::chrono::milliseconds(60), [&] { timers.at(now, say('d')); });
  ASSERT_TRUE(eventually([&] { return done.load(); }, 60'000));
  EXPECT_EQ(order, "abcd");
}

TEST(Timers, StopDropsWhatHasNotBegun) {
  const auto held = std::make_shared<int>(1);
  Timers timers;
  timers.at(Clock::real().now() + std::chrono::hours(1), [held] { FAIL() << *held; });
  timers.stop();
  timers.at(Clock::real().now(), [held] { FAIL() << *held; });
  timers.stop();
  EXPECT_EQ(held.use_count(), 1);
}

class Streams : public testing::Test {
 protected:
  void start(ServeOptions options) {
    set_log_level(LogLevel::kOff);
    options.port = 0;
    options.served_model_names = {"demo"};
    auto engine = std::make_unique<FakeEngine>();
    engine_ = engine.get();
    auto started = ApiServer::start(options, demo_around(std::move(engine)));
    ASSERT_TRUE(started.ok()) << message_of(started.status());
    server_ = std::move(*started);
  }

  static RequestOutput token(std::string text, FinishReason finish = FinishReason::kNone) {
    RequestOutput output;
    output.text = std::move(text);
    output.tokens.push_back({.id = 300, .logprob = -1.0f, .rank = 1, .top = {}});
    output.output_tokens = 1;
    output.finish = finish;
    return output;
  }

  static std::string body_for(std::string_view path) {
    json body = {{"stream", true}, {"max_tokens", 100}};
    const json message = {{"role", "user"}, {"content", "Hi"}};
    if (path == "/v1/completions") body["prompt"] = "Hi";
    if (path == "/v1/chat/completions" || path == "/v1/messages") body["messages"] = json::array({message});
    if (path != "/v1/responses") return body.dump();
    return json{{"stream", true}, {"input", "Hi"}}.dump();
  }

  /// All bytes of a stream. `on_bytes` sees what has come so far.
  std::string stream(std::string_view path, const std::function<bool(const std::string&)>& on_bytes) {
    std::string all;
    int status = 0;
    std::move(*http::Client::create(server_->address()))
        .stream(
            "POST", path, {{"Content-Type", "application/json"}}, body_for(path),
            [&](const http::Response& head) {
              status = head.status;
              EXPECT_EQ(head.headers.get("X-Accel-Buffering"), "no");
              return true;
            },
            [&](std::string_view bytes) {
              all += bytes;
              return on_bytes(all);
            })
        .IgnoreError();
    EXPECT_EQ(status, 200);
    return all;
  }

  std::unique_ptr<ApiServer> server_;
  FakeEngine* engine_ = nullptr;
};

TEST_F(Streams, SayPingWhileNothingComesInEveryForm) {
  start({.sse_ping_interval_s = 0.02});
  for (const char* path : {"/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"}) {
    const std::string ping = std::string_view(path) == "/v1/messages"
                                 ? "event: ping\ndata: {\"type\": \"ping\"}\n\n"
                                 : ": ping\n\n";
    bool answered = false;
    const std::string all = stream(path, [&](const std::string& so_far) {
      if (answered || count_of(so_far, ping) < 2) return true;
      answered = true;
      engine_->last().sink->deliver(token("4"));
      engine_->last().sink->deliver(token("2", FinishReason::kStop));
      return true;
    });
    EXPECT_EQ(all.rfind(ping + ping, 0), 0u) << path << "\n" << all;
    EXPECT_NE(all.find('4'), std::string::npos) << path << "\n" << all;
    EXPECT_EQ(count_of(all, "error"), std::string_view(path) == "/v1/responses" ? 3u : 0u)
        << "only as a field that is null\n"
        << all;
  }
}

TEST_F(Streams, PingBetweenTokensAndThenAnErrorIsAnEvent) {
  start({.sse_ping_interval_s = 0.02});
  engine_->on_submit([](const EngineRequest& request) { request.sink->deliver(token("4")); });
  bool failed = false;
  const std::string all = stream("/v1/chat/completions", [&](const std::string& so_far) {
    if (failed || count_of(so_far, ": ping\n\n") < 1) return true;
    failed = true;
    FakeEngine::deliver_error(*engine_->last().sink, ErrorKind::kStep);
    return true;
  });
  EXPECT_LT(all.find("\"4\""), all.find(": ping")) << all;
  EXPECT_LT(all.find(": ping"), all.find("step_failed")) << all;
}

TEST_F(Streams, DoNotPingWithoutAnIntervalOrAWholeAnswer) {
  start({.sse_ping_interval_s = 0.0});
  engine_->on_submit([](const EngineRequest& request) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    request.sink->deliver(token("42", FinishReason::kStop));
  });
  EXPECT_EQ(count_of(stream("/v1/completions", [](const std::string&) { return true; }), "ping"), 0u);
  server_.reset();
  start({.sse_ping_interval_s = 0.01});
  engine_->on_submit([](const EngineRequest& request) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    request.sink->deliver(token("42", FinishReason::kStop));
  });
  auto whole = std::move(*http::Client::create(server_->address()))
                   .request("POST", "/v1/completions", {}, R"({"prompt": "Hi"})");
  ASSERT_TRUE(whole.ok());
  EXPECT_EQ(json::parse(whole->body)["choices"][0]["text"], "42");
}

TEST_F(Streams, AClientThatHangsUpBetweenPingsIsNoticed) {
  start({.sse_ping_interval_s = 0.01});
  stream("/v1/completions", [](const std::string& so_far) { return count_of(so_far, "ping") < 2; });
  auto client = std::move(*http::Client::create(server_->address()));
  EXPECT_TRUE(eventually(
      [&] {
        return client.request("GET", "/metrics")->body.find("hadal:http_client_disconnects_total 1\n") !=
               std::string::npos;
      },
      60'000));
}

/// A client that a test moves.
class FakeWriter final : public http::ResponseWriter {
 public:
  bool respond(int, http::Headers, std::string) override { return true; }
  bool start_stream(int, http::Headers) override { return is_alive; }
  bool write(std::string_view piece) override {
    written += piece;
    return is_alive;
  }
  void finish() override {}
  void abort() override {}
  bool alive() const override { return is_alive; }
  bool started() const override { return true; }
  size_t unsent_bytes() const override { return unsent; }
  void on_disconnect(std::function<void()>) override {}

  std::string written;
  size_t unsent = 0;
  bool is_alive = true;
};

/// A stream of which nothing has come yet.
std::shared_ptr<Reply> silent_stream(const std::shared_ptr<FakeWriter>& writer) {
  auto service = std::make_shared<Service>();
  service->loaded.engine = std::make_unique<FakeEngine>();
  Submission submission;
  submission.fields.stream = true;
  submission.prompts = {{1}};
  submission.make_writer = [](const openai::ResponseMeta& meta, size_t choices) {
    openai::CommonRequest fields;
    fields.stream = true;
    return make_text_writer(meta, fields, choices, BestOf());
  };
  return std::make_shared<Reply>(std::move(submission),
                                 openai::ResponseMeta{.id = "cmpl-1", .created = 1, .model = "m"}, 7, service,
                                 writer);
}

TEST(KeepOpen, PingsOnlyWhoIsThereAndHasReadWhatThereWas) {
  constexpr std::chrono::hours kInterval{1};  // so that only the times below count
  const std::string ping = ": ping\n\n";
  const auto writer = std::make_shared<FakeWriter>();
  const auto reply = silent_stream(writer);
  const MonotonicTime now = Clock::real().now();
  const auto early = reply->keep_open(now, kInterval);
  ASSERT_TRUE(early);
  EXPECT_LE(*early, now + kInterval) << "an hour from when it began";
  EXPECT_EQ(writer->written, "");
  const MonotonicTime late = now + 2 * kInterval;
  EXPECT_EQ(reply->keep_open(late, kInterval), late + kInterval);
  EXPECT_EQ(writer->written, ping);
  writer->unsent = 1;
  EXPECT_EQ(reply->keep_open(late + kInterval, kInterval), late + 2 * kInterval);
  EXPECT_EQ(writer->written, ping) << "bytes wait for it already";
  writer->unsent = 0;
  writer->is_alive = false;
  EXPECT_FALSE(reply->keep_open(late + 2 * kInterval, kInterval));
  EXPECT_EQ(writer->written, ping);
}

TEST(KeepOpen, EndsWithTheAnswer) {
  constexpr std::chrono::hours kInterval{1};
  const auto writer = std::make_shared<FakeWriter>();
  const auto reply = silent_stream(writer);
  RequestOutput output;
  output.text = "42";
  output.finish = FinishReason::kStop;
  reply->sink(0)->deliver(std::move(output));
  const std::string written = writer->written;
  EXPECT_NE(written.find("[DONE]"), std::string::npos);
  EXPECT_FALSE(reply->keep_open(Clock::real().now() + 2 * kInterval, kInterval));
  const auto other = silent_stream(writer);
  other->client_gone();
  EXPECT_FALSE(other->keep_open(Clock::real().now() + 2 * kInterval, kInterval));
  EXPECT_EQ(writer->written, written);
}

TEST_F(Streams, SendSeveralTokensInAChunk) {
  start({.stream_interval = 3});
  engine_->on_submit([](const EngineRequest& request) {
    for (char c = 'a'; c < 'i'; ++c)
      request.sink->deliver(token(std::string(1, c), c == 'h' ? FinishReason::kStop : FinishReason::kNone));
  });
  std::vector<std::string> texts;
  auto answer =
      std::move(*http::Client::create(server_->address()))
          .post_sse("/v1/completions", body_for("/v1/completions"), [&](const http::SseEvent& event) {
            if (event.data != "[DONE]")
              texts.push_back(json::parse(event.data)["choices"][0]["text"].get<std::string>());
            return true;
          });
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(texts, (std::vector<std::string>{"a", "bcd", "efg", "h"}));
}

TEST_F(Streams, WhatWasGatheredGoesBeforeAnError) {
  start({.stream_interval = 100});
  engine_->on_submit([](const EngineRequest& request) {
    for (const char* text : {"a", "b", "c"}) request.sink->deliver(token(text));
    FakeEngine::deliver_error(*request.sink, ErrorKind::kStep);
  });
  const std::string all = stream("/v1/completions", [](const std::string&) { return true; });
  EXPECT_NE(all.find("\"text\":\"bc\""), std::string::npos) << all;
  EXPECT_LT(all.find("\"bc\""), all.find("step_failed")) << all;
}

}  // namespace
}  // namespace hadal
