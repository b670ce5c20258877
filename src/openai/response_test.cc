#include "openai/response.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "openai/json_writer.h"
#include "openai/stream.h"

namespace hadal::openai {
namespace {

using Json = nlohmann::ordered_json;
const ResponseMeta kMeta{.id = "chatcmpl-1", .created = 17, .model = "m", .system_fingerprint = "fp"};

std::string quoted(std::string_view text) {
  std::string out;
  append_json_string(text, &out);
  return out;
}

TEST(JsonWriter, StringsAreAlwaysValidJson) {
  EXPECT_EQ(quoted("a\"b\\c\n\r\t\x01\x7f/"), "\"a\\\"b\\\\c\\n\\r\\t\\u0001\x7f/\"");
  EXPECT_EQ(quoted("héllo 日本 🙂"), "\"héllo 日本 🙂\"");
  EXPECT_EQ(quoted("\xe6\x97"), "\"\xef\xbf\xbd\xef\xbf\xbd\"") << "half a character";
  EXPECT_EQ(quoted("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"") << "a surrogate";
  EXPECT_EQ(quoted("\xc0\xaf"), "\"\xef\xbf\xbd\xef\xbf\xbd\"") << "an overlong form";
  EXPECT_EQ(quoted("\xf4\x90\x80\x80").size(), 2u + 12u) << "beyond U+10FFFF";
  // Every pair of bytes gives something that the JSON library reads back.
  for (int i = 0; i < 256 * 256; ++i) {
    const char bytes[] = {static_cast<char>(i >> 8), static_cast<char>(i & 255)};
    const std::string text = quoted(std::string_view(bytes, 2));
    ASSERT_TRUE(Json::accept(text)) << i;
    ASSERT_EQ(Json::parse(text).get<std::string>(), to_valid_utf8(std::string_view(bytes, 2)));
  }
  EXPECT_EQ(count_code_points("a日\xff"), 3);
}

TEST(JsonWriter, LogprobsAreNumbersThatJsonHas) {
  const auto written = [](float value) {
    std::string out;
    append_logprob(value, &out);
    return out;
  };
  EXPECT_EQ(written(-0.25f), "-0.25");
  EXPECT_EQ(written(-INFINITY), "-9999");
  EXPECT_EQ(written(NAN), "null");
  EXPECT_EQ(Json::parse(written(-1e-12f)).get<float>(), -1e-12f);
}

TEST(ErrorBody, HasOpenAiShape) {
  const auto body = Json::parse(model_not_found("gp\"t").body());
  EXPECT_EQ(body.dump(), R"({"error":{"message":"The model `gp\"t` does not exist.","type":"invalid_request_error","param":"model","code":"model_not_found"}})");
  EXPECT_EQ(model_not_found("x").status, 404);
  EXPECT_EQ(error_from_status(invalid_argument("bad")).status, 400);
  EXPECT_EQ(error_from_status(resource_exhausted("full")).status, 429);
  EXPECT_EQ(error_from_status(resource_exhausted("full")).retry_after_seconds, 1);
  EXPECT_EQ(error_from_status(unavailable("draining")).status, 503);
  EXPECT_EQ(error_from_status(internal_error("secret path")).status, 500);
  EXPECT_EQ(error_from_status(internal_error("secret path")).message.find("secret"), std::string::npos);
  EXPECT_EQ(context_length_exceeded(100, 90, 20).code, "context_length_exceeded");
  for (int status : {400, 401, 403, 404, 405, 408, 413, 429, 431, 500, 503}) {
    EXPECT_TRUE(Json::accept(error_for_status(status, "bytes \xff").body())) << status;
  }
}

std::vector<PositionLogprobs> two_positions() {
  return {{.chosen = {.id = 5, .bytes = "日", .logprob = -0.5f}, .top = {{5, "日", -0.5f}, {6, "\xe6", -1.5f}}},
          {.chosen = {.id = 7, .bytes = "b", .logprob = -2.0f}, .top = {{8, "c", -0.25f}, {7, "b", -2.0f}}}};
}

TEST(Chat, WholeResponse) {
  ChatCompletion completion{.meta = kMeta, .usage = {.prompt_tokens = 10, .completion_tokens = 3, .cached_tokens = 4}};
  ChatChoice choice{.content = "four", .reasoning = "2+2", .finish_reason = "stop", .stop_reason = std::string("END")};
  choice.logprobs = two_positions();
  choice.token_ids = std::vector<int32_t>{5, 7};
  completion.choices = {choice};
  completion.prompt_token_ids = std::vector<int32_t>{1, 2};
  const Json json = Json::parse(chat_completion_json(completion));
  EXPECT_EQ(json["object"], "chat.completion");
  EXPECT_EQ(json["system_fingerprint"], "fp");
  EXPECT_EQ(json["choices"][0]["message"].dump(),
            R"({"role":"assistant","content":"four","refusal":null,"reasoning_content":"2+2","reasoning":"2+2"})");
  EXPECT_EQ(json["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(json["choices"][0]["stop_reason"], "END");
  EXPECT_EQ(json["choices"][0]["token_ids"].dump(), "[5,7]");
  EXPECT_EQ(json["prompt_token_ids"].dump(), "[1,2]");
  EXPECT_EQ(json["choices"][0]["logprobs"].dump(),
            "{\"content\":[{\"token\":\"日\",\"logprob\":-0.5,\"bytes\":[230,151,165],\"top_logprobs\":[{\"token\":\"日\",\"logprob\":-0.5,"
            "\"bytes\":[230,151,165]},{\"token\":\"\xef\xbf\xbd\",\"logprob\":-1.5,\"bytes\":[230]}]},{\"token\":\"b\",\"logprob\":-2,\"bytes\":[98],"
            "\"top_logprobs\":[{\"token\":\"c\",\"logprob\":-0.25,\"bytes\":[99]},{\"token\":\"b\",\"logprob\":-2,\"bytes\":[98]}]}]}");
  EXPECT_EQ(json["usage"].dump(),
            R"({"prompt_tokens":10,"completion_tokens":3,"total_tokens":13,"prompt_tokens_details":{"cached_tokens":4},)"
            R"("prompt_cache_hit_tokens":4,"prompt_cache_miss_tokens":6})");
}

TEST(Chat, ToolCallsHaveNullContent) {
  ChatCompletion completion{.meta = kMeta};
  ChatChoice choice{.finish_reason = "tool_calls"};
  choice.tool_calls = {{"call_1", "f", "{\"x\":1}"}};
  completion.choices = {choice};
  const Json message = Json::parse(chat_completion_json(completion))["choices"][0]["message"];
  EXPECT_TRUE(message["content"].is_null());
  EXPECT_EQ(message["tool_calls"].dump(), R"([{"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}])");
}

TEST(Completion, WholeResponseWithLogprobs) {
  TextCompletion completion{.meta = kMeta};
  TextChoice choice{.text = "日b", .finish_reason = "length"};
  choice.logprobs = two_positions();
  choice.logprobs->insert(choice.logprobs->begin(), PositionLogprobs{.chosen = {.id = 1, .bytes = "<s>", .logprob = NAN}});
  completion.choices = {choice};
  const Json json = Json::parse(text_completion_json(completion));
  EXPECT_EQ(json["object"], "text_completion");
  EXPECT_EQ(json["choices"][0]["stop_reason"], nullptr);
  EXPECT_EQ(json["choices"][0]["logprobs"].dump(),
            "{\"text_offset\":[0,3,4],\"token_logprobs\":[null,-0.5,-2],\"tokens\":[\"<s>\",\"日\",\"b\"],"
            "\"top_logprobs\":[null,{\"日\":-0.5,\"\xef\xbf\xbd\":-1.5},{\"b\":-2,\"c\":-0.25}]}");
  completion.token_names = TokenNames::kIds;
  EXPECT_EQ(Json::parse(text_completion_json(completion))["choices"][0]["logprobs"]["tokens"].dump(),
            R"(["token_id:1","token_id:5","token_id:7"])");
}

TEST(Completion, OffsetsMeetTheTextBehindHiddenTokensAndSplitCharacters) {
  TextCompletion completion{.meta = kMeta};
  TextChoice choice{.text = "é!", .finish_reason = "stop"};
  choice.logprobs = std::vector<PositionLogprobs>{{.chosen = {.id = 1, .bytes = "<s>"}, .in_text = false},
                                                  {.chosen = {.id = 2, .bytes = "\xc3"}},
                                                  {.chosen = {.id = 3, .bytes = "\xa9"}},
                                                  {.chosen = {.id = 4, .bytes = "!"}}};
  completion.choices = {choice};
  EXPECT_EQ(Json::parse(text_completion_json(completion))["choices"][0]["logprobs"]["text_offset"].dump(), "[0,0,1,1]");
}

TEST(Stream, ChatChunksAreExactlyAsClientsExpect) {
  const ChatStreamWriter writer(kMeta, {});
  const std::string head = R"(data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":17,"model":"m","choices":[{"index":0,"delta":)";
  std::string out;
  writer.role(0, &out);
  EXPECT_EQ(out, head + R"({"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]})" + "\n\n");
  out.clear();
  writer.delta({.content = "a\n"}, &out);
  EXPECT_EQ(out, head + R"({"content":"a\n"},"logprobs":null,"finish_reason":null}]})" + "\n\n");
  out.clear();
  writer.delta({.reasoning = "r"}, &out);
  EXPECT_EQ(out, head + R"({"reasoning_content":"r","reasoning":"r"},"logprobs":null,"finish_reason":null}]})" + "\n\n");
  out.clear();
  const StopReason stop = int32_t{5};
  writer.delta({.finish_reason = "stop", .stop_reason = &stop}, &out);
  EXPECT_EQ(out, head + R"({},"logprobs":null,"finish_reason":"stop","stop_reason":5}],"system_fingerprint":"fp"})" + "\n\n");
  out.clear();
  const std::vector<ToolCallDelta> calls = {{.index = 0, .id = "c", .name = "f"}, {.index = 1, .arguments = "{"}};
  writer.delta({.content = "x", .tool_calls = &calls}, &out);
  EXPECT_EQ(Json::parse(out.substr(6))["choices"][0]["delta"].dump(),
            R"({"content":"x","tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"f","arguments":""}},)"
            R"({"index":1,"function":{"arguments":"{"}}]})");
  out.clear();
  append_error_event(invalid_request("no"), &out);
  append_done(&out);
  EXPECT_EQ(out, "data: {\"error\":{\"message\":\"no\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":null}}\n\ndata: [DONE]\n\n");
}

