// What endpoints make of a model's text, over an engine that says what a test tells it: tool calls,
// reasoning, the forms of other APIs, prompts as they reach the engine.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/log.h"
#include "http/client.h"
#include "server/api_server.h"
#include "server/endpoints.h"
#include "server/fake_engine.h"

namespace hadal {
namespace {

using nlohmann::json;

const json kWeather =
    json::parse(R"([{"type":"function","function":{"name":"get_weather","description":"Get it.",
  "parameters":{"type":"object","properties":{"city":{"type":"string"}}}}}])");
const std::vector<std::string> kCall = {"Let me ", "look.<｜tool▁calls▁beg",
                                        "in｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{\"ci",
                                        "ty\": \"Oslo\"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>"};

class Endpoints : public testing::Test {
 protected:
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

TEST_F(Endpoints, ToolCallsAreParsedBackWhole) {
  start();
  say(kCall);
  const json answer = post("/v1/chat/completions", chat({{"tools", kWeather}}));
  const json& choice = answer["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "tool_calls");
  EXPECT_EQ(choice["message"]["content"], "Let me look.");
  ASSERT_EQ(choice["message"]["tool_calls"].size(), 1u);
  const json& call = choice["message"]["tool_calls"][0];
  EXPECT_EQ(call["function"], (json{{"name", "get_weather"}, {"arguments", "{\"city\": \"Oslo\"}"}}));
  EXPECT_EQ(call["id"].get<std::string>().rfind("call_", 0), 0u);
  EXPECT_NE(prompt().find("### get_weather"), std::string::npos);
}

TEST_F(Endpoints, ToolCallsStreamAsDeltas) {
  start();
  say(kCall);
  std::string content, arguments, finish;
  std::vector<json> heads;
  for (const http::SseEvent& event : stream("/v1/chat/completions", chat({{"tools", kWeather}}))) {
    if (event.data == "[DONE]") continue;
    const json choice = json::parse(event.data)["choices"][0];
    content += choice["delta"].value("content", "");
    if (!choice["finish_reason"].is_null()) finish = choice["finish_reason"];
    for (const json& call : choice["delta"].value("tool_calls", json::array())) {
      EXPECT_EQ(call["index"], 0);
      if (call.contains("id")) heads.push_back(call);
      arguments += call["function"].value("arguments", "");
    }
  }
  EXPECT_EQ(content, "Let me look.");
  EXPECT_EQ(arguments, "{\"city\": \"Oslo\"}");
  EXPECT_EQ(finish, "tool_calls");
  ASSERT_EQ(heads.size(), 1u) << "id and name come once";
  EXPECT_EQ(heads[0]["function"]["name"], "get_weather");
}

TEST_F(Endpoints, CallsAreLeftInTheTextWhereNobodyAskedForThem) {
  start();
  say(kCall);
  EXPECT_EQ(post("/v1/chat/completions", chat())["choices"][0]["finish_reason"], "stop");
  const json none = post("/v1/chat/completions", chat({{"tools", kWeather}, {"tool_choice", "none"}}));
  EXPECT_EQ(none["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(prompt().find("get_weather"), std::string::npos) << "tools are shown to nobody";
  EXPECT_EQ(send("/v1/chat/completions", chat({{"tools", kWeather}, {"tool_choice", "required"}})).status,
            400);
  server_.reset();
  ServeOptions off;
  off.enable_auto_tool_choice = false;
  start(off);
  say(kCall);
  EXPECT_EQ(post("/v1/chat/completions", chat({{"tools", kWeather}}))["choices"][0]["finish_reason"], "stop");
}

TEST_F(Endpoints, OneCallWhereParallelOnesAreNotWanted) {
  start();
  std::vector<std::string> twice = kCall;
  twice.back() =
      "ty\": "
      "\"Oslo\"}<｜tool▁call▁end｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{}<｜tool▁call▁end｜><"
      "｜tool▁calls▁end｜>";
  say(twice);
  const auto calls = [&](const json& more) {
    return post("/v1/chat/completions", chat(more))["choices"][0]["message"]["tool_calls"].size();
  };
  EXPECT_EQ(calls({{"tools", kWeather}}), 2u);
  EXPECT_EQ(calls({{"tools", kWeather}, {"parallel_tool_calls", false}}), 1u);
}

TEST_F(Endpoints, AFinalMessageIsContinued) {
  start();
  say({" is Oslo."});
  json body = chat({{"continue_final_message", true}, {"add_generation_prompt", false}});
  body["messages"].push_back({{"role", "assistant"}, {"content", "The capital "}});
  post("/v1/chat/completions", body);
  EXPECT_TRUE(prompt().ends_with("</think>The capital ")) << prompt();
  for (const char* text : {"end", "s", "▁", "  tence "}) {  // all of them are in <｜end▁of▁sentence｜>
    body["messages"].back()["content"] = text;
    post("/v1/chat/completions", body);
    EXPECT_TRUE(prompt().ends_with(std::string("</think>") + text)) << prompt();
  }
  body["messages"].back()["content"] = "x</think>y";  // the template cuts it
  EXPECT_EQ(send("/v1/chat/completions", body).status, 400);
}

TEST_F(Endpoints, AnEarlierCallWithoutArgumentsIsAnEmptyObject) {
  start();
  say({"ok"});
  json body = chat({{"tools", kWeather}});
  body["messages"].push_back(json::parse(
      R"({"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"now","arguments":""}}]})"));
  body["messages"].push_back({{"role", "tool"}, {"tool_call_id", "1"}, {"content", "12:00"}});
  post("/v1/chat/completions", body);
  EXPECT_NE(prompt().find("now<｜tool▁sep｜>{}"), std::string::npos) << prompt();
}

TEST_F(Endpoints, WhatTheServerAddsToEveryAnswer) {
  ServeOptions options;
  options.force_include_usage = true;
  options.return_tokens_as_token_ids = true;
  start(options);
  say({"a", "b"});
  const auto events = stream("/v1/chat/completions", chat({{"logprobs", true}}));
  ASSERT_GE(events.size(), 3u);
  EXPECT_EQ(json::parse(events[events.size() - 2].data)["usage"]["completion_tokens"], 2);
  EXPECT_EQ(json::parse(events[1].data)["choices"][0]["logprobs"]["content"][0]["token"], "token_id:300");
}

TEST_F(Endpoints, AStopStringIsNotTheTokenThatHasItsNumber) {
  start();
  engine_->on_submit([](const EngineRequest& request) {
    RequestOutput output;
    output.tokens.push_back({.id = 1});
    output.finish = FinishReason::kStop;
    output.stop_reason = "1";  // the end of the text, token 1
    request.sink->deliver(std::move(output));
  });
  const json body = chat({{"stop", {"1"}}, {"max_tokens", 9}});
  EXPECT_EQ(post("/v1/chat/completions", body)["choices"][0]["stop_reason"], nullptr);
  EXPECT_EQ(post("/v1/messages", {{"messages", body["messages"]}, {"stop_sequences", {"1"}}, {"max_tokens", 9}})["stop_reason"],
            "end_turn");
}

TEST_F(Endpoints, ARequestMayWantMoreTokensInAChunk) {
  start();
  say({"a", "b", "c", "d"});
  EXPECT_EQ(stream("/v1/completions", {{"prompt", {5}}}).size(), 5u);
  EXPECT_EQ(stream("/v1/completions", {{"prompt", {5}}, {"stream_interval", 9}}).size(), 3u) << "the first, the rest, [DONE]";
}

TEST_F(Endpoints, ReasoningCanBeLeftOutAndHasItsBudget) {
  start();
  say({"Hm.</think>", "Yes."});
  const json thinking = {{"chat_template_kwargs", {{"enable_thinking", true}}}, {"thinking_token_budget", 5}};
  const json answer = post("/v1/chat/completions", chat(thinking));
  EXPECT_EQ(answer["choices"][0]["message"]["reasoning_content"], "Hm.");
  EXPECT_EQ(answer["usage"]["completion_tokens_details"]["reasoning_tokens"], 1);
  EXPECT_EQ(engine_->last().rules.thinking_budget, 5);
  EXPECT_EQ(engine_->last().rules.end_of_thinking, loaded_.tokenizer->token_to_id("</think>"));
  json quiet = thinking;
  quiet["include_reasoning"] = false;
  const json without = post("/v1/chat/completions", chat(quiet));
  EXPECT_FALSE(without["choices"][0]["message"].contains("reasoning_content"));
  EXPECT_EQ(without["choices"][0]["message"]["content"], "Yes.");
  post("/v1/chat/completions", chat({{"thinking_token_budget", 5}}));
  EXPECT_EQ(engine_->last().rules.thinking_budget, -1) << "nothing is thought";
}

TEST_F(Endpoints, ARequestsOwnTemplateNeedsTheServersLeave) {
  start();
  say({"x"});
  const json own = chat({{"chat_template", "own:{{ messages[0].content }}"}});
  EXPECT_EQ(send("/v1/chat/completions", own).status, 400);
  server_.reset();
  ServeOptions trusting;
  trusting.trust_request_chat_template = true;
  trusting.default_chat_template_kwargs = R"({"thinking": true})";
  start(trusting);
  say({"x"});
  post("/v1/chat/completions", own);
  EXPECT_EQ(prompt(), "own:Weather?");
  post("/v1/chat/completions", chat());
  EXPECT_TRUE(prompt().ends_with("<think>")) << "the server's default";
  post("/v1/chat/completions", chat({{"chat_template_kwargs", {{"thinking", false}}}}));
  EXPECT_TRUE(prompt().ends_with("</think>")) << "the request's own";
}

TEST_F(Endpoints, EchoedPromptsHaveTheirLogprobs) {
  start();
  say({" one"}, FinishReason::kLength);
  const json answer = post("/v1/completions",
                           {{"prompt", {300, 301, 302}}, {"echo", true}, {"logprobs", 1}, {"max_tokens", 0}});
  const json& logprobs = answer["choices"][0]["logprobs"];
  EXPECT_EQ(logprobs["token_logprobs"], json::parse("[null,-0.5,-0.5]"));
  EXPECT_TRUE(logprobs["top_logprobs"][0].is_null());
  EXPECT_EQ(logprobs["tokens"].size(), 3u);
  EXPECT_EQ(answer["usage"]["completion_tokens"], 0);
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "length");
  const std::string text = answer["choices"][0]["text"];
  EXPECT_EQ(text, loaded_.tokenizer->decode(std::vector<int32_t>{300, 301, 302}, SkipSpecial::kYes));
  const json field =
      post("/v1/completions", {{"prompt", {300, 301}}, {"prompt_logprobs", 1}, {"max_tokens", 1}});
  const json& positions = field["choices"][0]["prompt_logprobs"];
  ASSERT_EQ(positions.size(), 2u);
  EXPECT_TRUE(positions[0].is_null());
  EXPECT_EQ(positions[1]["301"]["rank"], 2);
  EXPECT_TRUE(positions[1].contains("5"));
}

