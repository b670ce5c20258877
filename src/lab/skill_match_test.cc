#include "lab/skill_match.h"

#include <gtest/gtest.h>

#include "lab/skill_sets.h"

namespace hadal {
namespace {

using nlohmann::json;

SkillQuestion question(SkillMatch match, json gold, json schema = nullptr) {
  SkillQuestion question;
  question.match = match;
  question.gold = std::move(gold);
  question.schema = std::move(schema);
  return question;
}

bool right(const SkillQuestion& asked, std::string said, json calls = nullptr) {
  return judge(asked, {std::move(said), std::move(calls)}).right;
}

TEST(SkillMatch, ExactIsTheTextAndNothingElse) {
  const SkillQuestion asked = question(SkillMatch::kExact, "Your name is Ada.");
  EXPECT_TRUE(right(asked, " Your name is Ada.\n"));
  EXPECT_FALSE(right(asked, "Your name is Ada"));
  EXPECT_FALSE(right(asked, "your name is Ada."));
}

TEST(SkillMatch, NumberIsTheLastOne) {
  EXPECT_EQ(last_number("347 + 58 = 405."), "405");
  EXPECT_EQ(last_number("57 - 102 = -45"), "-45");
  EXPECT_EQ(last_number("10-5"), "5");  // a difference, not a negative number
  EXPECT_EQ(last_number("(3)-5"), "5");
  EXPECT_EQ(last_number("-7"), "-7");
  EXPECT_EQ(last_number("1,234,567 or so"), "1234567");
  EXPECT_EQ(last_number("about 2.5"), "2.5");
  EXPECT_EQ(last_number("结果是12。"), "12");
  EXPECT_EQ(last_number("none"), std::nullopt);
  EXPECT_EQ(last_number(""), std::nullopt);
  const SkillQuestion asked = question(SkillMatch::kNumber, "405");
  EXPECT_TRUE(right(asked, "347 + 58 = 405"));
  EXPECT_FALSE(right(asked, "347 + 58 = 4050"));
  EXPECT_FALSE(right(asked, ""));
}

TEST(SkillMatch, ContainsWholeWords) {
  EXPECT_TRUE(contains_word("It is 6 April.", "6 April"));
  EXPECT_FALSE(contains_word("It is 16 April.", "6 April"));
  EXPECT_TRUE(contains_word("16 April or 6 April", "6 April"));
  EXPECT_FALSE(contains_word("a capitalist", "capital"));
  EXPECT_TRUE(contains_word("一共13天，不是3天", "3天"));
  EXPECT_FALSE(contains_word("一共13天", "3天"));
  EXPECT_TRUE(contains_word("首都是北京。", "北京"));
  EXPECT_TRUE(contains_word("I Don't Know that.", "don't know"));  // gold has no capital
  EXPECT_FALSE(contains_word("it is au.", "Au"));
  EXPECT_FALSE(contains_word("anything", ""));
  const SkillQuestion any = question(SkillMatch::kContains, json::array({"don't know", "do not know"}));
  EXPECT_TRUE(right(any, "I do not know."));
  EXPECT_FALSE(right(any, "I know."));
}

TEST(SkillMatch, JsonIsValidByItsSchemaAndRightByItsValue) {
  const json schema =
      json::parse(R"({"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer"},
    "tags":{"type":"array","items":{"type":"string"}},"size":{"enum":["small","large"]}},
    "required":["name","age"],"additionalProperties":false})");
  ASSERT_TRUE(check_schema(schema).ok());
  const SkillQuestion asked = question(SkillMatch::kJsonSchema, {{"name", "Ada"}, {"age", 36}}, schema);
  const auto verdict = [&](const char* said) {
    const Verdict found = judge(asked, {said, nullptr});
    return std::string(found.valid ? "valid" : "not valid") + (found.right ? ", right" : "");
  };
  EXPECT_EQ(verdict(R"( {"age": 36, "name": "Ada"} )"), "valid, right");
  EXPECT_EQ(verdict(R"({"age": 37, "name": "Ada"})"), "valid");
  EXPECT_EQ(verdict(R"({"age": 37, "name": "Ada", "tags": ["a"], "size": "small"})"), "valid");
  EXPECT_EQ(verdict(R"({"age": "36", "name": "Ada"})"), "not valid");
  EXPECT_EQ(verdict(R"({"age": 36.5, "name": "Ada"})"), "not valid");
  EXPECT_EQ(verdict(R"({"name": "Ada"})"), "not valid");
  EXPECT_EQ(verdict(R"({"age": 36, "name": "Ada", "town": "Oslo"})"), "not valid");
  EXPECT_EQ(verdict(R"({"age": 36, "name": "Ada", "tags": [1]})"), "not valid");
  EXPECT_EQ(verdict(R"({"age": 36, "name": "Ada", "size": "huge"})"), "not valid");
  EXPECT_EQ(verdict(R"(Here: {"age": 36, "name": "Ada"})"), "not valid");
  EXPECT_EQ(verdict(""), "not valid");
}