TEST(Stream, UsageIsNullThenOnceInAnExtraChunk) {
  const ChatStreamWriter writer(kMeta, {.include_usage = true});
  std::string out;
  const std::vector<int32_t> prompt = {1, 2}, ids = {3};
  const auto logprobs = two_positions();
  writer.role(1, &out, &prompt);
  Json json = Json::parse(out.substr(6));
  EXPECT_TRUE(json.contains("usage") && json["usage"].is_null());
  EXPECT_EQ(json["prompt_token_ids"].dump(), "[1,2]");
  out.clear();
  writer.delta({.choice = 1, .content = "x", .logprobs = &logprobs, .token_ids = &ids}, &out);
  json = Json::parse(out.substr(6));
  EXPECT_EQ(json["choices"][0]["token_ids"].dump(), "[3]");
  EXPECT_EQ(json["choices"][0]["logprobs"]["content"].size(), 2u);
  EXPECT_TRUE(json["usage"].is_null());
  out.clear();
  writer.usage({.prompt_tokens = 2, .completion_tokens = 1}, &out);
  json = Json::parse(out.substr(6));
  EXPECT_EQ(json["choices"].dump(), "[]");
  EXPECT_EQ(json["usage"]["total_tokens"], 3);
  const Usage running{.prompt_tokens = 2, .completion_tokens = 1};
  out.clear();
  ChatStreamWriter(kMeta, {.include_usage = true, .continuous_usage_stats = true}).delta({.content = "x", .usage = &running}, &out);
  EXPECT_EQ(Json::parse(out.substr(6))["usage"]["completion_tokens"], 1);
}