TEST_F(Endpoints, FillInTheMiddleTruncationBadWordsBestOf) {
  start();
  say({"x"});
  post("/v1/completions", {{"prompt", "def f("}, {"suffix", "return 1"}, {"max_tokens", 4}});
  EXPECT_TRUE(prompt().ends_with("<｜fim▁begin｜>def f(<｜fim▁hole｜>return 1<｜fim▁end｜>")) << prompt();
  post("/v1/completions", {{"prompt", {5, 6, 7, 8}}, {"truncate_prompt_tokens", 2}});
  EXPECT_EQ(engine_->last().prompt_ids, (std::vector<int32_t>{7, 8}));
  post("/v1/completions", {{"prompt", "x"}, {"bad_words", {"the"}}, {"allowed_token_ids", {5, 6}}});
  EXPECT_EQ(engine_->last().rules.allowed_token_ids, (std::vector<int32_t>{5, 6}));
  const auto words = engine_->last().rules.bad_words;
  ASSERT_EQ(words.size(), 2u) << "at a text's beginning, and behind a blank";
  EXPECT_EQ(loaded_.tokenizer->decode(words[1], SkipSpecial::kNo), " the");
  const json best =
      post("/v1/completions", {{"prompt", {5}}, {"best_of", 3}, {"n", 1}, {"return_token_ids", true}});
  EXPECT_EQ(engine_->last().num_choices, 3);
  ASSERT_EQ(best["choices"].size(), 1u);
  EXPECT_TRUE(best["choices"][0]["logprobs"].is_null());
}

