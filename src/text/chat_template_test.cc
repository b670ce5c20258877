#include "text/chat_template.h"

#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "text/encoders/prompt_encoder.h"
#include "text/jinja/template.h"
#include "text/python_json.h"

namespace hadal {
namespace {

using Json = nlohmann::ordered_json;

StatusOr<std::string> render(const std::string& source, const ChatRequest& request = {.messages = Json::array()}) {
  auto chat = ChatTemplate::compile(source);
  if (!chat.ok()) return chat.status();
  return (*chat)->render(request);
}

std::string error_of(const std::string& source) {
  const auto prompt = render(source);
  return prompt.ok() ? "rendered: " + *prompt : std::string(message_of(prompt.status()));
}

ChatRequest conversation(std::string_view messages) {
  ChatRequest request;
  request.messages = Json::parse(messages);
  return request;
}

TEST(ChatTemplate, ErrorsNameTheLine) {
  EXPECT_EQ(error_of("a\n{{ none + 1 }}"),
            "chat template: line 2: unsupported operand type(s) for +: 'NoneType' and 'int'");
  EXPECT_EQ(error_of("a\n\n{% if %}"), "chat template: line 3: expected an expression, got 'end of statement block'");
  EXPECT_EQ(error_of("{% for x in y %}"),
            "chat template: line 1: unexpected end of template, looking for 'endfor' or 'else'");
  EXPECT_EQ(error_of("{{ 1 | nosuch }}"), "chat template: line 1: No filter named 'nosuch'.");
  EXPECT_EQ(error_of("\xff"), "chat template: the template is not valid UTF-8");
}

TEST(ChatTemplate, RaisedMessageComesThroughVerbatim) {
  const auto prompt = render("{% if true %}\n{{ raise_exception('Only one: ' ~ 1 ~ '!') }}{% endif %}");
  EXPECT_EQ(prompt.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(message_of(prompt.status()), "Only one: 1!");
}

TEST(ChatTemplate, KwargsMayNotReplaceTheRequest) {
  ChatRequest request = conversation("[]");
  request.kwargs = Json{{"messages", 1}};
  EXPECT_EQ(render("x", request).status().code(), absl::StatusCode::kInvalidArgument);
  request.kwargs = Json{{"thinking", true}};
  EXPECT_EQ(*render("{{ thinking }}{{ tools }}{{ documents }}", request), "TrueNoneNone");
}

TEST(ChatTemplate, MentionsWhatTheTemplateReads) {
  const auto chat = *ChatTemplate::compile("{% if thinking %}{{ messages[0].tools }}{% endif %}");
  EXPECT_TRUE(chat->mentions("thinking"));
  EXPECT_TRUE(chat->mentions("messages"));
  EXPECT_FALSE(chat->mentions("tools"));  // an attribute, not the variable
  EXPECT_TRUE(ChatTemplate::from_encoder(EncoderKind::kV4)->mentions("thinking"));
}

TEST(ChatTemplate, OneTemplateManyRenders) {
  const auto chat = *ChatTemplate::compile("{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 "
                                           "%}{% endfor %}{{ ns.n }}");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(*chat->render(conversation("[1,2]")), "2");
}

TEST(ChatTemplate, GenerationBlocksAreTheirBodies) {
  EXPECT_EQ(*render("a{% generation %}b{% set x = 1 %}{% endgeneration %}{{ x }}"), "ab1");
}

// --- a template must not hang or exhaust the server

class Hostile : public testing::TestWithParam<const char*> {};

TEST_P(Hostile, EndsWithALimit) {
  const auto begin = std::chrono::steady_clock::now();
  // a tenth of the real limits: the same ends, sooner
  const jinja::Limits limits{.steps = 2'000'000, .memory_bytes = size_t{64} << 20, .output_bytes = size_t{8} << 20};
  const auto compiled = jinja::Template::compile(GetParam());
  const auto prompt = compiled.ok() ? (*compiled)->render(Json::object(), std::nullopt, limits)
                                    : StatusOr<std::string>(compiled.status());
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begin;
  ASSERT_FALSE(prompt.ok()) << "rendered " << prompt->size() << " bytes";
  EXPECT_EQ(prompt.status().code(), absl::StatusCode::kResourceExhausted) << prompt.status();
  EXPECT_LT(spent.count(), 60) << prompt.status();
}

INSTANTIATE_TEST_SUITE_P(
    ChatTemplate, Hostile,
    testing::Values(
        // loops
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        "{% for a in range(100000) %}{% for b in range(100000) if false %}{% endfor %}{% endfor %}",
        "{{ range(100000) | map('string') | map('length') | sum }}{{ range(100001) }}",
        // strings
        "{{ 'a' * 10000000000 }}", "{{ ('a' * 100000000) * 100 }}",
        "{% set ns = namespace(s='aaaaaaaa') %}{% for i in range(64) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
        "{% set ns = namespace(s='aaaaaaaa') %}{% for i in range(64) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
        "{% set ns = namespace(s='aaaaaaaa') %}{% for i in range(64) %}{% set ns.s = ns.s.replace('a', 'aa') %}{% endfor %}",
        "{% set ns = namespace(s='aaaaaaaa') %}{% for i in range(64) %}{% set ns.s = ns.s.join([ns.s, ns.s]) %}{% endfor %}",
        "{% set ns = namespace(s='aaaaaaaa') %}{% for i in range(64) %}{% set ns.s = '%s%s' % (ns.s, ns.s) %}{% endfor %}",
        "{% set ns = namespace(s='aaaaaaaa') %}{% for i in range(64) %}{% set ns.s = '{0}{0}'.format(ns.s) %}{% endfor %}",
        "{{ '%1000000000d' % 1 }}", "{{ 'a'.center(1000000000) }}{{ 'a'.center(9000000000) }}",
        "{{ 'a' | indent(1000000000) }}", "{{ [1] | tojson(indent=100000000) }}", "{{ [1] | batch(100000000, 0) | list }}",
        "{% set s = 'a' * 4000000 %}{% for i in range(1000) %}{{ s.rfind('b' + 'a' * 2000000) }}{% endfor %}",
        "{% set s = 'a' * 4000000 %}{% for i in range(1000) %}{{ s.strip('b' * 1000000 + 'a') }}{% endfor %}",
        "{% set s = 'a' * 4000000 %}{% for i in range(100000) %}{{ s | length }}{% endfor %}",
        "{% set s = 'a' * 4000000 %}{% for i in range(100000) %}{{ s in d }}{{ {s: 1} | length }}{% endfor %}",
        // output
        "{% set s = 'a' * 1000000 %}{% for i in range(1000) %}{{ s }}{% endfor %}",
        // containers
        "{% set ns = namespace(l=[1]) %}{% for i in range(64) %}{% set ns.l = ns.l + ns.l %}{% endfor %}", "{{ [1] * 10000000000 }}",
        "{% set ns = namespace(l=[1]) %}{% for i in range(64) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}",
        "{% set ns = namespace(l=[1]) %}{% for i in range(64) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l | tojson }}",
        "{% set ns = namespace(l=[1], k=[1]) %}{% for i in range(64) %}{% set ns.l = [ns.l, ns.l] %}{% set ns.k = [ns.k, ns.k] "
        "%}{% endfor %}{{ ns.l == ns.k }}",
        "{% set ns = namespace(t=(1,)) %}{% for i in range(45) %}{% set ns.t = (ns.t, ns.t) %}{% endfor %}{{ {ns.t: 1} }}",
        // depth
        "{% set ns = namespace(l=[1]) %}{% for i in range(100000) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l }}",
        "{% set ns = namespace(l=[1]) %}{% for i in range(100000) %}{% set ns.l = ns.l | map('string') %}{% endfor %}{{ ns.l | list }}",
        "{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% macro m() %}{{ caller() }}{% endmacro %}{% macro k() %}{% call m() %}{{ k() }}{% endcall %}{% endmacro %}{{ k() }}",
        "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        // numbers
        "{{ 9 ** 9999 }}", "{{ 99999999999999999999999999999999999999999999 }}",
        "{% set ns = namespace(n=2) %}{% for i in range(64) %}{% set ns.n = ns.n * ns.n %}{% endfor %}"));

TEST(ChatTemplate, DeepSyntaxIsRefused) {
  const std::string deep(100000, '(');
  EXPECT_NE(error_of("{{ " + deep).find("nests deeper"), std::string::npos);
  std::string chain = "{{ 1";
  for (int i = 0; i < 100000; ++i) chain += " + 1";
  EXPECT_NE(error_of(chain + " }}").find("nests deeper"), std::string::npos);
  std::string blocks;
  for (int i = 0; i < 100000; ++i) blocks += "{% if 1 %}";
  EXPECT_NE(error_of(blocks).find("nests deeper"), std::string::npos);
  std::string nots = "{{ ";
  for (int i = 0; i < 100000; ++i) nots += "not ";
  EXPECT_NE(error_of(nots + "1 }}").find("nests deeper"), std::string::npos);
}

TEST(ChatTemplate, ValuesThatHoldThemselvesAreFreed) {  // the leak checker of the asan build is the judge
  EXPECT_EQ(*render("{% set ns = namespace() %}{% set ns.me = [ns] %}{% macro m() %}{{ m }}{% endmacro %}"
                    "{% set ns.m = m %}{{ ns.me[0].me[0] is defined }}"),
            "True");
}

TEST(ChatTemplate, LongConversationIsFast) {
  Json messages = Json::array();
  const std::string text(5000, 'x');
  for (int i = 0; i < 1000; ++i) messages.push_back({{"role", i % 2 ? "assistant" : "user"}, {"content", text}});
  ChatRequest request;
  request.messages = std::move(messages);
  const auto prompt = render("{% set ns = namespace(t='') %}{% for m in messages %}{% set ns.t = ns.t + m.role + m.content "
                             "%}{% endfor %}{{ ns.t }}",
                             request);
  ASSERT_TRUE(prompt.ok()) << prompt.status();
  EXPECT_GT(prompt->size(), 5'000'000u);
}

// --- which template

TEST(ChooseChatTemplate, OwnTemplateThenEncoder) {
  EXPECT_EQ(*(*choose_chat_template("x", "deepseek_v4"))->render(conversation("[]")), "x");
  EXPECT_EQ((*choose_chat_template(std::nullopt, "deepseek_v32"))->source(), "");
  EXPECT_EQ(choose_chat_template(std::nullopt, "llama").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(choose_chat_template("{{", "llama").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(EncoderTemplate, TheTemplatesSwitchTurnsThinkingOn) {
  const auto chat = ChatTemplate::from_encoder(EncoderKind::kV4);
  ChatRequest request = conversation(R"([{"role":"user","content":"Hi"}])");
  const std::string turn = "<｜begin▁of▁sentence｜><｜User｜>Hi<｜Assistant｜>";
  EXPECT_EQ(*chat->render(request), turn + "</think>");
  request.kwargs = Json{{"thinking", true}};
  EXPECT_EQ(*chat->render(request), turn + "<think>");
  request.kwargs = Json{{"enable_thinking", true}};
  EXPECT_EQ(*chat->render(request), turn + "<think>");
  request.kwargs = Json{{"thinking", true}, {"thinking_mode", "chat"}};
  EXPECT_EQ(*chat->render(request), turn + "</think>");
  request.kwargs = Json{{"thinking", "yes"}};
  EXPECT_EQ(chat->render(request).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(EncoderTemplate, ToolsOfTheRequestRideOnASystemMessage) {
  const Json tools = Json::parse(R"([{"type":"function","function":{"name":"f","parameters":{}}}])");
  for (const auto kind : {EncoderKind::kV32, EncoderKind::kV4}) {
    const auto chat = ChatTemplate::from_encoder(kind);
    ChatRequest request = conversation(R"([{"role":"user","content":"Hi"}])");
    request.tools = tools;
    ChatRequest written = conversation(R"([{"role":"system","content":""},{"role":"user","content":"Hi"}])");
    written.messages[0]["tools"] = tools;
    EXPECT_EQ(*chat->render(request), *chat->render(written));
    EXPECT_NE(chat->render(request)->find("\n{\"name\": \"f\", \"parameters\": {}}\n"), std::string::npos);
  }
}

TEST(EncoderTemplate, MalformedConversationsAreRefused) {
  for (const auto kind : {EncoderKind::kV32, EncoderKind::kV4}) {
    const auto chat = ChatTemplate::from_encoder(kind);
    for (const char* messages :
         {R"({})", R"([1])", R"([{}])", R"([{"role":1}])", R"([{"role":"user","content":5}])",
          R"([{"role":"user","content":[{"type":"image"}]}])", R"([{"role":"assistant","content":"x","tool_calls":5}])",
          R"([{"role":"assistant","content":"x","tool_calls":[{"function":{"name":"f","arguments":"[1]"}}]}])",
          R"([{"role":"system","content":"x","tools":[{}]}])"}) {
      EXPECT_EQ(chat->render(conversation(messages)).status().code(), absl::StatusCode::kInvalidArgument) << messages;
    }
  }
}

TEST(EncoderTemplate, TextPartsAreJoined) {
  const auto chat = ChatTemplate::from_encoder(EncoderKind::kV32);
  const auto prompt = chat->render(
      conversation(R"([{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}])"));
  EXPECT_EQ(*prompt, "<｜begin▁of▁sentence｜><｜User｜>a\nb<｜Assistant｜></think>");
}

TEST(PythonJson, WritesAsJsonDumps) {
  EXPECT_EQ(*python_json(Json::parse(R"({"b":[1,1.0,1e-7,1e22,1e15,true,null],"a":"é\"\\\n\u0001</>"})")),
            "{\"b\": [1, 1.0, 1e-07, 1e+22, 1000000000000000.0, true, null], \"a\": \"é\\\"\\\\\\n\\u0001</>\"}");
  Json deep;
  for (int i = 0; i < 1000; ++i) deep = Json::array({deep});
  EXPECT_FALSE(python_json(deep).ok());
}

TEST(ChatRequestFromJson, RefusesWrongTypes) {
  for (const char* text : {"[]", R"({"messages":[],"bos_token":1})", R"({"messages":[],"add_generation_prompt":"yes"})",
                           R"({"messages":[],"now":5})"}) {
    EXPECT_FALSE(chat_request_from_json(Json::parse(text)).ok()) << text;
  }
  const auto request = chat_request_from_json(Json::parse(R"({"messages":[],"now":"2025-01-05T08:09:10","eos_token":"e"})"));
  EXPECT_EQ(*render("{{ eos_token }}{{ strftime_now('%d %b %Y') }}", *request), "e05 Jan 2025");
}

}  // namespace
}  // namespace hadal
