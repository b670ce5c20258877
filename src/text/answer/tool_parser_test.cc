#include "text/answer/tool_parser.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "text/answer/answer_parser.h"

namespace hadal {
namespace {

using nlohmann::json;

struct Call {
  std::string name, arguments;
  bool operator==(const Call&) const = default;
};
struct Answer {
  std::string reasoning, content;
  std::vector<Call> calls;
  bool operator==(const Answer&) const = default;
};
void PrintTo(const Answer& answer, std::ostream* out) {
  *out << "reasoning '" << answer.reasoning << "' content '" << answer.content << "'";
  for (const Call& call : answer.calls) *out << " " << call.name << "(" << call.arguments << ")";
}

void add(const AnswerDelta& delta, Answer& answer) {
  answer.reasoning += delta.reasoning;
  answer.content += delta.content;
  for (const ToolCallPiece& piece : delta.calls) {
    // the first piece of a call has the name, and calls come one after the other
    if (!piece.name.empty()) {
      EXPECT_EQ(piece.index, static_cast<int32_t>(answer.calls.size()));
      answer.calls.push_back({piece.name, ""});
    }
    ASSERT_EQ(piece.index + 1, static_cast<int32_t>(answer.calls.size()));
    answer.calls.back().arguments += piece.arguments;
  }
}

Answer parse(const AnswerForm& form, std::string_view text, size_t piece) {
  AnswerParser parser(form);
  Answer answer;
  for (size_t at = 0; at < text.size(); at += piece) add(parser.push(text.substr(at, piece)), answer);
  add(parser.flush(), answer);
  return answer;
}

/// The same for every size of pieces.
Answer parse_all_ways(const char* format, std::string_view text, AnswerForm form = {}) {
  form.tools = find_tool_format(format);
  const Answer whole = parse(form, text, std::max<size_t>(text.size(), 1));
  for (const size_t piece : {1, 2, 3, 5, 7, 16, 33})
    EXPECT_EQ(parse(form, text, piece), whole) << "pieces of " << piece;
  return whole;
}

TEST(ToolParser, V31CallsStreamWithTheirArguments) {
  const Answer got =
      parse_all_ways("deepseek_v31",
                     "Let me look.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>"
                     "{\"city\": \"Paris\"}<｜tool▁call▁end｜><｜tool▁call▁begin｜>now<｜tool▁sep｜>{}"
                     "<｜tool▁call▁end｜><｜tool▁calls▁end｜>");
  EXPECT_EQ(got.content, "Let me look.");
  EXPECT_EQ(got.calls, (std::vector<Call>{{"get_weather", "{\"city\": \"Paris\"}"}, {"now", "{}"}}));
}

TEST(ToolParser, V3CallsAreFenced) {
  const Answer got =
      parse_all_ways("deepseek_v3",
                     "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n"
                     "{\"city\": \"a ``` in `it`\"}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function"
                     "<｜tool▁sep｜>now\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>");
  EXPECT_EQ(got.content, "");
  EXPECT_EQ(got.calls, (std::vector<Call>{{"get_weather", "{\"city\": \"a ``` in `it`\"}"}, {"now", "{}"}}));
  const Answer bare =
      parse_all_ways("deepseek_v3",
                     "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n{\"a\": 1}"
                     "<｜tool▁call▁end｜><｜tool▁calls▁end｜>");
  EXPECT_EQ(bare.calls, (std::vector<Call>{{"f", "{\"a\": 1}"}}));
}

TEST(ToolParser, DsmlArgumentsBecomeAnObject) {
  const std::string text =
      "I ask.\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"find\">\n"
      "<｜DSML｜parameter name=\"text\" string=\"true\">a \"quoted\"\nline, ünïcode</｜DSML｜parameter>\n"
      "<｜DSML｜parameter name=\"limit\" string=\"false\">5</｜DSML｜parameter>\n"
      "<｜DSML｜parameter name=\"broken\" string=\"false\">{oops</｜DSML｜parameter>\n"
      "<｜DSML｜parameter name=\"limit\" string=\"false\">6</｜DSML｜parameter>\n"
      "</｜DSML｜invoke>\n<｜DSML｜invoke name=\"now\">\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>";
  const Answer got = parse_all_ways("deepseek_v4", text);
  EXPECT_EQ(got.content, "I ask.");
  ASSERT_EQ(got.calls.size(), 2u);
  EXPECT_EQ(got.calls[0].name, "find");
  EXPECT_EQ(json::parse(got.calls[0].arguments),
            (json{{"text", "a \"quoted\"\nline, ünïcode"}, {"limit", 5}, {"broken", "{oops"}}));
  EXPECT_EQ(got.calls[1], (Call{"now", "{}"}));
  // the other generation's block is only text here
  EXPECT_EQ(parse_all_ways("deepseek_v32", text).content, text);
}

TEST(ToolParser, WhatIsNotInFormIsContent) {
  const char* v31 = "deepseek_v31";
  EXPECT_EQ(parse_all_ways(v31, "a <｜tool▁call and <｜tool▁calls▁begin").content,
            "a <｜tool▁call and <｜tool▁calls▁begin");
  EXPECT_EQ(parse_all_ways(v31, "<｜tool▁calls▁begin｜> no call here").content, "no call here");
  const Answer headless =
      parse_all_ways(v31, "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f{}<｜tool▁call▁end｜>x");
  EXPECT_EQ(headless.content, "<｜tool▁call▁begin｜>f{}<｜tool▁call▁end｜>x");
  EXPECT_TRUE(headless.calls.empty());
  const Answer nameless =
      parse_all_ways("deepseek_v32", "\n\n<｜DSML｜function_calls>\n<｜DSML｜invoke nome=\"f\">\n");
  EXPECT_TRUE(nameless.calls.empty());
  EXPECT_NE(nameless.content.find("nome"), std::string::npos);
  const std::string endless =
      "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>" + std::string(3000, 'n') + "<｜tool▁sep｜>{}";
  EXPECT_TRUE(parse_all_ways(v31, endless).calls.empty());
}

TEST(ToolParser, ACutAnswerKeepsWhatCame) {
  const Answer got = parse_all_ways(
      "deepseek_v31", "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"city\": \"Pa");
  EXPECT_EQ(got.calls, (std::vector<Call>{{"f", "{\"city\": \"Pa"}}));
  const Answer dsml = parse_all_ways("deepseek_v32",
                                     "\n\n<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"f\">\n"
                                     "<｜DSML｜parameter name=\"city\" string=\"true\">Pa");
  EXPECT_EQ(dsml.calls, (std::vector<Call>{{"f", "{\"city\": \"Pa"}}));
}

TEST(ToolParser, CallsInsideReasoningAreReasoning) {
  AnswerForm form{.reasoning = ReasoningKind::kDeepSeekV3, .prompt_opened_thinking = true};
  const Answer got =
      parse_all_ways("deepseek_v31",
                     "maybe <｜tool▁calls▁begin｜>?</think>Yes.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f"
                     "<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
                     form);
  EXPECT_EQ(got.reasoning, "maybe <｜tool▁calls▁begin｜>?");
  EXPECT_EQ(got.content, "Yes.");
  EXPECT_EQ(got.calls, (std::vector<Call>{{"f", "{}"}}));
}

TEST(ToolParser, FormatsAreToldByTheirTemplates) {
  EXPECT_STREQ(tool_format_of_template("... <｜tool▁call▁begin｜> ... ```json")->name, "deepseek_v3");
  EXPECT_STREQ(tool_format_of_template("... <｜tool▁call▁begin｜> ...")->name, "deepseek_v31");
  EXPECT_STREQ(tool_format_of_template("<｜DSML｜tool_calls>")->name, "deepseek_v4");
  EXPECT_EQ(tool_format_of_template("<tool_call>"), nullptr);
  EXPECT_EQ(find_tool_format("hermes"), nullptr);
}

/// Any text at all, made of the formats' own pieces: the parts do not depend on the cuts.
TEST(ToolParser, RandomTextsOfMarksAreReadTheSameHoweverTheyAreCut) {
  const std::vector<std::string> pieces = {"<｜tool▁calls▁begin｜>",
                                           "<｜tool▁calls▁end｜>",
                                           "<｜tool▁call▁begin｜>",
                                           "<｜tool▁call▁end｜>",
                                           "<｜tool▁sep｜>",
                                           "```json\n",
                                           "```",
                                           "\n",
                                           "\n\n",
                                           " ",
                                           "f",
                                           "{\"a\": 1}",
                                           "\"",
                                           "`",
                                           "<",
                                           "｜",
                                           "<｜DSML｜function_calls>",
                                           "</｜DSML｜function_calls>",
                                           "<｜DSML｜tool_calls>",
                                           "</｜DSML｜tool_calls>",
                                           "<｜DSML｜invoke",
                                           " name=\"f\">",
                                           "</｜DSML｜invoke>",
                                           "<｜DSML｜parameter",
                                           " name=\"a\" string=\"true\">",
                                           " name=\"b\" string=\"false\">",
                                           "</｜DSML｜parameter>",
                                           "7",
                                           "</think>",
                                           "<think>"};
  std::mt19937 random(17);
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    for (size_t i = random() % 24; i > 0; --i) text += pieces[random() % pieces.size()];
    SCOPED_TRACE(text);
    for (const ToolFormat& format : tool_formats()) {
      parse_all_ways(format.name, text,
                     {.reasoning = ReasoningKind::kDeepSeekV3, .prompt_opened_thinking = round % 4 == 0});
      if (testing::Test::HasFailure()) return;
    }
  }
}

/// What DeepSeek's own parser makes of completions in form.
class PublishedCompletions : public testing::TestWithParam<const char*> {};
TEST_P(PublishedCompletions, AreReadAsTheirParserReadsThem) {
  const char* folder = std::getenv("HADAL_ORACLE_DIR");
  const std::string generation = GetParam();
  const std::string path = (folder != nullptr ? std::string(folder) : HADAL_SOURCE_DIR "/../shared/oracle") +
                           "/chat_templates/deepseek-" + generation + ".parse_cases.json";
  std::ifstream file(path);
  if (!file) GTEST_SKIP() << "no oracle at " << path;
  int read = 0;
  for (const json& one : json::parse(file)) {
    if (!one.contains("expected")) continue;
    SCOPED_TRACE(one["name"].get<std::string>());
    std::string text = one["text"];
    const std::string eos = "<｜end▁of▁sentence｜>";
    if (text.ends_with(eos)) text.resize(text.size() - eos.size());  // never part of a completion's text
    const bool thinking = one["thinking_mode"] == "thinking";
    const Answer got =
        parse_all_ways(("deepseek_" + generation).c_str(), text,
                       {.reasoning = ReasoningKind::kDeepSeekV3, .prompt_opened_thinking = thinking});
    const json& expected = one["expected"];
    EXPECT_EQ(got.content, expected.value("content", ""));
    EXPECT_EQ(got.reasoning, expected.value("reasoning_content", ""));
    const json calls = expected.value("tool_calls", json::array());
    ASSERT_EQ(got.calls.size(), calls.size());
    for (size_t i = 0; i < calls.size(); ++i) {
      EXPECT_EQ(got.calls[i].name, calls[i]["function"]["name"]);
      const std::string arguments = calls[i]["function"]["arguments"];
      if (json::accept(arguments)) {  // theirs may hold a value that is none
        EXPECT_EQ(got.calls[i].arguments, arguments);
      } else {
        EXPECT_TRUE(json::accept(got.calls[i].arguments)) << got.calls[i].arguments;
      }
    }
    ++read;
  }
  EXPECT_GT(read, 10);
}
INSTANTIATE_TEST_SUITE_P(Dsml, PublishedCompletions, testing::Values("v32", "v4"));

}  // namespace
}  // namespace hadal
