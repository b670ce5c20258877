#include "openai/request.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "base/files.h"
#include "openai/json_reader.h"
#include "openai/request_fields.h"

namespace hadal::openai {
namespace {

using Json = nlohmann::ordered_json;

const std::string kChat = R"({"model":"m","messages":[{"role":"user","content":"hi"}])";  // left open
std::string chat_with(const std::string& fields) { return kChat + (fields.empty() ? "" : ",") + fields + "}"; }
std::string text_with(const std::string& fields) { return R"({"model":"m","prompt":"hi",)" + fields + "}"; }

// The `param` of the error, or "" for none given, or "(ok)".
std::string chat_error(const std::string& fields) {
  const auto request = parse_chat_completion(chat_with(fields));
  if (request.ok()) return "(ok)";
  EXPECT_EQ(request.error().status, 400);
  EXPECT_EQ(request.error().type, "invalid_request_error");
  EXPECT_FALSE(request.error().message.empty());
  return request.error().param.value_or("");
}
std::string text_error(const std::string& fields) {
  const auto request = parse_completion(text_with(fields));
  return request.ok() ? "(ok)" : request.error().param.value_or("");
}
std::string messages_error(const std::string& messages) {
  const auto request = parse_chat_completion(R"({"messages":)" + messages + "}");
  return request.ok() ? "(ok)" : request.error().param.value_or("");
}

TEST(ChatRequest, TakesEveryFieldItKnows) {
  const auto request = parse_chat_completion(chat_with(R"(
      "temperature":0.5,"top_p":0.9,"top_k":40,"min_p":0.1,"presence_penalty":-2,"frequency_penalty":2,
      "repetition_penalty":1.1,"seed":-9223372036854775808,"logit_bias":{"5":-100,"7":1.5},"max_tokens":10,
      "max_completion_tokens":20,"min_tokens":3,"stop":["a","b"],"stop_token_ids":[1,2],"ignore_eos":true,
      "include_stop_str_in_output":true,"skip_special_tokens":false,"n":2,"stream":true,
      "stream_options":{"include_usage":true},"logprobs":true,"top_logprobs":5,"return_token_ids":true,"priority":-3,
      "cache_salt":"s","user":"u","chat_template_kwargs":{"thinking":true},"some_new_field":{"x":[1]},
      "tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"}}}],
      "tool_choice":"auto","response_format":{"type":"text"},"temperature_unknown":1)"));
  ASSERT_TRUE(request.ok()) << request.error().message;
  EXPECT_EQ(request->model, "m");
  EXPECT_EQ(request->temperature, 0.5);
  EXPECT_EQ(request->top_k, 40);
  EXPECT_EQ(request->seed, std::numeric_limits<int64_t>::min());
  EXPECT_EQ(request->max_tokens, 20) << "max_completion_tokens goes first";
  EXPECT_EQ(request->logit_bias, (std::vector<std::pair<int32_t, float>>{{5, -100.0f}, {7, 1.5f}}));
  EXPECT_EQ(request->stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(request->stop_token_ids, (std::vector<int32_t>{1, 2}));
  EXPECT_EQ(request->n, 2);
  EXPECT_TRUE(request->stream && request->include_usage && request->ignore_eos && request->return_token_ids);
  EXPECT_FALSE(request->skip_special_tokens);
  EXPECT_EQ(request->top_logprobs, 5);
  EXPECT_EQ(request->priority, -3);
  EXPECT_EQ(request->tools->at(0)["function"]["name"], "f");
  EXPECT_EQ(request->chat_template_kwargs->dump(), R"({"thinking":true})");
}

TEST(ChatRequest, NullMeansNotGiven) {
  const auto request = parse_chat_completion(chat_with(
      R"("temperature":null,"stop":null,"max_tokens":null,"tools":null,"response_format":null,"suffix":null,"stream":null,"logit_bias":null,"guided_json":null,"n":null)"));
  ASSERT_TRUE(request.ok()) << request.error().message;
  EXPECT_FALSE(request->temperature);
  EXPECT_FALSE(request->max_tokens);
  EXPECT_EQ(request->n, 1);
  EXPECT_EQ(request->top_logprobs, -1);
  EXPECT_TRUE(request->add_generation_prompt);
}

