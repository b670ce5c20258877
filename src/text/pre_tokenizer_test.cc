// Cuts as Hugging Face tokenizers 0.23 (Oniguruma, Unicode 16) makes them; the expected pieces were recorded
// there.
#include "text/pre_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text/added_tokens.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer_oniguruma.h"

namespace hadal::tok {
namespace {

using ::testing::HasSubstr;

class Joined : public PieceSink {
 public:
  void piece(std::string_view text, bool) override { (all += all.empty() ? "" : "|") += text; }
  std::string all;
};

/// The pieces, with a bar between.
std::string cut(const Json& node, std::string_view text) {
  const auto pre_tokenizer = PreTokenizer::parse(&node);
  EXPECT_TRUE(pre_tokenizer.ok()) << message_of(pre_tokenizer.status());
  if (!pre_tokenizer.ok()) return "";
  Joined pieces;
  pre_tokenizer->split(text, true, pieces);
  return pieces.all;
}

Json split(std::string_view pattern, std::string_view behavior = "Isolated", bool invert = false) {
  return {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", behavior}, {"invert", invert}};
}

struct PatternCase {
  const char* pattern;
  const char* pieces;  // of the three texts, with # between
};

constexpr PatternCase kPatterns[] = {
    {R"(\s+$)", "aaab2² x-1Ⅷ#ab\nab|  |\n c#你好é한𝐀 ΣҀ"},
    {R"(\w+)", "aaab2²| |x|-|1Ⅷ#ab|\n|ab|  \n |c#你好é한𝐀| |ΣҀ"},
    {R"([\w]+)", "aaab2|² |x|-|1Ⅷ#ab|\n|ab|  \n |c#你好é한𝐀| |ΣҀ"},
    {R"(\bab\b)", "aaab2² x-1Ⅷ#ab|\n|ab|  \n c#你好é한𝐀 ΣҀ"},
    {R"(^.)", "a|aab2² x-1Ⅷ#a|b\n|a|b  \n| |c#你|好é한𝐀 ΣҀ"},
    {R"((?m:b.))", "aaa|b2|² x-1Ⅷ#a|b\n|a|b | \n c#你好é한𝐀 ΣҀ"},
    {R"(a{2}+)", "aa|ab2² x-1Ⅷ#ab\nab  \n c#你好é한𝐀 ΣҀ"},
    {R"((?:ab){,2}c?)", "a|a|ab|2|²| |x|-|1|Ⅷ#ab|\n|ab| | |\n| |c#你|好|é|한|𝐀| |Σ|Ҁ"},
    {R"(a{2}?)", "aa|a|b|2|²| |x|-|1|Ⅷ#a|b|\n|a|b| | |\n| |c#你|好|é|한|𝐀| |Σ|Ҁ"},
    {R"([a[0-9]]+)", "aaa|b|2|² x-|1|Ⅷ#a|b\n|a|b  \n c#你好é한𝐀 ΣҀ"},
    {R"(\h)", "a|a|a|b|2|² x-|1|Ⅷ#a|b|\n|a|b|  \n |c#你好é한𝐀 ΣҀ"},
    {R"(\p{Han}+)", "aaab2² x-1Ⅷ#ab\nab  \n c#你好|é한𝐀 ΣҀ"},
    {R"(\p{^L})", "aaab|2|²| |x|-|1|Ⅷ#ab|\n|ab| | |\n| |c#你好é한𝐀| |ΣҀ"},
    {R"((?i)A|B)", "a|a|a|b|2² x-1Ⅷ#a|b|\n|a|b|  \n c#你好é한𝐀 ΣҀ"},
    {R"([[:punct:]])", "aaab2² x|-|1Ⅷ#ab\nab  \n c#你好é한𝐀 ΣҀ"},
    {R"(\p{Letter}\p{Mark}*)", "a|a|a|b|2² |x|-1Ⅷ#a|b|\n|a|b|  \n |c#你|好|é|한|𝐀| |Σ|Ҁ"},
    {R"(\u4f60)", "aaab2² x-1Ⅷ#ab\nab  \n c#你|好é한𝐀 ΣҀ"},
    {R"((?=b))", "aaa|b2² x-1Ⅷ#a|b\na|b  \n c#你好é한𝐀 ΣҀ"},
};

TEST(PreTokenizer, PatternsMeanWhatOnigurumaMeans) {
  for (const PatternCase& test : kPatterns) {
    const Json node = split(test.pattern);
    EXPECT_EQ(cut(node, "aaab2² x-1Ⅷ") + "#" + cut(node, "ab\nab  \n c") + "#" + cut(node, "你好é한𝐀 ΣҀ"),
              test.pieces)
        << test.pattern;
  }
}

struct BehaviorCase {
  const char* behavior;
  bool invert;
  const char* pieces;
};

constexpr BehaviorCase kBehaviors[] = {
    {"Removed", false, "a|b|c"},
    {"Removed", true, "-|-|-|-"},
    {"Isolated", false, "a|-|-|b|-|c|-"},
    {"Isolated", true, "a|-|-|b|-|c|-"},
    {"MergedWithPrevious", false, "a-|-|b-|c-"},
    {"MergedWithPrevious", true, "a|-|-b|-c|-"},
    {"MergedWithNext", false, "a|-|-b|-c|-"},
    {"MergedWithNext", true, "a-|-|b-|c-"},
    {"Contiguous", false, "a|--|b|-|c|-"},
    {"Contiguous", true, "a|--|b|-|c|-"},
};

TEST(PreTokenizer, Behaviors) {
  for (const BehaviorCase& test : kBehaviors) {
    EXPECT_EQ(cut(split("-", test.behavior, test.invert), "a--b-c-"), test.pieces)
        << test.behavior << test.invert;
  }
}

// PCRE2 10.42 knows Unicode 14 only: U+32057 (15.0) is a letter, U+0897 (16.0) a mark.
TEST(PreTokenizer, NewerCharactersHaveTheirCategories) {
  EXPECT_EQ(cut(split("[\\p{L}\\p{M}]+"), "a\U00032057\u0897-"), "a\U00032057\u0897|-");
}

TEST(PreTokenizer, OtherKinds) {
  EXPECT_EQ(cut({{"type", "Digits"}, {"individual_digits", true}}, "a12Ⅷ½"), "a|1|2|Ⅷ|½");
  EXPECT_EQ(cut({{"type", "Digits"}, {"individual_digits", false}}, "a12Ⅷ½"), "a|12Ⅷ½");
  EXPECT_EQ(cut({{"type", "Whitespace"}}, "it's  ok_1"), "it|'|s|ok_1");
  EXPECT_EQ(cut({{"type", "WhitespaceSplit"}}, " a\u3000b\u0085c "), "a|b|c");
  EXPECT_EQ(cut({{"type", "Punctuation"}}, "a,。$"), "a|,|。|$");
  EXPECT_EQ(cut({{"type", "CharDelimiterSplit"}, {"delimiter", "x"}}, "axbxx"), "a|b");
  EXPECT_EQ(cut({{"type", "Metaspace"}}, "a b  c"), "▁a|▁b|▁|▁c");
  EXPECT_EQ(cut({{"type", "ByteLevel"}, {"add_prefix_space", true}}, "I'm x"), " I|'m| x");
  const Json twice = {
      {"type", "Sequence"},
      {"pretokenizers",
       {{{"type", "ByteLevel"}, {"use_regex", false}, {"add_prefix_space", false}}, split("Ġ")}}};
  EXPECT_EQ(cut(twice, "a b"), "a|Ġ|b");  // a ByteLevel that is not last spells its letters
}

TEST(PreTokenizer, WhatCannotBeRewrittenIsRefused) {
  const std::pair<const char*, const char*> kRefused[] = {
      {"(*ACCEPT)a", "verb"},     {"[a&&b]", "intersection"},   {"(?x)a", "option 'x'"},
      {"\\xE4", "raw byte"},      {"[a[^b]]", "negated class"}, {"[a", "open character class"},
      {"(?(1)a|b)", "'(?(1'"},    {"\\k<n>", "'\\k'"},          {"a\\", "backslash"},
      {"[[:nope:]]", "[:nope:]"}, {"\\p{L", "open property"},   {"(?<n", "open group name"}};
  for (const auto& [pattern, reason] : kRefused) {
    const auto result = oniguruma_to_pcre2(pattern);
    ASSERT_FALSE(result.ok()) << pattern;
    EXPECT_THAT(std::string(message_of(result.status())), HasSubstr(reason)) << pattern;
  }
  const Json unknown = {{"type", "UnicodeScripts"}};
  EXPECT_THAT(std::string(message_of(PreTokenizer::parse(&unknown).status())), HasSubstr("'UnicodeScripts'"));
}

std::string normal(const Json& node, std::string_view text) {
  const auto normalizer = Normalizer::parse(&node);
  EXPECT_TRUE(normalizer.ok()) << message_of(normalizer.status());
  return normalizer.ok() ? normalizer->apply(text) : "";
}

TEST(Normalizer, Forms) {
  EXPECT_EQ(normal({{"type", "NFC"}}, "e\u0301 가 a\u0327\u0301"), "é 가 á\u0327");
  EXPECT_EQ(normal({{"type", "NFD"}}, "é가"), "e\u0301\u1100\u1161");
  EXPECT_EQ(normal({{"type", "NFKC"}}, "ﬁ½Å"), "fi1⁄2Å");
  EXPECT_EQ(normal({{"type", "NFD"}}, "a\u0301\u0327"), "a\u0327\u0301");  // marks in order of their class
  EXPECT_EQ(normal({{"type", "Lowercase"}}, "ÀİΣ"), "ài\u0307σ");
  EXPECT_EQ(normal({{"type", "Strip"}}, " \u3000a "), "a");
  EXPECT_EQ(normal({{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "▁"}}, "a b"), "a▁b");
  EXPECT_EQ(normal({{"type", "Prepend"}, {"prepend", "▁"}}, "a"), "▁a");
  EXPECT_EQ(normal({{"type", "Prepend"}, {"prepend", "▁"}}, ""), "");
}

// utf8proc's own reordering takes minutes on this: it swaps neighbours.
TEST(Normalizer, LongRunsOfMarksAreNotQuadratic) {
  std::string text = "a";
  for (int i = 0; i < 200'000; ++i) text += i % 2 == 0 ? "\u0301" : "\u0327";
  EXPECT_EQ(normal({{"type", "NFD"}}, text).size(), text.size());
}

TEST(AddedTokens, FlagsDecideWhatIsTaken) {
  const auto vocabulary = *Vocabulary::create("", {});
  const auto found = [&](AddedToken token, std::string_view text) {
    const auto tokens = AddedTokens::create({std::move(token)}, vocabulary, Normalizer());
    EXPECT_TRUE(tokens.ok());
    std::string parts;
    tokens->split_raw(text, [&](std::string_view part, const AddedToken* known) {
      parts += (known != nullptr ? "<" : "") + std::string(part) + (known != nullptr ? ">" : "|");
    });
    return parts;
  };
  const AddedToken plain{.id = 1, .content = "ab", .normalized = false};
  AddedToken token = plain;
  EXPECT_EQ(found(token, "xab ab"), "x|<ab> |<ab>");
  token.single_word = true;
  EXPECT_EQ(found(token, "xab ab. abc"), "xab |<ab>. abc|");
  token = plain;
  token.lstrip = token.rstrip = true;
  EXPECT_EQ(found(token, "x \u3000ab  y"), "x|< \u3000ab  >y|");
}

}  // namespace
}  // namespace hadal::tok
