#include "text/reasoning_parser.h"

#include <gtest/gtest.h>

#include <vector>

namespace hadal {
namespace {

struct Split {
  std::string reasoning, content;
  bool operator==(const Split&) const = default;
};

Split run(ReasoningKind kind, bool opened, const std::vector<std::string_view>& pieces) {
  ReasoningParser parser(kind, opened);
  Split split;
  const auto take = [&](const ReasoningDelta& delta) {
    split.reasoning += delta.reasoning;
    split.content += delta.content;
  };
  for (std::string_view piece : pieces) take(parser.push(piece));
  take(parser.flush());
  EXPECT_TRUE(parser.flush().empty());
  return split;
}

Split whole(ReasoningKind kind, bool opened, std::string_view text) { return run(kind, opened, {text}); }

constexpr auto kR1 = ReasoningKind::kDeepSeekR1;
constexpr auto kV3 = ReasoningKind::kDeepSeekV3;
constexpr auto kNone = ReasoningKind::kNone;

TEST(ReasoningParser, SplitsAtTheClosingTag) {
  EXPECT_EQ(whole(kR1, true, "why\n</think>\n\nHello"), (Split{"why\n", "\n\nHello"}));
  EXPECT_EQ(whole(kR1, false, "why</think>Hello"), (Split{"why", "Hello"}));
  EXPECT_EQ(whole(kR1, false, "<think>why</think>Hello"), (Split{"why", "Hello"}));
  EXPECT_EQ(whole(kR1, false, "\n<think>why</think>Hello"), (Split{"why", "Hello"}));
  EXPECT_EQ(whole(kV3, true, "why</think>Hello"), (Split{"why", "Hello"}));
  EXPECT_EQ(whole(kV3, true, "</think>Hello"), (Split{"", "Hello"}));
}

TEST(ReasoningParser, WithoutAClosingTagAllIsReasoning) {
  EXPECT_EQ(whole(kR1, false, "still thinking"), (Split{"still thinking", ""}));
  EXPECT_EQ(whole(kR1, true, "cut off </thi"), (Split{"cut off </thi", ""}));
  EXPECT_EQ(whole(kR1, false, "<thi"), (Split{"<thi", ""}));
  EXPECT_EQ(whole(kR1, false, " \n"), (Split{" \n", ""}));
}

TEST(ReasoningParser, OnlyTheFirstClosingTagCounts) {
  EXPECT_EQ(whole(kR1, true, "a</think>b</think>c<think>"), (Split{"a", "b</think>c<think>"}));
}

TEST(ReasoningParser, WithThinkingOffNothingIsTouched) {
  EXPECT_EQ(whole(kV3, false, "a</think>b"), (Split{"", "a</think>b"}));
  EXPECT_EQ(whole(kNone, true, "<think>a</think>b"), (Split{"", "<think>a</think>b"}));
}

TEST(ReasoningParser, EmitsAsSoonAsTextIsSettled) {
  ReasoningParser parser(kR1, true);
  EXPECT_EQ(parser.push("so ").reasoning, "so ");
  EXPECT_EQ(parser.push("<").reasoning, "");
  EXPECT_EQ(parser.push("/th").reasoning, "");
  EXPECT_EQ(parser.push("us").reasoning, "</thus");
  EXPECT_TRUE(parser.in_reasoning());
  EXPECT_EQ(parser.push("</think>x").content, "x");
  EXPECT_FALSE(parser.in_reasoning());
  EXPECT_EQ(parser.push("y").content, "y");
}

TEST(ReasoningParser, EveryWayOfCuttingGivesTheSame) {
  const std::string_view texts[] = {"<think>a</think>b", "a<</think>b", "</</think></think>", "\n <think></think>x",
                                    "<think<think>a", "a</thin</think>", "日</think>本", "<<think>a</think>"};
  for (const std::string_view text : texts) {
    for (const auto kind : {kR1, kV3, kNone}) {
      for (const bool opened : {false, true}) {
        const Split expected = whole(kind, opened, text);
        const size_t cuts = std::min<size_t>(text.size() - 1, 16);  // all 2^n ways for the first bytes
        for (size_t mask = 0; mask < (size_t{1} << cuts); mask += cuts < 14 ? 1 : 7) {
          std::vector<std::string_view> pieces;
          size_t begin = 0;
          for (size_t i = 0; i < cuts; ++i) {
            if (mask >> i & 1) pieces.push_back(text.substr(begin, i + 1 - begin)), begin = i + 1;
          }
          pieces.push_back(text.substr(begin));
          ASSERT_EQ(run(kind, opened, pieces), expected) << text << " cut by " << mask;
        }
        std::vector<std::string_view> bytes;
        for (size_t i = 0; i < text.size(); ++i) bytes.push_back(text.substr(i, 1));
        EXPECT_EQ(run(kind, opened, bytes), expected) << text;
      }
    }
  }
}

TEST(ReasoningParser, PromptOpensThinking) {
  EXPECT_TRUE(prompt_opens_thinking("<｜Assistant｜><think>"));
  EXPECT_TRUE(prompt_opens_thinking("<｜Assistant｜><think>\n"));
  EXPECT_FALSE(prompt_opens_thinking("<｜Assistant｜></think>"));
  EXPECT_FALSE(prompt_opens_thinking("<think>\n\n</think>\n\n"));
  EXPECT_FALSE(prompt_opens_thinking("<think> a"));
  EXPECT_FALSE(prompt_opens_thinking(""));
  EXPECT_FALSE(prompt_opens_thinking(" \n"));
}

TEST(ReasoningParser, Names) {
  EXPECT_EQ(reasoning_kind_from_name("deepseek_r1"), kR1);
  EXPECT_EQ(reasoning_kind_from_name("deepseek_v31"), kV3);
  EXPECT_EQ(reasoning_kind_from_name("deepseek_v4"), kV3);
  EXPECT_EQ(reasoning_kind_from_name(""), kNone);
  EXPECT_EQ(reasoning_kind_from_name("qwen3"), std::nullopt);
}

}  // namespace
}  // namespace hadal
