// What the endpoints of chats and completions make of a model's text: tool calls, reasoning, prompts as they
// reach the engine, what is asked of the answer's form.
#include "server/endpoints_fixture.h"

namespace hadal {
namespace {

using nlohmann::json;

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
  EXPECT_EQ(
      post("/v1/messages",
           {{"messages", body["messages"]}, {"stop_sequences", {"1"}}, {"max_tokens", 9}})["stop_reason"],
      "end_turn");
}

TEST_F(Endpoints, ARequestMayWantMoreTokensInAChunk) {
  start();
  say({"a", "b", "c", "d"});
  EXPECT_EQ(stream("/v1/completions", {{"prompt", {5}}}).size(), 5u);
  EXPECT_EQ(stream("/v1/completions", {{"prompt", {5}}, {"stream_interval", 9}}).size(), 3u)
      << "the first, the rest, [DONE]";
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
