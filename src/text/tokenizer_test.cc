// The tokenizer by its own small cases: what each field does, and what is refused.
#include "text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "text/tokenizer_test_support.h"

namespace hadal::tok {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Json = nlohmann::ordered_json;

std::vector<int32_t> ids_of(const std::shared_ptr<const Tokenizer>& tokenizer, std::string_view text) {
  return tokenizer->encode(text, AddSpecial::kNo);
}

/// The small tokenizer with one pointer of its JSON replaced.
std::string changed(const std::string& pointer, const Json& value) {
  Json json = Json::parse(small_tokenizer_json());
  json[Json::json_pointer(pointer)] = value;
  return json.dump();
}

TEST(Tokenizer, SmallCases) {
  const auto tokenizer = must_load(small_tokenizer_json());
  EXPECT_THAT(ids_of(tokenizer, "hello world"), ElementsAre(259, 264));
  EXPECT_THAT(ids_of(tokenizer, "hell"), ElementsAre(258));
  EXPECT_THAT(ids_of(tokenizer, "1212"), ElementsAre(265, '1', '2'));
  EXPECT_THAT(ids_of(tokenizer, "你<think>hello<bos>"), ElementsAre(267, 270, 259, 268));
  EXPECT_THAT(ids_of(tokenizer, ""), ElementsAre());
  EXPECT_THAT(ids_of(tokenizer, std::string_view("\0", 1)), ElementsAre(0));
  EXPECT_EQ(tokenizer->vocab_size(), 271);
}

TEST(Tokenizer, EveryByteAndAnyTextComesBack) {
  const auto tokenizer = must_load(small_tokenizer_json());
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    std::string text;
    for (int i = 0; i < 40; ++i) {
      const uint32_t c = random() % 3 == 0 ? random() % 0xD800 : random() % 0x100;
      if (c < 0x80) {
        text += static_cast<char>(c);
      } else if (c < 0x800) {
        text += {static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 0x3F))};
      } else {
        text += {static_cast<char>(0xE0 | c >> 12), static_cast<char>(0x80 | (c >> 6 & 0x3F)),
                 static_cast<char>(0x80 | (c & 0x3F))};
      }
    }
    EXPECT_EQ(tokenizer->decode(ids_of(tokenizer, text), SkipSpecial::kNo), text);
  }
}

TEST(Tokenizer, IllFormedBytesCountAsReplacementCharacters) {
  const auto tokenizer = must_load(small_tokenizer_json());
  EXPECT_EQ(ids_of(tokenizer, "a\xFF\xE4\xBDz"), ids_of(tokenizer, "a\uFFFD\uFFFDz"));
  const std::vector<int32_t> half = {266, 'x', 266};  // two bytes of 你, and again at the end
  EXPECT_EQ(tokenizer->decode(half, SkipSpecial::kNo), "\uFFFDx\uFFFD");
  EXPECT_EQ(tokenizer->token_bytes(266), "\xE4\xBD");
}

TEST(Tokenizer, SpecialTokensAreSkippedOthersSurvive) {
  const auto tokenizer = must_load(small_tokenizer_json());
  const std::vector<int32_t> ids = {268, 270, 259, 269, -1, 100000};
  EXPECT_EQ(tokenizer->decode(ids, SkipSpecial::kYes), "<think>hello");
  EXPECT_EQ(tokenizer->decode(ids, SkipSpecial::kNo), "<bos><think>hello<eos>");
  EXPECT_TRUE(tokenizer->is_special(268));
  EXPECT_FALSE(tokenizer->is_special(270));
  EXPECT_EQ(tokenizer->token_to_id("<think>"), 270);
  EXPECT_EQ(tokenizer->token_to_id("nothing"), std::nullopt);
}

// HF before mid-2026 decodes DeepSeek-LLM's added token "ö" through the byte alphabet and prints U+FFFD.
TEST(Tokenizer, AddedTokensDecodeAsTheirText) {
  const auto tokenizer = must_load(changed("/added_tokens/2/content", "ö"));
  EXPECT_EQ(tokenizer->decode(ids_of(tokenizer, "hö"), SkipSpecial::kNo), "hö");
  EXPECT_EQ(tokenizer->token_bytes(*tokenizer->token_to_id("ö")), "\xC3\xB6");
}

TEST(Tokenizer, BosAndEosFollowTheConfiguration) {
  const auto with = [](std::string_view config) {
    return must_load(small_tokenizer_json(), config)->encode("hello", AddSpecial::kYes);
  };
  EXPECT_THAT(with(""), ElementsAre(259));
  EXPECT_THAT(with(R"({"bos_token": "<bos>", "add_bos_token": true})"), ElementsAre(268, 259));
  EXPECT_THAT(with(R"({"bos_token": {"content": "<bos>"}, "eos_token": "<eos>", "add_eos_token": true})"),
              ElementsAre(259, 269));
  EXPECT_THAT(with(R"({"bos_token": "<bos>", "tokenizer_class": "LlamaTokenizerFast"})"),
              ElementsAre(268, 259));
  EXPECT_THAT(with(R"({"bos_token": "<bos>", "tokenizer_class": "PreTrainedTokenizerFast"})"),
              ElementsAre(259));
  EXPECT_THAT(error_of(small_tokenizer_json(), R"({"add_bos_token": true})"),
              HasSubstr("bos_token is no token"));
  EXPECT_THAT(error_of(small_tokenizer_json(), R"({"bos_token": 3})"), HasSubstr("bos_token must be a text"));
}