TEST(ChatRequest, EveryRangeNamesItsField) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"("temperature":-0.1)", "temperature"}, {R"("temperature":2.1)", "temperature"}, {R"("temperature":2)", "(ok)"},
      {R"("temperature":"1")", "temperature"}, {R"("temperature":true)", "temperature"}, {R"("temperature":[1])", "temperature"},
      {R"("top_p":0)", "top_p"}, {R"("top_p":1.01)", "top_p"}, {R"("top_p":1)", "(ok)"},
      {R"("min_p":-0.1)", "min_p"}, {R"("min_p":1.5)", "min_p"},
      {R"("top_k":-2)", "top_k"}, {R"("top_k":0)", "(ok)"}, {R"("top_k":1.5)", "top_k"}, {R"("top_k":99999999999)", "top_k"},
      {R"("presence_penalty":2.5)", "presence_penalty"}, {R"("frequency_penalty":-2.5)", "frequency_penalty"},
      {R"("repetition_penalty":0)", "repetition_penalty"}, {R"("repetition_penalty":-1)", "repetition_penalty"},
      {R"("max_tokens":0)", "max_tokens"}, {R"("max_tokens":-5)", "max_tokens"}, {R"("max_tokens":5.0)", "(ok)"},
      {R"("max_tokens":1e30)", "max_tokens"}, {R"("max_tokens":18446744073709551615)", "max_tokens"},
      {R"("max_completion_tokens":0)", "max_completion_tokens"},
      {R"("min_tokens":-1)", "min_tokens"}, {R"("min_tokens":5,"max_tokens":4)", "min_tokens"},
      {R"("n":0)", "n"}, {R"("n":129)", "n"}, {R"("n":2,"temperature":0)", "n"},
      {R"("seed":9223372036854775808)", "seed"}, {R"("seed":"x")", "seed"}, {R"("seed":-1)", "(ok)"},
      {R"("stop":"")", "stop"}, {R"("stop":["a",""])", "stop[1]"}, {R"("stop":[1])", "stop[0]"}, {R"("stop":5)", "stop"},
      {R"("stop_token_ids":[-1])", "stop_token_ids[0]"}, {R"("stop_token_ids":[2147483648])", "stop_token_ids[0]"},
      {R"("logit_bias":{"x":1})", "logit_bias.x"}, {R"("logit_bias":{"-1":1})", "logit_bias.-1"},
      {R"("logit_bias":{"1":101})", "logit_bias.1"}, {R"("logit_bias":[1])", "logit_bias"},
      {R"("logit_bias":{"99999999999999999999":1})", "logit_bias.99999999999999999999"},
      {R"("stream":1)", "stream"}, {R"("stream_options":{"include_usage":true})", "stream_options"},
      {R"("stream":true,"stream_options":{"include_usage":1})", "stream_options.include_usage"},
      {R"("top_logprobs":5)", "top_logprobs"}, {R"("logprobs":true,"top_logprobs":21)", "top_logprobs"},
      {R"("logprobs":5)", "logprobs"}, {R"("cache_salt":"")", "cache_salt"}, {R"("priority":1e12)", "priority"},
      {R"("chat_template_kwargs":[])", "chat_template_kwargs"},
      {R"("tool_choice":"auto")", "tool_choice"}, {R"("tool_choice":"required")", "tool_choice"},
      {R"("tool_choice":{"type":"function","function":{"name":"f"}})", "tool_choice"}, {R"("tool_choice":"none")", "(ok)"},
      {R"("tools":[{"type":"retrieval"}])", "tools[0].type"}, {R"("tools":[{"type":"function","function":{}}])", "tools[0].function.name"},
      {R"("tools":[{"type":"function","function":{"name":"f","parameters":[]}}])", "tools[0].function.parameters"},
      {R"("response_format":{"type":"json_object"})", "response_format.type"}, {R"("guided_regex":"a+")", "guided_regex"},
      {R"("functions":[{"name":"f"}])", "functions"}, {R"("continue_final_message":true)", "continue_final_message"},
      {R"("model":5)", "model"}, {R"("audio":{})", "audio"}, {R"("modalities":["text"])", "(ok)"},
  };
  for (const auto& [fields, param] : cases) EXPECT_EQ(chat_error(fields), param) << fields;
}

