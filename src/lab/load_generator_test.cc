#include "lab/load_generator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/mutex.h"
#include "http/server.h"
#include "http/sse.h"

namespace hadal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// ---- the stream of one answer ----

std::string read_stream(TokenStream& stream, const std::vector<std::string>& events) {
  double now = 0.0;
  for (const std::string& data : events) stream.event(data, now += 1.0);
  return stream.error_kind();
}

TEST(TokenStream, CountsByUsageThenByIdsThenByEvents) {
  const std::string text = R"({"choices":[{"text":"ab","finish_reason":null}],"usage":null})";
  const std::string ids = R"({"choices":[{"text":"","token_ids":[5,6],"finish_reason":null}]})";
  const std::string last = R"({"choices":[{"text":"","finish_reason":"length"}]})";
  const std::string usage =
      R"({"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":4}}})";
  TokenStream by_events, by_ids, by_usage;
  EXPECT_EQ(read_stream(by_events, {text, text, last, "[DONE]"}), "");
  EXPECT_EQ(by_events.output_tokens(), 2);
  EXPECT_EQ(by_events.prompt_tokens(), -1);
  EXPECT_EQ(read_stream(by_ids, {ids, text, last, "[DONE]"}), "");
  EXPECT_EQ(by_ids.counted_by(), CountedBy::kTokenIds);
  EXPECT_EQ(by_ids.output_tokens(), 2);
  EXPECT_EQ(read_stream(by_usage, {ids, last, usage, "[DONE]"}), "");
  EXPECT_EQ(by_usage.counted_by(), CountedBy::kUsage);
  EXPECT_EQ(by_usage.output_tokens(), 7);
  EXPECT_EQ(by_usage.prompt_tokens(), 9);
  EXPECT_EQ(by_usage.cached_tokens(), 4);
  EXPECT_THAT(by_usage.times(), ElementsAre(1.0));
}

TEST(TokenStream, AChatsRoleIsNoToken) {
  TokenStream stream;
  EXPECT_EQ(read_stream(stream, {R"({"choices":[{"delta":{"role":"assistant","content":""}}]})",
                                 R"({"choices":[{"delta":{"reasoning":"hm"}}]})",
                                 R"({"choices":[{"delta":{"content":"yes"},"finish_reason":"stop"}]})"}),
            "");
  EXPECT_THAT(stream.times(), ElementsAre(2.0, 3.0));
}

TEST(TokenStream, KindsOfErrors) {
  const std::string text = R"({"choices":[{"text":"a"}]})";
  const auto kind = [](const std::vector<std::string>& events) {
    TokenStream stream;
    return read_stream(stream, events);
  };
  EXPECT_EQ(kind({}), "stream cut short");
  EXPECT_EQ(kind({text}), "stream cut short");
  EXPECT_EQ(kind({"[DONE]"}), "no tokens");
  EXPECT_EQ(kind({text, "{", "[DONE]"}), "malformed event");
  EXPECT_EQ(kind({text, R"({"error":{"message":"engine died"}})", "[DONE]"}), "error event");
  EXPECT_EQ(kind({text, R"({"error":null,"choices":7})", R"({"usage":5})", "[DONE]"}), "");
}

// ---- against a server ----

/// Answers /v1/models and /v1/completions with as many tokens as are asked for; refuses every prompt of 13
/// tokens.
class FakeServer {
 public:
  FakeServer() {
    auto made = http::Server::create(
        {}, [this](http::Request request, auto response) { answer(request, *response); });
    EXPECT_TRUE(made.ok()) << made.status();
    server_ = *std::move(made);
  }
  ~FakeServer() { server_->stop(std::chrono::seconds(5)); }

  std::string url() const { return fmt::format("http://127.0.0.1:{}", server_->port()); }
  std::vector<http::Request> requests() {
    MutexLock lock(mutex_);
    return requests_;
  }

 private:
  void answer(const http::Request& request, http::ResponseWriter& response) {
    if (request.path == "/v1/models") {
      response.respond(200, {}, R"({"data":[{"id":"first","max_model_len":300},{"id":"second"}]})");
      return;
    }
    const auto body = nlohmann::json::parse(request.body);
    {
      MutexLock lock(mutex_);
      requests_.push_back(request);
    }
    if (body["prompt"].size() == 13) {
      response.respond(429, {}, "unlucky");
      return;
    }
    response.start_stream(200, http::sse_headers());
    const int count = body["max_tokens"];
    for (int i = 0; i < count; ++i)
      response.write("data: {\"choices\":[{\"text\":\"x\",\"token_ids\":[4]}]}\n\n");
    response.write(fmt::format(
        "data: {{\"choices\":[],\"usage\":{{\"prompt_tokens\":{},\"completion_tokens\":{}}}}}\n\n",
        body["prompt"].size(), count));
    response.write("data: [DONE]\n\n");
    response.finish();
  }