TEST(Stream, TextChunksKeepTheirOffsets) {
  TextStreamWriter writer(kMeta, {});
  const auto logprobs = two_positions();
  std::string out;
  writer.delta({.text = "日b", .logprobs = &logprobs}, &out);
  EXPECT_EQ(Json::parse(out.substr(6))["choices"][0]["logprobs"]["text_offset"].dump(), "[0,1]");
  out.clear();
  writer.delta({.text = "日b", .logprobs = &logprobs}, &out);
  EXPECT_EQ(Json::parse(out.substr(6))["choices"][0]["logprobs"]["text_offset"].dump(), "[2,3]");
  out.clear();
  writer.delta({.text = "", .finish_reason = "length"}, &out);
  EXPECT_EQ(out, R"(data: {"id":"chatcmpl-1","object":"text_completion","created":17,"model":"m","choices":[{"index":0,"text":"","logprobs":null,"finish_reason":"length","stop_reason":null}],"system_fingerprint":"fp"})"
                 "\n\n");
  out.clear();
  writer.usage({.prompt_tokens = 1}, &out);
  EXPECT_EQ(Json::parse(out.substr(6))["usage"]["prompt_tokens"], 1);
}

TEST(Models, ListAndIds) {
  const Json list = Json::parse(model_list_json({{"a", 1, "/models/a", 4096}, {"b", 1, "/models/a", 4096}}));
  EXPECT_EQ(list["data"].size(), 2u);
  EXPECT_EQ(list["data"][0].dump(), R"({"id":"a","object":"model","created":1,"owned_by":"hadal","root":"/models/a","parent":null,"max_model_len":4096})");
  EXPECT_NE(make_id("chatcmpl-"), make_id("chatcmpl-"));
  EXPECT_EQ(make_id("cmpl-").size(), 5u + 32u);
  EXPECT_EQ(version_json("1.0"), R"({"version":"1.0"})");
}

}  // namespace
}  // namespace hadal::openai