TEST(SkillMatch, ASchemaThatIsNotUnderstoodIsAnError) {
  EXPECT_FALSE(check_schema(json::parse(R"({"type":"string","pattern":"a"})")).ok());
  EXPECT_FALSE(check_schema(json::parse(R"({"type":["string","null"]})")).ok());
  EXPECT_FALSE(check_schema(json::parse(R"({"properties":{"a":{"minimum":3}}})")).ok());
  EXPECT_FALSE(check_schema(json::parse("[]")).ok());
  EXPECT_TRUE(check_schema(json::parse(R"({"title":"x","items":{"type":"null"}})")).ok());
}

constexpr const char* kTwoCalls =
    "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\": 1}<｜tool▁call▁end｜>"
    "<｜tool▁call▁begin｜>g<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>";

TEST(SkillMatch, CallsFromTheTextOrTheMessage) {
  const json gold = json::parse(R"([{"name":"f","arguments":{"a":1}},{"name":"g","arguments":{}}])");
  const SkillQuestion asked = question(SkillMatch::kToolCall, gold);
  EXPECT_TRUE(right(asked, kTwoCalls));
  const json structured = json::parse(
      R"([{"id":"x","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}},
          {"id":"y","type":"function","function":{"name":"g","arguments":"{}"}}])");
  EXPECT_TRUE(right(asked, "", structured));
  EXPECT_FALSE(right(asked, "", json::array({structured[1], structured[0]})));  // the order counts
  EXPECT_FALSE(right(asked, "", json::array({structured[0]})));
  EXPECT_FALSE(right(asked, "f and g"));
  const std::string broken = std::string(kTwoCalls).substr(0, 60);
  EXPECT_FALSE(right(asked, broken));
  EXPECT_FALSE(right(question(SkillMatch::kToolCall, json::array({gold[0]})),
                     "<｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\": 1<｜tool▁call▁end｜>"));
}

TEST(SkillSets, ReadsQuestions) {
  const auto found = parse_skill_set(
      R"({"skill":"sums","language":"en","messages":[{"role":"user","content":"1+1"}],"match":"number","gold":"2","thinking":true,"max_tokens":9,"bar":95}

{"skill":"long","language":"zh","messages":[{"role":"user","content":"text\n{ask}"}],"match":"exact","asks":[{"ask":"A?","gold":"a"},{"ask":"B?","gold":"b"}]}
)",
      "set");
  ASSERT_TRUE(found.ok()) << message_of(found.status());
  ASSERT_EQ(found->size(), 3u);
  EXPECT_EQ((*found)[0].skill, "sums");
  EXPECT_TRUE((*found)[0].thinking);
  EXPECT_EQ((*found)[0].max_tokens, 9);
  EXPECT_EQ((*found)[0].bar, 95.0);
  EXPECT_EQ((*found)[2].messages[0]["content"], "text\nB?");
  EXPECT_EQ((*found)[2].gold, "b");
  EXPECT_FALSE((*found)[2].thinking);
}

TEST(SkillSets, ErrorsNameTheLine) {
  const std::string good =
      R"({"skill":"s","language":"en","messages":[{"role":"user","content":"q"}],"match":"exact","gold":"g"})";
  for (
      const char* bad :
      {"{", "[]", R"({"skill":"s"})",
       R"({"skill":"s","language":"en","messages":[],"match":"exact","gold":"g"})",
       R"({"skill":"s","language":"en","messages":[{"role":"user"}],"match":"like","gold":"g"})",
       R"({"skill":"s","language":"en","messages":[{"role":"user"}],"match":"exact"})",
       R"({"skill":"s","language":"en","messages":[{"role":"user"}],"match":"exact","gold":3})",
       R"({"skill":"s","language":"en","messages":[{"role":"user"}],"match":"contains","gold":[]})",
       R"({"skill":"s","language":"en","messages":[{"role":"user"}],"match":"tool-call","gold":[{}]})",
       R"({"skill":"s","language":"en","messages":[{"role":"user"}],"match":"json-schema","gold":{}})",
       R"({"skill":"s","language":"en","messages":[{"role":"user"}],"match":"exact","gold":"g","max_tokens":0})",
       R"({"skill":"s","language":"en","messages":[{"role":"user","content":"q"}],"match":"exact","asks":[{"ask":"a","gold":"g"}]})"}) {
    const auto found = parse_skill_set(good + "\n" + bad, "my.jsonl");
    ASSERT_FALSE(found.ok()) << bad;
    EXPECT_NE(message_of(found.status()).find("my.jsonl, line 2"), std::string_view::npos) << bad;
  }
}

TEST(SkillSets, TheDemoModelsSetsAreRead) {
  const auto found = read_skill_sets(HADAL_SOURCE_DIR "/models/demo/skills");
  ASSERT_TRUE(found.ok()) << message_of(found.status());
  EXPECT_GT(found->size(), 1000u);
  EXPECT_FALSE(read_skill_sets(HADAL_SOURCE_DIR "/models").ok());  // no set there
}

}  // namespace
}  // namespace hadal