TEST(ChatRequest, ResumeIsReadStrictlyAndTakesOneChoice) {
  const auto request = parse_chat_completion(
      chat_with(R"("resume":{"output_token_ids":[5,6],"seed":-3,"choice":2},"seed":-3,"max_tokens":2)"));
  ASSERT_TRUE(request.ok()) << request.error().message;
  EXPECT_EQ(request->resume->output_token_ids, (std::vector<int32_t>{5, 6}));
  EXPECT_EQ(request->resume->seed, -3);
  EXPECT_EQ(request->resume->choice, 2);
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"("resume":{"output_token_ids":[],"seed":1})", "(ok)"},
      {R"("resume":null)", "(ok)"},
      {R"("resume":[])", "resume"},
      {R"("resume":{"seed":1})", "resume.output_token_ids"},
      {R"("resume":{"output_token_ids":[1]})", "resume.seed"},
      {R"("resume":{"output_token_ids":[1],"seed":1.5})", "resume.seed"},
      {R"("resume":{"output_token_ids":[1,-2],"seed":1})", "resume.output_token_ids[1]"},
      {R"("resume":{"output_token_ids":"1","seed":1})", "resume.output_token_ids"},
      {R"("resume":{"output_token_ids":[1],"seed":1,"choice":-1})", "resume.choice"},
      {R"("resume":{"output_token_ids":[1],"seed":1,"chioce":1})", "resume.chioce"},
      {R"("resume":{"output_token_ids":[1],"seed":1},"n":2)", "n"},
      {R"("resume":{"output_token_ids":[1],"seed":1},"seed":2)", "resume.seed"},
      {R"("resume":{"output_token_ids":[1,2,3],"seed":1},"max_tokens":2)", "resume.output_token_ids"},
  };
  for (const auto& [fields, param] : cases) EXPECT_EQ(chat_error(fields), param) << fields;
  EXPECT_EQ(text_error(R"("resume":{"output_token_ids":[1],"seed":1})"), "(ok)");
  EXPECT_EQ(text_error(R"("resume":{"output_token_ids":[1],"seed":1},"echo":true)"), "echo");
  const auto two = parse_completion(R"({"prompt":["a","b"],"resume":{"output_token_ids":[1],"seed":1}})");
  ASSERT_FALSE(two.ok());
  EXPECT_EQ(two.error().param, "prompt");
}

TEST(ChatRequest, MessagesAreCheckedAndNormalised) {
  EXPECT_EQ(messages_error("[]"), "messages");
  EXPECT_EQ(messages_error("5"), "messages");
  EXPECT_EQ(messages_error("[5]"), "messages[0]");
  EXPECT_EQ(messages_error(R"([{"content":"x"}])"), "messages[0].role");
  EXPECT_EQ(messages_error(R"([{"role":"wizard","content":"x"}])"), "messages[0].role");
  EXPECT_EQ(messages_error(R"([{"role":"function","content":"x"}])"), "messages[0].role");
  EXPECT_EQ(messages_error(R"([{"role":"user"}])"), "messages[0].content");
  EXPECT_EQ(messages_error(R"([{"role":"user","content":null}])"), "messages[0].content");
  EXPECT_EQ(messages_error(R"([{"role":"user","content":5}])"), "messages[0].content");
  EXPECT_EQ(messages_error(R"([{"role":"user","content":[{"type":"image_url"}]}])"), "messages[0].content[0].type");
  EXPECT_EQ(messages_error(R"([{"role":"user","content":[{"text":"x"}]}])"), "messages[0].content[0].type");
  EXPECT_EQ(messages_error(R"([{"role":"user","content":"x","name":5}])"), "messages[0].name");
  EXPECT_EQ(messages_error(R"([{"role":"user","content":"x","tool_calls":[]}])"), "messages[0].tool_calls");
  EXPECT_EQ(messages_error(R"([{"role":"assistant","tool_calls":[{"function":{}}]}])"), "messages[0].tool_calls[0].function.name");
  EXPECT_EQ(messages_error(R"([{"role":"assistant"}])"), "messages[0].content");
  EXPECT_EQ(messages_error(R"([{"role":"system","content":null}])"), "messages[0].content");

  const auto request = parse_chat_completion(R"({"messages":[
      {"content":[{"type":"text","text":"one"},{"type":"text","text":"two"}],"role":"user","name":"n"},
      {"role":"assistant","reasoning":"why","tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},
      {"role":"tool","content":"42","tool_call_id":"1"},
      {"role":"assistant","content":"pre","prefix":true}],"add_generation_prompt":false,"continue_final_message":true})");
  ASSERT_TRUE(request.ok()) << request.error().message;
  EXPECT_EQ(request->messages->dump(),
            R"([{"role":"user","content":"one\ntwo","name":"n"},)"
            R"({"role":"assistant","content":null,"reasoning_content":"why","tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},)"
            R"({"role":"tool","content":"42","tool_call_id":"1"},{"role":"assistant","content":"pre","prefix":true}])");
}

