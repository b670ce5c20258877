// The endpoints beside chats and completions: tokenizing, the forms of other APIs, keys, request ids, the
// document.
#include "base/files.h"
#include "server/endpoints.h"
#include "server/endpoints_fixture.h"

namespace hadal {
namespace {

using nlohmann::json;

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

TEST_F(Endpoints, TheOpenApiDocumentHasEveryForm) {
  start();
  say({"ok"});
  auto client = std::move(*http::Client::create(server_->address()));
  const json document = json::parse(client.request("GET", "/openapi.json")->body);
  const auto schema = [&](const std::string& path) {
    return document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"];
  };
  const json user = {{"role", "user"}};
  const auto messages = [&](const char* part) {
    json message = user;
    message["content"] = json::array({{{"type", part}, {"text", "a"}}, {{"type", part}, {"text", "b"}}});
    return json::array({message});
  };
  EXPECT_EQ(schema("/v1/responses")["properties"]["input"]["anyOf"].size(), 2u);
  EXPECT_EQ(schema("/v1/messages")["properties"]["system"]["anyOf"].size(), 2u);
  EXPECT_EQ(schema("/tokenize")["anyOf"].size(), 2u);
  post("/v1/responses", {{"input", messages("input_text")}});
  post("/v1/messages",
       {{"messages", messages("text")}, {"max_tokens", 4}, {"system", messages("text")[0]["content"]}});
  post("/tokenize", {{"messages", messages("text")}});
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

}  // namespace
}  // namespace hadal
