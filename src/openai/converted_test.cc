// Other APIs' requests as the chats that they mean.
#include "openai/converted.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "openai/tokenize.h"

namespace hadal::openai {
namespace {

using nlohmann::json;

json messages_of(const Result<ResponsesRequest>& request) {
  return request.ok() ? json(*request->messages) : json(request.error().message);
}
json messages_of(const Result<ChatCompletionRequest>& request) {
  return request.ok() ? json(*request->messages) : json(request.error().message);
}
std::string place_of(const Result<ResponsesRequest>& request) {
  return request.ok() ? "(ok)" : request.error().param.value_or("(none)");
}
std::string place_of(const Result<ChatCompletionRequest>& request) {
  return request.ok() ? "(ok)" : request.error().param.value_or("(none)");
}
Result<ChatCompletionRequest> messages(const std::string& body) {
  return parse_messages(body, MessagesUse::kAnswer);
}

TEST(Responses, TextAndInstructionsAreAConversation) {
  const auto request =
      parse_responses(R"({"model":"m","input":"Hi","instructions":"Be short.","max_output_tokens":7,)"
                      R"("temperature":0.5,"top_k":3,"reasoning":{"effort":"high"},"stream":true})");
  EXPECT_EQ(messages_of(request),
            json::parse(R"([{"role":"system","content":"Be short."},{"role":"user","content":"Hi"}])"));
  EXPECT_EQ(request->max_tokens, 7);
  EXPECT_EQ(request->top_k, 3);
  EXPECT_EQ(request->reasoning_effort, "high");
  EXPECT_TRUE(request->stream);
  EXPECT_EQ((*request->shown)["instructions"], "Be short.");
}

TEST(Responses, ItemsBecomeTurns) {
  const auto request = parse_responses(R"({"input":[
    {"role":"user","content":[{"type":"input_text","text":"Weather?"}]},
    {"type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":"I ask."}]},
    {"type":"function_call","call_id":"c1","name":"weather","arguments":"{}"},
    {"type":"function_call","call_id":"c2","name":"now","arguments":"{}"},
    {"type":"function_call_output","call_id":"c1","output":"sunny"},
    {"type":"message","role":"assistant","content":[{"type":"output_text","text":"Sunny.","annotations":[]}]},
    {"role":"user","content":"Thanks"}],
    "tools":[{"type":"function","name":"weather","parameters":{"type":"object"},"strict":true}],"tool_choice":"auto"})");
  ASSERT_TRUE(request.ok()) << request.error().message;
  const json got = messages_of(request);
  ASSERT_EQ(got.size(), 5u) << got.dump();
  EXPECT_EQ(got[1]["reasoning_content"], "I ask.");
  EXPECT_EQ(got[1]["tool_calls"].size(), 2u);
  EXPECT_EQ(got[1]["tool_calls"][1]["function"]["name"], "now");
  EXPECT_EQ(got[2]["tool_call_id"], "c1");
  EXPECT_EQ(got[3]["content"], "Sunny.");
  EXPECT_EQ((*request->tools)[0]["function"]["name"], "weather");
}

TEST(Responses, WhatNeedsAStoreOrIsNoTextIsRefusedByName) {
  EXPECT_EQ(place_of(parse_responses(R"({"input":"x","previous_response_id":"resp_1"})")),
            "previous_response_id");
  EXPECT_EQ(place_of(parse_responses(R"({"input":"x","background":true})")), "background");
  EXPECT_EQ(place_of(parse_responses(R"({"input":"x","truncation":"auto"})")), "truncation");
  EXPECT_EQ(place_of(parse_responses(R"({"input":"x","text":{"format":{"type":"json_schema"}}})")),
            "text.format.type");
  EXPECT_EQ(place_of(parse_responses(R"({"input":"x","tools":[{"type":"web_search"}]})")), "tools[0].type");
  EXPECT_EQ(place_of(parse_responses(R"({"input":[{"type":"item_reference","id":"x"}]})")), "input[0].type");
  EXPECT_EQ(place_of(parse_responses(R"({"input":[{"role":"user","content":[{"type":"input_image"}]}]})")),
            "input[0].content[0].type");
  EXPECT_EQ(place_of(parse_responses(R"({"input":[{"role":"robot","content":"x"}]})")), "input");
  EXPECT_EQ(place_of(parse_responses(R"({})")), "input");
  EXPECT_EQ(place_of(parse_responses(R"({"input":[]})")), "input");
  EXPECT_EQ(place_of(parse_responses(R"({"input":"x","temperature":3})")), "temperature");
}

