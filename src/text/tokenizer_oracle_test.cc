// Recorded texts and ids of the published tokenizers (see the oracle's README). Where the recorded cases are
// not there, tokenizer_test.cc alone speaks for the tokenizer, and these tests say so.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "text/detokenizer.h"
#include "text/tokenizer.h"
#include "text/tokenizer_test_support.h"

namespace hadal::tok {
namespace {

using Json = nlohmann::json;

std::vector<Json> read_lines(const std::filesystem::path& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file) << path;
  std::vector<Json> lines;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty()) lines.push_back(Json::parse(line));
  }
  return lines;
}

std::shared_ptr<const Tokenizer> oracle_tokenizer(const std::string& name) {
  static std::map<std::string, std::shared_ptr<const Tokenizer>> loaded;
  auto& tokenizer = loaded[name];
  if (tokenizer == nullptr) {
    auto result = Tokenizer::load(oracle_folder() / "tokenizers" / name);
    EXPECT_TRUE(result.ok()) << message_of(result.status());
    if (result.ok()) tokenizer = *result;
  }
  return tokenizer;
}

std::string streamed(const std::shared_ptr<const Tokenizer>& tokenizer, const std::vector<int32_t>& ids,
                     SkipSpecial mode) {
  Detokenizer detokenizer(tokenizer, mode);
  std::string text;
  for (const int32_t id : ids) text += detokenizer.push(id);
  return text + detokenizer.flush();
}

class TokenizerOracle : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(oracle_folder() / "tokenizers")) {
      GTEST_SKIP() << "no recorded cases at " << oracle_folder()
                   << "; tokenizer_test.cc has the built-in ones";
    }
  }
};

TEST_P(TokenizerOracle, EncodesAndDecodesEveryCase) {
  const auto folder = oracle_folder() / "tokenizers" / GetParam();
  const auto tokenizer = oracle_tokenizer(GetParam());
  ASSERT_NE(tokenizer, nullptr);
  size_t cases = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".jsonl") continue;
    for (const Json& line : read_lines(entry.path())) {
      const auto text = line["text"].get<std::string>();
      const auto ids = line["ids"].get<std::vector<int32_t>>();
      SCOPED_TRACE(entry.path().filename().string() + ": " + text.substr(0, 200));
      EXPECT_EQ(tokenizer->encode(text, AddSpecial::kNo), ids);
      const std::string decoded = line.value("decoded", text);
      EXPECT_EQ(tokenizer->decode(ids, SkipSpecial::kNo), decoded);
      EXPECT_EQ(streamed(tokenizer, ids, SkipSpecial::kNo), decoded);
      const std::string skipped = tokenizer->decode(ids, SkipSpecial::kYes);
      EXPECT_EQ(streamed(tokenizer, ids, SkipSpecial::kYes), skipped);
      // The V3 generation's cases leave the field out where it equals the text, the others have it in one
      // file.
      const bool recorded = line.contains("decoded_skip_special");
      const bool implied = std::string_view(GetParam()).substr(0, 10) == "deepseek-v";
      if (recorded || implied) {
        EXPECT_EQ(skipped, line.value("decoded_skip_special", text));
      }
      ++cases;
      if (HasFailure()) return;  // one case in full is enough to read
    }
  }
  EXPECT_GE(cases, 70u);
  std::printf("%s: %zu cases\n", GetParam(), cases);
}