TEST(ChatRequest, AnswersWithoutTextAreSentBackAsTheyCame) {
  const auto request = parse_chat_completion(R"({"messages":[{"role":"user","content":"hi"},
      {"role":"assistant","content":null,"refusal":"no","tool_calls":null},{"role":"tool","content":null,"tool_call_id":"1"}]})");
  ASSERT_TRUE(request.ok()) << request.error().message;
  EXPECT_EQ(request->messages->at(1)["content"], "");
  EXPECT_EQ(request->messages->at(2)["content"], "");
}

TEST(ChatRequest, AToolMayBeANameAlone) {
  const auto request = parse_chat_completion(chat_with(R"("tools":[{"type":"function","function":{"name":"now","parameters":null}}])"));
  ASSERT_TRUE(request.ok()) << request.error().message;
  EXPECT_EQ(request->tools->dump(),
            R"([{"type":"function","function":{"name":"now","parameters":{"type":"object","properties":{}},"description":""}}])");
}

TEST(ChatRequest, WhatVllmUsesIsUsedOrRefusedAndNeverPassedOver) {
  const auto request = parse_chat_completion(chat_with(
      R"("truncation_side":"right","truncate_prompt_tokens":4,"stream":true,"stream_interval":8,"vllm_xargs":{"a":1},"watermarking":false)"));
  ASSERT_TRUE(request.ok()) << request.error().message;
  EXPECT_TRUE(request->truncate_keeps_first);
  EXPECT_EQ(request->stream_interval, 8);
  EXPECT_EQ(chat_error(R"("truncation_side":"middle")"), "truncation_side");
  EXPECT_EQ(chat_error(R"("stream_interval":0)"), "stream_interval");
  EXPECT_EQ(chat_error(R"("logprob_token_ids":[1])"), "logprob_token_ids");
  EXPECT_EQ(chat_error(R"("repetition_detection":{"max_pattern_size":4})"), "repetition_detection");
  EXPECT_EQ(chat_error(R"("watermarking":true)"), "watermarking");
  EXPECT_EQ(chat_error(R"("return_prompt_text":true)"), "return_prompt_text");
  EXPECT_EQ(chat_error(R"("request_id":")" + std::string(257, 'x') + R"(")"), "request_id");
}

TEST(CompletionRequest, PromptForms) {
  const auto prompts = [](const std::string& prompt) { return parse_completion(R"({"prompt":)" + prompt + "}"); };
  EXPECT_EQ(prompts(R"("a")")->prompts[0].text, "a");
  EXPECT_EQ(prompts(R"(["a","b"])")->prompts.size(), 2u);
  EXPECT_EQ(prompts("[1,2,3]")->prompts[0].ids, (std::vector<int32_t>{1, 2, 3}));
  EXPECT_TRUE(prompts("[1]")->prompts[0].is_ids);
  EXPECT_EQ(prompts("[[1],[2,3]]")->prompts[1].ids, (std::vector<int32_t>{2, 3}));
  for (const auto& [prompt, param] : std::vector<std::pair<std::string, std::string>>{
           {"[]", "prompt"}, {"[[]]", "prompt[0]"}, {"null", "prompt"}, {"5", "prompt"}, {"{}", "prompt"}, {"[true]", "prompt"},
           {R"(["a",1])", "prompt[1]"}, {R"([1,"a"])", "prompt[1]"}, {"[[1],2]", "prompt[1]"}, {"[-1]", "prompt[0]"},
           {"[1.5]", "prompt[0]"}, {"[[2147483648]]", "prompt[0][0]"}}) {
    const auto request = prompts(prompt);
    ASSERT_FALSE(request.ok()) << prompt;
    EXPECT_EQ(request.error().param, param) << prompt;
  }
}

