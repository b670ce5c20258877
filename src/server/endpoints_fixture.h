// For tests of the endpoints: a server over an engine that says what a test tells it, and a client.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/log.h"
#include "http/client.h"
#include "server/api_server.h"
#include "server/fake_engine.h"

namespace hadal {

/// A tool, and an answer that calls it.
inline const nlohmann::json kWeather =
    nlohmann::json::parse(R"([{"type":"function","function":{"name":"get_weather","description":"Get it.",
  "parameters":{"type":"object","properties":{"city":{"type":"string"}}}}}])");
inline const std::vector<std::string> kCall = {"Let me ", "look.<｜tool▁calls▁beg",
                                               "in｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{\"ci",
                                               "ty\": \"Oslo\"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>"};

class Endpoints : public testing::Test {
 protected:
  using json = nlohmann::json;

  void start(ServeOptions options = {}) {
    set_log_level(LogLevel::kOff);
    options.port = 0;
    options.served_model_names = {"demo"};
    auto engine = std::make_unique<FakeEngine>();
    engine_ = engine.get();
    auto started = ApiServer::start(options, demo_around(std::move(engine)));
    ASSERT_TRUE(started.ok()) << message_of(started.status());
    server_ = std::move(*started);
    loaded_ = demo_around(nullptr);
  }

  /// Every choice answers with these pieces.
  void say(std::vector<std::string> pieces, FinishReason finish = FinishReason::kStop) {
    engine_->on_submit([pieces = std::move(pieces), finish](const EngineRequest& request) {
      for (int32_t choice = 0; choice < request.num_choices; ++choice) {
        for (size_t i = 0; i < pieces.size(); ++i) {
          RequestOutput output;
          output.choice = choice;
          output.text = pieces[i];
          output.tokens.push_back(
              {.id = 300, .logprob = -1.0f - static_cast<float>(choice), .rank = 1, .top = {}});
          output.output_tokens = static_cast<int32_t>(i + 1);
          output.finish = i + 1 == pieces.size() ? finish : FinishReason::kNone;
          if (i == 0 && choice == 0 && request.prompt_logprobs >= 0) {
            for (size_t at = 1; at < request.prompt_ids.size(); ++at)
              output.prompt_logprobs.push_back(
                  {.id = request.prompt_ids[at], .logprob = -0.5f, .rank = 2, .top = {{5, -0.25f}}});
          }
          request.sink->deliver(std::move(output));
        }
      }
    });
  }

  http::Response send(std::string_view path, const json& body, http::Headers headers = {}) {
    auto answer =
        std::move(*http::Client::create(server_->address())).request("POST", path, headers, body.dump());
    EXPECT_TRUE(answer.ok()) << message_of(answer.status());
    return answer.ok() ? *answer : http::Response();
  }
  json post(std::string_view path, const json& body) {
    const http::Response answer = send(path, body);
    EXPECT_EQ(answer.status, 200) << answer.body;
    return json::parse(answer.body);
  }
  std::vector<http::SseEvent> stream(std::string_view path, json body) {
    body["stream"] = true;
    std::vector<http::SseEvent> events;
    auto answer = std::move(*http::Client::create(server_->address()))
                      .post_sse(std::string(path), body.dump(), [&](const http::SseEvent& event) {
                        events.push_back(event);
                        return true;
                      });
    EXPECT_TRUE(answer.ok()) << message_of(answer.status());
    return events;
  }
  static json chat(const json& more = json::object()) {
    json body = {{"messages", json::array({{{"role", "user"}, {"content", "Weather?"}}})}};
    body.update(more);
    return body;
  }
  /// The prompt that reached the engine.
  std::string prompt() { return loaded_.tokenizer->decode(engine_->last().prompt_ids, SkipSpecial::kNo); }

  std::unique_ptr<ApiServer> server_;
  FakeEngine* engine_ = nullptr;
  LoadedEngine loaded_;
};

}  // namespace hadal