TEST_F(Endpoints, TokenizeGoesBothWays) {
  start();
  const json ids = post("/tokenize", {{"prompt", "Hello"}, {"return_token_strs", true}});
  EXPECT_EQ(ids["count"], ids["tokens"].size());
  EXPECT_EQ(ids["token_strs"].size(), ids["tokens"].size());
  EXPECT_EQ(
      post("/detokenize",
           {{"tokens", post("/tokenize", {{"prompt", "Hello"}, {"add_special_tokens", false}})["tokens"]}}),
      (json{{"prompt", "Hello"}}));
  say({"x"});
  post("/v1/chat/completions", chat());
  EXPECT_EQ(post("/tokenize", chat())["tokens"].get<std::vector<int32_t>>(), engine_->last().prompt_ids);
  EXPECT_EQ(send("/detokenize", {{"tokens", {4096}}}).status, 400);
}

TEST_F(Endpoints, ResponsesAreItemsAndNumberedEvents) {
  start();
  std::vector<std::string> pieces = {"Hm.</think>"};
  pieces.insert(pieces.end(), kCall.begin(), kCall.end());
  say(pieces);
  json body = {
      {"input", "Weather?"},
      {"tools",
       json::array({{{"type", "function"}, {"name", "get_weather"}, {"parameters", json::object()}}})},
      {"chat_template_kwargs", {{"thinking", true}}}};
  const json answer = post("/v1/responses", body);
  EXPECT_EQ(answer["status"], "completed");
  ASSERT_EQ(answer["output"].size(), 3u) << answer.dump();
  EXPECT_EQ(answer["output"][0]["content"][0]["text"], "Hm.");
  EXPECT_EQ(answer["output"][1]["content"][0]["text"], "Let me look.");
  EXPECT_EQ(answer["output"][2]["arguments"], "{\"city\": \"Oslo\"}");
  EXPECT_EQ(answer["store"], false);
  std::string text, arguments;
  int64_t number = 0;
  json last;
  for (const http::SseEvent& event : stream("/v1/responses", body)) {
    last = json::parse(event.data);
    EXPECT_EQ(last["sequence_number"], number++);
    EXPECT_EQ(last["type"], event.event);
    if (last["type"] == "response.output_text.delta") text += last["delta"];
    if (last["type"] == "response.function_call_arguments.delta") arguments += last["delta"];
  }
  EXPECT_EQ(text, "Let me look.");
  EXPECT_EQ(arguments, "{\"city\": \"Oslo\"}");
  EXPECT_EQ(last["type"], "response.completed");
  EXPECT_EQ(last["response"]["output"].size(), 3u);
  EXPECT_EQ(send("/v1/responses", {{"input", "x"}, {"previous_response_id", "resp_1"}}).status, 400);
  say({"cut"}, FinishReason::kLength);
  EXPECT_EQ(post("/v1/responses", {{"input", "x"}})["incomplete_details"]["reason"], "max_output_tokens");
}

