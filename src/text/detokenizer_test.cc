#include "text/detokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "text/tokenizer_test_support.h"
#include "text/tokenizer_utf8.h"

namespace hadal::tok {
namespace {

/// Pushes ids one by one; each part must be whole UTF-8, and all together what decode gives.
void expect_same(const std::shared_ptr<const Tokenizer>& tokenizer, const std::vector<int32_t>& ids) {
  for (const SkipSpecial mode : {SkipSpecial::kNo, SkipSpecial::kYes}) {
    Detokenizer detokenizer(tokenizer, mode);
    std::string text;
    for (const int32_t id : ids) {
      const std::string part = detokenizer.push(id);
      ASSERT_TRUE(is_valid_utf8(part));
      text += part;
    }
    text += detokenizer.flush();
    ASSERT_EQ(text, tokenizer->decode(ids, mode));
  }
}

/// Byte-level decoding written down directly: all bytes together, then repaired. Streaming shares no code
/// with it.
std::string bytes_at_once(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  std::string bytes, text;
  for (const int32_t id : ids) bytes += tokenizer.token_bytes(id);
  append_valid_utf8(text, bytes);
  return text;
}

TEST(Detokenizer, HoldsBackPartsOfACharacter) {
  const auto tokenizer = must_load(small_tokenizer_json());
  Detokenizer detokenizer(tokenizer, SkipSpecial::kYes);
  EXPECT_EQ(detokenizer.push('a'), "a");
  EXPECT_EQ(detokenizer.push(0xE4), "");
  EXPECT_EQ(detokenizer.push(0xBD), "");
  EXPECT_EQ(detokenizer.push(0xA0), "你");
  EXPECT_EQ(detokenizer.push(266), "");
  EXPECT_EQ(detokenizer.push(268), "");               // special: skipped, the character stays open
  EXPECT_EQ(detokenizer.push(270), "\uFFFD<think>");  // shown: the character ends broken
  EXPECT_EQ(detokenizer.push(0xF0), "");
  EXPECT_EQ(detokenizer.flush(), "\uFFFD");
  EXPECT_EQ(detokenizer.push('b'), "b");  // a new text
}

TEST(Detokenizer, RandomIdsOfEveryVocabulary) {
  std::vector<std::shared_ptr<const Tokenizer>> tokenizers = {must_load(small_tokenizer_json())};
  const auto folder = oracle_folder() / "tokenizers";
  if (std::filesystem::exists(folder)) {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      if (entry.is_directory()) tokenizers.push_back(*Tokenizer::load(entry.path()));
    }
  } else {
    std::printf("no recorded vocabularies at %s: the built-in one alone is tested\n", folder.c_str());
  }
  std::mt19937 random(3);
  for (const auto& tokenizer : tokenizers) {
    const auto size = static_cast<uint32_t>(tokenizer->vocab_size());
    for (int round = 0; round < 500; ++round) {
      std::vector<int32_t> ids;
      for (uint32_t n = random() % 24; n > 0; --n) {
        const uint32_t range = random() % 2 == 0 ? size + 2 : 300;  // many bytes, so that characters break
        ids.push_back(static_cast<int32_t>(random() % range));
      }
      expect_same(tokenizer, ids);
      ASSERT_EQ(tokenizer->decode(ids, SkipSpecial::kNo), bytes_at_once(*tokenizer, ids));
    }
  }
}

constexpr const char* kLlama = R"({"model": {"type": "BPE", "byte_fallback": true, "merges": [], "vocab":
  {"▁": 0, "a": 1, "<0xE4>": 2, "<0xBD>": 3, "<0xA0>": 4, "▁▁a": 5, "x ": 6}},
  "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
    {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": STOP}]}})";

std::string llama(int stop) {
  std::string json = kLlama;
  return json.replace(json.find("STOP"), 4, std::to_string(stop));
}

TEST(Detokenizer, SentencePieceDecoders) {
  const auto tokenizer = must_load(llama(0));
  const auto decode = [&](std::vector<int32_t> ids) { return tokenizer->decode(ids, SkipSpecial::kNo); };
  EXPECT_EQ(decode({0, 1, 0, 1}), "a a");
  EXPECT_EQ(decode({5, 2, 3, 4}), " a你");
  EXPECT_EQ(decode({2, 3, 1, 2, 3, 4, 4}),
            "\uFFFD\uFFFDa\uFFFD\uFFFD\uFFFD\uFFFD");  // a run is whole or nothing
  std::mt19937 random(5);
  for (const int stop : {0, 1, 2}) {
    const auto stripping = must_load(llama(stop));
    for (int round = 0; round < 300; ++round) {
      std::vector<int32_t> ids;
      for (uint32_t n = random() % 8; n > 0; --n) ids.push_back(static_cast<int32_t>(random() % 8));
      expect_same(stripping, ids);
    }
  }
  EXPECT_EQ(must_load(llama(2))->decode(std::vector<int32_t>{1, 0, 0, 0}, SkipSpecial::kNo), "a ");
}

}  // namespace
}  // namespace hadal::tok