TEST(CompletionRequest, ItsOwnFields) {
  EXPECT_EQ(text_error(R"("logprobs":5,"echo":true,"max_tokens":0)"), "(ok)");
  EXPECT_EQ(text_error(R"("max_tokens":0)"), "max_tokens");
  EXPECT_EQ(text_error(R"("logprobs":21)"), "logprobs");
  EXPECT_EQ(text_error(R"("logprobs":true)"), "logprobs");
  EXPECT_EQ(text_error(R"("suffix":"x")"), "(ok)");
  EXPECT_EQ(parse_completion(R"({"suffix":"x","prompt":[1,2]})").error().param, "suffix");
  EXPECT_EQ(text_error(R"("suffix":"x","echo":true,"logprobs":1)"), "suffix");
  EXPECT_EQ(text_error(R"("bad_words":[""])"), "bad_words[0]");
  EXPECT_EQ(text_error(R"("allowed_token_ids":[])"), "allowed_token_ids");
  EXPECT_EQ(text_error(R"("truncate_prompt_tokens":0)"), "truncate_prompt_tokens");
  EXPECT_EQ(text_error(R"("truncate_prompt_tokens":-1)"), "(ok)");
  EXPECT_EQ(text_error(R"("prompt_logprobs":1,"stream":true)"), "prompt_logprobs");
  EXPECT_EQ(text_error(R"("suffix":"")"), "(ok)");
  EXPECT_EQ(text_error(R"("best_of":3,"n":2)"), "(ok)");
  EXPECT_EQ(text_error(R"("best_of":1,"n":2)"), "best_of");
  EXPECT_EQ(text_error(R"("best_of":3,"n":2,"stream":true)"), "best_of");
  EXPECT_EQ(text_error(R"("best_of":2,"n":2)"), "(ok)");
  EXPECT_EQ(text_error(R"("messages":5)"), "(ok)") << "a field of the other endpoint is unknown here";
}

TEST(BadJson, IsA400ThatSaysWhere) {
  const std::vector<std::string> bad = {"", "  ", "{", "[]", "5", "null", "nonsense", R"({"a":})", R"({"temperature":NaN,"prompt":"x"})",
                                        R"({"prompt":"x","temperature":1e999})", "{\"prompt\":\"\xff\xfe\"}", R"({"prompt":"\ud800"})",
                                        R"({"prompt":"x"} trailing)", R"({"prompt":"x",})", std::string("{\"prompt\":\"a\0b\"}", 15)};
  for (const std::string& text : bad) {
    const auto request = parse_completion(text);
    ASSERT_FALSE(request.ok()) << text;
    EXPECT_EQ(request.error().status, 400);
    const auto body = nlohmann::json::parse(request.error().body());
    EXPECT_EQ(body["error"]["type"], "invalid_request_error") << text;
  }
}

TEST(BadJson, DuplicateKeysDepthAndSizeAreRefused) {
  EXPECT_EQ(chat_error(R"("n":1,"n":2)"), "n");
  EXPECT_EQ(messages_error(R"([{"role":"user","role":"system","content":"x"}])"), "messages[0].role");
  EXPECT_EQ(chat_error(R"("x":)" + std::string(100'000, '[') + std::string(100'000, ']')), "");
  Json tree;
  EXPECT_TRUE(read_json("[1,2,3,4]", {.max_values = 4}, &tree));
  EXPECT_FALSE(read_json("[1,2,3]", {.max_values = 4}, &tree));
  std::string many = "{";
  for (int i = 0; i < 200'000; ++i) many += "\"k" + std::to_string(i) + "\":1,";
  EXPECT_FALSE(read_json(many + "\"z\":1}", {}, &tree)) << "many keys must not take quadratic time";
  EXPECT_EQ(tree.size(), 200'001u);
  const auto twice = read_json(many + "\"k777\":1}", {}, &tree);
  ASSERT_TRUE(twice);
  EXPECT_EQ(twice->param, "k777");
}

TEST(FieldTable, HasNoDoubleRowsAndIsTheDocumentedOne) {
  size_t count = 0;
  const FieldRow* rows = field_table(&count);
  std::set<std::string> seen;
  for (size_t i = 0; i < count; ++i) {
    EXPECT_EQ(rows[i].read == nullptr, rows[i].action == FieldAction::kIgnored) << rows[i].name;
    if (rows[i].endpoint != Endpoint::kCompletions) {
      EXPECT_TRUE(seen.insert("chat/" + std::string(rows[i].name)).second) << rows[i].name;
    }
    if (rows[i].endpoint != Endpoint::kChat) {
      EXPECT_TRUE(seen.insert("text/" + std::string(rows[i].name)).second) << rows[i].name;
    }
  }
  const std::string path = std::string(HADAL_SOURCE_DIR) + "/docs/request-fields.md";
  if (std::getenv("HADAL_UPDATE_DOCS") != nullptr) {
    ASSERT_TRUE(write_file(path, request_fields_markdown()).ok());
  }
  const auto page = read_file(path);
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_EQ(*page, request_fields_markdown()) << "run this test with HADAL_UPDATE_DOCS=1 and commit the page";
}

}  // namespace
}  // namespace hadal::openai