TEST(Messages, BlocksBecomeTurns) {
  const auto request = messages(
      R"({"model":"m","max_tokens":9,"system":[{"type":"text","text":"Be short."}],"stop_sequences":["X"],
    "thinking":{"type":"enabled","budget_tokens":50},
    "messages":[{"role":"user","content":"Weather?"},
      {"role":"assistant","content":[{"type":"thinking","thinking":"I ask.","signature":""},{"type":"text","text":"Wait."},
        {"type":"tool_use","id":"t1","name":"weather","input":{"city":"Oslo"}}]},
      {"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":[{"type":"text","text":"sunny"}]},
        {"type":"text","text":"So?"}]}],
    "tools":[{"name":"weather","input_schema":{"type":"object"}}],"tool_choice":{"type":"auto","disable_parallel_tool_use":true}})");
  ASSERT_TRUE(request.ok()) << request.error().message;
  const json got = messages_of(request);
  ASSERT_EQ(got.size(), 5u) << got.dump();
  EXPECT_EQ(got[0], (json{{"role", "system"}, {"content", "Be short."}}));
  EXPECT_EQ(got[2]["reasoning_content"], "I ask.");
  EXPECT_EQ(json::parse(got[2]["tool_calls"][0]["function"]["arguments"].get<std::string>()),
            (json{{"city", "Oslo"}}));
  EXPECT_EQ(got[3]["role"], "tool");
  EXPECT_EQ(got[4]["content"], "So?");
  EXPECT_EQ(request->stop, std::vector<std::string>{"X"});
  EXPECT_EQ(request->thinking_token_budget, 50);
  EXPECT_EQ((*request->chat_template_kwargs)["thinking"], true);
  EXPECT_EQ(request->parallel_tool_calls, false);
  EXPECT_EQ((*request->tools)[0]["function"]["parameters"]["type"], "object");
}

TEST(Messages, AFinalAssistantTurnIsContinued) {
  const auto request = messages(
      R"({"max_tokens":9,"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"Well"}]})");
  ASSERT_TRUE(request.ok()) << request.error().message;
  EXPECT_TRUE(request->continue_final_message);
  EXPECT_FALSE(request->add_generation_prompt);
}

TEST(Messages, WhatIsWrongIsRefusedWithItsPlace) {
  EXPECT_EQ(place_of(messages(R"({"messages":[{"role":"user","content":"x"}]})")), "max_tokens");
  EXPECT_EQ(
      place_of(parse_messages(R"({"messages":[{"role":"user","content":"x"}]})", MessagesUse::kCountTokens)),
      "(ok)");
  EXPECT_EQ(place_of(messages(R"({"max_tokens":1})")), "messages");
  EXPECT_EQ(place_of(messages(R"({"max_tokens":1,"messages":[]})")), "messages");
  EXPECT_EQ(place_of(messages(R"({"max_tokens":1,"messages":[{"role":"system","content":"x"}]})")),
            "messages[0].role");
  EXPECT_EQ(
      place_of(messages(R"({"max_tokens":1,"messages":[{"role":"user","content":[{"type":"image"}]}]})")),
      "messages[0].content[0].type");
  EXPECT_EQ(
      place_of(messages(
          R"({"max_tokens":1,"messages":[{"role":"user","content":"x"}],"tool_choice":{"type":"any"}})")),
      "tool_choice.type");
  EXPECT_EQ(
      place_of(messages(
          R"({"max_tokens":1,"messages":[{"role":"user","content":"x"}],"thinking":{"type":"maybe"}})")),
      "thinking.type");
  ApiError error = invalid_request("no");
  EXPECT_EQ(json::parse(anthropic_error_body(error)),
            json::parse(R"({"type":"error","error":{"type":"invalid_request_error","message":"no"}})"));
}

TEST(Tokenize, TakesAPromptOrMessages) {
  EXPECT_EQ(parse_tokenize(R"({"prompt":"x","add_special_tokens":false})")->fields.add_special_tokens, false);
  EXPECT_TRUE(parse_tokenize(R"({"messages":[{"role":"user","content":"x"}]})")->chat.has_value());
  EXPECT_FALSE(parse_tokenize(R"({"prompt":[1]})").ok());
  EXPECT_FALSE(parse_tokenize(R"({})").ok());
  EXPECT_EQ(parse_detokenize(R"({"tokens":[1,2]})")->tokens, (std::vector<int32_t>{1, 2}));
  EXPECT_EQ(*parse_detokenize(R"({"tokens":[-1]})").error().param, "tokens[0]");
  EXPECT_EQ(tokenize_json({1, 2}, 9, std::vector<std::string>{"a", "\""}),
            R"({"count":2,"max_model_len":9,"tokens":[1,2],"token_strs":["a","\""]})");
}

}  // namespace
}  // namespace hadal::openai