TEST(Tokenizer, PostProcessorHoldsWhereTheConfigurationIsSilent) {
  const Json post = {{"type", "TemplateProcessing"},
                     {"single", {{{"SpecialToken", {{"id", "<bos>"}}}}, {{"Sequence", {{"id", "A"}}}}}},
                     {"special_tokens", {{"<bos>", {{"ids", {268}}}}}}};
  const std::string json = changed("/post_processor", post);
  EXPECT_THAT(must_load(json)->encode("hello", AddSpecial::kYes), ElementsAre(268, 259));
  EXPECT_THAT(must_load(json, R"({"add_bos_token": false})")->encode("hello", AddSpecial::kYes),
              ElementsAre(259));
}

TEST(Tokenizer, ChatTemplates) {
  const auto one = must_load(small_tokenizer_json(), R"({"chat_template": "{{ a }}"})");
  EXPECT_EQ(one->chat_template(), "{{ a }}");
  const auto named =
      must_load(small_tokenizer_json(), R"({"chat_template": [{"name": "tool_use", "template": "b"}]})");
  EXPECT_EQ(named->chat_template(), std::nullopt);
  EXPECT_EQ(named->chat_template("tool_use"), "b");
}

TEST(Tokenizer, MalformedFilesAreNamed) {
  EXPECT_THAT(error_of(""), HasSubstr("not valid JSON"));
  EXPECT_THAT(error_of("[]"), HasSubstr("must be an object"));
  EXPECT_THAT(error_of("{\"a\":" + std::string(100, '[')), HasSubstr("levels deep"));
  EXPECT_THAT(error_of(changed("/model/type", "Unigram")), HasSubstr("'Unigram'"));
  EXPECT_THAT(error_of(changed("/model/vocab/h", -1)), HasSubstr("model.vocab['h']"));
  EXPECT_THAT(error_of(changed("/model/vocab/h", 99999999)), HasSubstr("99999999"));
  EXPECT_THAT(error_of(changed("/model/vocab/h", "x")), HasSubstr("model.vocab['h']"));
  EXPECT_THAT(error_of(changed("/model/vocab/h", 101)), HasSubstr("same id 101"));
  EXPECT_THAT(error_of(changed("/model/merges/0", "h zz")), HasSubstr("'zz' is not in model.vocab"));
  EXPECT_THAT(error_of(changed("/model/merges/0", "h")), HasSubstr("model.merges[0]"));
  EXPECT_THAT(error_of(changed("/model/merges/0", {"h", "e", "l"})), HasSubstr("model.merges[0]"));
  EXPECT_THAT(error_of(changed("/model/merges", 3)), HasSubstr("model.merges has the wrong type"));
  EXPECT_THAT(error_of(changed("/model/dropout", 0.1)), HasSubstr("dropout"));
  EXPECT_THAT(error_of(changed("/added_tokens/0/id", 269)), HasSubstr("same id 269"));
  EXPECT_THAT(error_of(changed("/added_tokens/0/id", 7)), HasSubstr("model.vocab gives"));
  EXPECT_THAT(error_of(changed("/normalizer", {{"type", "Precompiled"}})),
              HasSubstr("normalizer.type 'Precompiled'"));
  EXPECT_THAT(error_of(changed("/pre_tokenizer/pretokenizers/0/pattern/Regex", "a(")),
              HasSubstr("pre_tokenizer.pretokenizers[0].pattern"));
  EXPECT_THAT(error_of(changed("/pre_tokenizer/pretokenizers/0/behavior", "Sideways")),
              HasSubstr("'Sideways'"));
  EXPECT_THAT(error_of(changed("/decoder", {{"type", "CTC"}})), HasSubstr("decoder.type 'CTC'"));
  EXPECT_THAT(error_of(changed("/post_processor", {{"type", "BertProcessing"}})),
              HasSubstr("'BertProcessing'"));
}

// A quadratic merge or search would take minutes.
TEST(Tokenizer, LongPiecesAreNotQuadratic) {
  const auto tokenizer = must_load(small_tokenizer_json());
  EXPECT_EQ(ids_of(tokenizer, std::string(1'000'000, 'l')).size(), 500'000u);
  EXPECT_EQ(ids_of(tokenizer, std::string(1'000'000, ' ') + "x").size(), 1'000'001u);
}

// Against such a pattern every attempt is exponential; the bound must end it.
TEST(Tokenizer, HostilePatternsEnd) {
  const auto tokenizer = must_load(changed("/pre_tokenizer/pretokenizers/0/pattern/Regex", "(?:l+)+x"));
  EXPECT_EQ(tokenizer->decode(ids_of(tokenizer, std::string(5000, 'l')), SkipSpecial::kNo),
            std::string(5000, 'l'));
}

TEST(Tokenizer, ThreadsShareOne) {
  const auto tokenizer = must_load(small_tokenizer_json());
  const std::string text = "hello world 1212 你<think> hello";
  const auto expected = ids_of(tokenizer, text);
  std::vector<std::thread> threads;
  std::vector<int> wrong(4);
  for (int& count : wrong) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) count += ids_of(tokenizer, text) != expected;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_THAT(wrong, ::testing::Each(0));
}

}  // namespace
}  // namespace hadal::tok