INSTANTIATE_TEST_SUITE_P(Vocabularies, TokenizerOracle,
                         ::testing::Values("deepseek-coder", "deepseek-llm", "deepseek-v3", "deepseek-v4",
                                           "llama3-r1-distill", "qwen2-r1-distill"),
                         [](const auto& vocabulary) {
                           std::string name = vocabulary.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// FIPS 180-4, for the probes that only a digest was published of.
std::string sha256_hex(std::string message) {
  static const std::array<uint32_t, 64> kRound = [] {
    std::array<uint32_t, 64> constants{};  // the fractions of the cube roots of the first 64 primes
    int found = 0;
    for (uint64_t n = 2; found < 64; ++n) {
      bool prime = true;
      for (uint64_t d = 2; d * d <= n; ++d) prime = prime && n % d != 0;
      if (!prime) continue;
      const double whole = std::floor(std::cbrt(static_cast<double>(n)));
      const long double fraction = std::cbrt(static_cast<long double>(n)) - static_cast<long double>(whole);
      constants[static_cast<size_t>(found++)] = static_cast<uint32_t>(fraction * 4294967296.0L);
    }
    return constants;
  }();
  std::array<uint32_t, 8> state{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  const uint64_t bits = message.size() * 8;
  message += '\x80';
  while (message.size() % 64 != 56) message += '\0';
  for (int shift = 56; shift >= 0; shift -= 8) message += static_cast<char>(bits >> shift);
  for (size_t block = 0; block < message.size(); block += 64) {
    std::array<uint32_t, 64> w{};
    for (size_t i = 0; i < 64; ++i) {
      w[i / 4] |= i < 64 ? uint32_t{static_cast<uint8_t>(message[block + i])} << (24 - 8 * (i % 4)) : 0;
    }
    for (size_t i = 16; i < 64; ++i) {
      const uint32_t a = std::rotr(w[i - 15], 7) ^ std::rotr(w[i - 15], 18) ^ w[i - 15] >> 3;
      const uint32_t b = std::rotr(w[i - 2], 17) ^ std::rotr(w[i - 2], 19) ^ w[i - 2] >> 10;
      w[i] = w[i - 16] + a + w[i - 7] + b;
    }
    auto [a, b, c, d, e, f, g, h] = state;
    for (size_t i = 0; i < 64; ++i) {
      const uint32_t t1 = h + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) + ((e & f) ^ (~e & g)) +
                          kRound[i] + w[i];
      const uint32_t t2 =
          (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
      h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
    }
    const std::array<uint32_t, 8> sum{a, b, c, d, e, f, g, h};
    for (size_t i = 0; i < 8; ++i) state[i] += sum[i];
  }
  std::string hex;
  for (const uint32_t word : state) hex += fmt::format("{:08x}", word);
  return hex;
}

TEST(TokenizerProbes, PublishedStatementsHold) {
  ASSERT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const auto folder = oracle_folder() / "tokenizers";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no recorded cases at " << oracle_folder();
  size_t checked = 0;
  for (const Json& line : read_lines(folder / "deepseek-v3-probes.jsonl")) {
    for (const auto& [generation, name] : {std::pair{"v3.2", "deepseek-v3"}, {"v4", "deepseek-v4"}}) {
      const auto generations = line["tokenizers"].get<std::vector<std::string>>();
      const auto covers = [&](std::string_view wanted) {
        return std::find(generations.begin(), generations.end(), wanted) != generations.end();
      };
      // The one line for V3 alone has no thinking tokens, so V3.2's file must do it too.
      if (!covers(generation) && !(generation == std::string_view("v3.2") && covers("v3"))) continue;
      const auto tokenizer = oracle_tokenizer(name);
      ASSERT_NE(tokenizer, nullptr);
      const auto text = line["text"].get<std::string>();
      SCOPED_TRACE(std::string(name) + ": " + text.substr(0, 100));
      const std::vector<int32_t> ids = tokenizer->encode(text, AddSpecial::kNo);
      ++checked;
      if (line.contains("ids")) {
        EXPECT_EQ(ids, line["ids"].get<std::vector<int32_t>>());
      }
      if (line.contains("count")) {
        EXPECT_EQ(ids.size(), line["count"].get<size_t>());
      }
      if (line.contains("sha256_ids_le32")) {
        std::string bytes;
        for (const int32_t id : ids) {
          for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(id >> shift);
        }
        EXPECT_EQ(sha256_hex(bytes), line["sha256_ids_le32"].get<std::string>());
      }
      if (line.contains("sha256_ids_repr")) {
        EXPECT_EQ(sha256_hex(fmt::format("[{}]", fmt::join(ids, ", "))),
                  line["sha256_ids_repr"].get<std::string>());
      }
    }
  }
  EXPECT_GE(checked, 22u);
}

TEST(TokenizerProbes, FlagsOfAddedTokensAreTheFiles) {
  const auto folder = oracle_folder() / "tokenizers";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no recorded cases at " << oracle_folder();
  const auto tokenizer = oracle_tokenizer("deepseek-v3");
  ASSERT_NE(tokenizer, nullptr);
  const Json tokens = Json::parse(*read_file(folder / "deepseek-r1-added-tokens.json"));
  ASSERT_GT(tokens.size(), 800u);
  for (const Json& token : tokens) {
    const auto id = token["id"].get<int32_t>();
    EXPECT_EQ(tokenizer->id_to_token(id), token["content"].get<std::string>());
    EXPECT_EQ(tokenizer->is_special(id), token["special"].get<bool>()) << id;
  }
}

}  // namespace
}  // namespace hadal::tok