  Mutex mutex_;
  std::vector<http::Request> requests_ GUARDED_BY(mutex_);
  std::unique_ptr<http::Server> server_;
};

Workload workload_of(const std::vector<int32_t>& input_lengths) {
  Workload workload;
  for (const int32_t length : input_lengths) {
    workload.requests.push_back({.input_tokens = length,
                                 .output_tokens = 5,
                                 .number = static_cast<uint64_t>(workload.requests.size())});
  }
  return workload;
}

TEST(LoadGenerator, SendsEveryRequestOnceAndTimesIt) {
  FakeServer server;
  LoadOptions options;
  options.target.url = server.url();
  options.target.model = "first";
  options.target.headers.set("x-test", "yes");
  options.max_concurrency = 3;
  options.ignore_eos = true;
  Workload workload = workload_of({20, 13, 30, 40, 50, 60, 70, 80});
  workload.requests.back().arrival_s = 0.05;
  size_t calls = 0, failed = 0;
  const auto run = run_load(workload, options, [&](size_t done, size_t bad, size_t total) {
    EXPECT_EQ(done, ++calls);
    EXPECT_EQ(total, 8u);
    failed = bad;
  });
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(calls, 8u);
  EXPECT_EQ(failed, 1u);
  for (size_t i = 0; i < run->outcomes.size(); ++i) {
    const RequestOutcome& outcome = run->outcomes[i];
    EXPECT_GE(outcome.start_s, outcome.planned_s);
    EXPECT_LE(outcome.end_s, run->duration_s);
    EXPECT_EQ(outcome.input_tokens, workload.requests[i].input_tokens);
    if (i == 1) {
      EXPECT_EQ(outcome.error_kind, "HTTP 429");
      EXPECT_EQ(outcome.error_text, "unlucky");
      continue;
    }
    EXPECT_EQ(outcome.error_kind, "") << outcome.error_text;
    EXPECT_EQ(outcome.output_tokens, 5);
    EXPECT_THAT(outcome.token_s, SizeIs(5));
    EXPECT_GE(outcome.token_s.front(), outcome.start_s);
  }
  const auto requests = server.requests();
  ASSERT_THAT(requests, SizeIs(8));
  const auto body = nlohmann::json::parse(requests[0].body);
  EXPECT_EQ(requests[0].headers.get("x-test"), "yes");
  EXPECT_EQ(body["model"], "first");
  EXPECT_EQ(body["ignore_eos"], true);
  EXPECT_EQ(body["stream_options"]["include_usage"], true);
}

TEST(LoadGenerator, ErrorsOfTheConnectionAreOutcomes) {
  LoadOptions options;
  options.target.url = "unix:/nowhere/socket";
  const auto run = run_load(workload_of({20, 20}), options, nullptr);
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->outcomes[1].error_kind, "connection failed");
  options.target.url = "ftp:/x";
  EXPECT_FALSE(run_load(workload_of({20}), options, nullptr).ok());
  options.max_concurrency = kMostThreads + 1;
  EXPECT_FALSE(run_load(workload_of({20}), options, nullptr).ok());
}

TEST(LoadGenerator, AsksForTheModel) {
  FakeServer server;
  const LoadTarget target{.url = server.url()};
  EXPECT_EQ(ask_model(target, "")->name, "first");
  EXPECT_EQ(ask_model(target, "")->max_model_len, 300);
  EXPECT_EQ(ask_model(target, "second")->max_model_len, 0);
  EXPECT_THAT(std::string(message_of(ask_model(target, "third").status())), HasSubstr("third"));
}

TEST(LoadGenerator, AChatsPromptIsWords) {
  LoadOptions options;
  options.target.endpoint = "/v1/chat/completions";
  const Workload workload = workload_of({7});
  const auto body = nlohmann::json::parse(request_body(workload.requests[0], workload.tokens, options));
  const std::string content = body["messages"][0]["content"];
  EXPECT_EQ(std::count(content.begin(), content.end(), ' '), 7);
  EXPECT_FALSE(body.contains("prompt"));
}

}  // namespace
}  // namespace hadal