TEST_F(Endpoints, MessagesAreBlocksAndEvents) {
  start();
  std::vector<std::string> pieces = {"Hm.</think>"};
  pieces.insert(pieces.end(), kCall.begin(), kCall.end());
  say(pieces);
  const json body = {
      {"max_tokens", 50},
      {"messages", json::array({{{"role", "user"}, {"content", "Weather?"}}})},
      {"thinking", {{"type", "enabled"}, {"budget_tokens", 7}}},
      {"tools", json::array({{{"name", "get_weather"}, {"input_schema", {{"type", "object"}}}}})}};
  const json answer = post("/v1/messages", body);
  EXPECT_EQ(engine_->last().rules.thinking_budget, 7);
  EXPECT_EQ(answer["stop_reason"], "tool_use");
  ASSERT_EQ(answer["content"].size(), 3u) << answer.dump();
  EXPECT_EQ(answer["content"][0]["thinking"], "Hm.");
  EXPECT_EQ(answer["content"][2]["input"], (json{{"city", "Oslo"}}));
  std::vector<std::string> kinds;
  std::string arguments;
  for (const http::SseEvent& event : stream("/v1/messages", body)) {
    const json data = json::parse(event.data);
    EXPECT_EQ(data["type"], event.event);
    kinds.push_back(event.event);
    if (data["type"] == "content_block_delta") arguments += data["delta"].value("partial_json", "");
  }
  EXPECT_EQ(kinds.front(), "message_start");
  EXPECT_EQ(kinds.back(), "message_stop");
  EXPECT_EQ(arguments, "{\"city\": \"Oslo\"}");
  EXPECT_GT(post("/v1/messages/count_tokens", body)["input_tokens"], 10);
  const json error = json::parse(send("/v1/messages", {{"messages", json::array()}}).body);
  EXPECT_EQ(error["type"], "error");
  EXPECT_EQ(error["error"]["type"], "invalid_request_error");
}

TEST_F(Endpoints, KeysOpenWhatTheyAreFor) {
  ServeOptions options;
  options.api_keys = {"one", "two"};
  options.admin_api_key = "root";
  start(options);
  say({"x"});
  EXPECT_EQ(send("/v1/chat/completions", chat()).status, 401);
  EXPECT_EQ(send("/v1/chat/completions", chat(), {{"Authorization", "Bearer three"}}).status, 401);
  EXPECT_EQ(send("/v1/chat/completions", chat(), {{"Authorization", "Bearer two"}}).status, 200);
  EXPECT_EQ(send("/v1/chat/completions", chat(), {{"x-api-key", "one"}}).status, 200);
  EXPECT_EQ(send("/reset_prefix_cache", json(), {{"Authorization", "Bearer one"}}).status, 401);
  EXPECT_EQ(send("/reset_prefix_cache", json(), {{"Authorization", "Bearer root"}}).status, 200);
  EXPECT_EQ(engine_->resets, 1);
  EXPECT_EQ(std::move(*http::Client::create(server_->address())).request("GET", "/health")->status, 200);
}

TEST_F(Endpoints, RequestIdsAndOriginsComeBack) {
  ServeOptions options;
  options.allowed_origins = {"https://a.example"};
  start(options);
  say({"x"});
  const auto named =
      send("/v1/chat/completions", chat(), {{"X-Request-Id", "abc"}, {"Origin", "https://a.example"}});
  EXPECT_EQ(named.headers.get("X-Request-Id"), "abc");
  EXPECT_EQ(json::parse(named.body)["id"], "chatcmpl-abc");
  EXPECT_EQ(named.headers.get("Access-Control-Allow-Origin"), "https://a.example");
  const auto other =
      send("/v1/chat/completions", chat(), {{"X-Request-Id", "a b"}, {"Origin", "https://b.example"}});
  EXPECT_NE(other.headers.get("X-Request-Id"), "a b");
  EXPECT_FALSE(other.headers.contains("Access-Control-Allow-Origin"));
  auto client = std::move(*http::Client::create(server_->address()));
  const auto preflight = client.request("OPTIONS", "/v1/chat/completions",
                                        {{"Origin", "https://a.example"},
                                         {"Access-Control-Request-Method", "POST"},
                                         {"Access-Control-Request-Headers", "authorization, content-type"}});
  EXPECT_EQ(preflight->status, 204);
  EXPECT_EQ(preflight->headers.get("Access-Control-Allow-Headers"), "authorization, content-type");
}

TEST_F(Endpoints, TheOpenApiDocumentIsTheTable) {
  start();
  auto client = std::move(*http::Client::create(server_->address()));
  const json document = json::parse(client.request("GET", "/openapi.json")->body);
  EXPECT_EQ(document["paths"].size() + 1, endpoint_table().size()) << "/ping has two methods";
  const json& chat_fields = document["paths"]["/v1/chat/completions"]["post"]["requestBody"]["content"]
                                    ["application/json"]["schema"]["properties"];
  EXPECT_TRUE(chat_fields.contains("thinking_token_budget"));
  EXPECT_FALSE(chat_fields.contains("suffix")) << "of the other endpoint";
  EXPECT_FALSE(chat_fields.contains("audio")) << "refused";
  EXPECT_EQ(send("/v1/embeddings", {{"input", "x"}}).status, 400);
  EXPECT_TRUE(json::parse(client.request("GET", "/load")->body).contains("server_load"));
}

TEST(EndpointsPage, IsTheTableAsPrinted) {
  const std::string path = std::string(HADAL_SOURCE_DIR) + "/docs/endpoints.md";
  if (std::getenv("HADAL_UPDATE_DOCS") != nullptr) {
    ASSERT_TRUE(write_file(path, endpoints_markdown()).ok());
  }
  const auto page = read_file(path);
  ASSERT_TRUE(page.ok());
  EXPECT_EQ(*page, endpoints_markdown()) << "run this test with HADAL_UPDATE_DOCS=1 and commit the page";
}

TEST(AnswerOptions, UnknownNamesAreStartUpErrors) {
  set_log_level(LogLevel::kOff);
  for (const auto& [member, value] : std::vector<std::pair<std::string ServeOptions::*, std::string>>{
           {&ServeOptions::tool_call_parser, "hermes"},
           {&ServeOptions::reasoning_parser, "qwen3"},
           {&ServeOptions::default_chat_template_kwargs, "[]"},
           {&ServeOptions::admin_api_key, "a b"}}) {
    ServeOptions options;
    options.port = 0;
    options.*member = value;
    EXPECT_FALSE(ApiServer::start(options, demo_around(std::make_unique<FakeEngine>())).ok()) << value;
  }
}

}  // namespace
}  // namespace hadal
