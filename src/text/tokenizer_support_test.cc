#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "text/tokenizer_bytes.h"
#include "text/tokenizer_test_support.h"
#include "text/tokenizer_utf8.h"

namespace hadal::tok {

std::string small_tokenizer_json() {
  nlohmann::ordered_json vocab;
  for (int byte = 0; byte < 256; ++byte) {
    std::string letter;
    append_utf8(letter, byte_letter(static_cast<uint8_t>(byte)));
    vocab[letter] = byte;
  }
  nlohmann::ordered_json merges = nlohmann::ordered_json::array();
  int next = 256;
  const auto merge = [&](const std::string& left, const std::string& right) {
    vocab[left + right] = next++;
    merges.push_back(left + " " + right);
  };
  merge("h", "e");      // 256
  merge("l", "l");      // 257
  merge("he", "ll");    // 258
  merge("hell", "o");   // 259
  merge("Ġ", "w");      // 260
  merge("o", "r");      // 261
  merge("Ġw", "or");    // 262
  merge("Ġwor", "l");   // 263
  merge("Ġworl", "d");  // 264
  merge("1", "2");      // 265
  merge("ä", "½");      // 266: the bytes E4 BD of 你
  merge("ä½", "ł");     // 267: 你
  const auto added = [](int id, const char* text, bool special) {
    return nlohmann::ordered_json{{"id", id},          {"content", text}, {"single_word", false},
                                  {"lstrip", false},   {"rstrip", false}, {"normalized", false},
                                  {"special", special}};
  };
  const auto split = [](const char* pattern) {
    return nlohmann::ordered_json{
        {"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
  };
  const nlohmann::ordered_json file = {
      {"version", "1.0"},
      {"added_tokens", {added(268, "<bos>", true), added(269, "<eos>", true), added(270, "<think>", false)}},
      {"normalizer", {{"type", "Sequence"}, {"normalizers", nlohmann::ordered_json::array()}}},
      {"pre_tokenizer",
       {{"type", "Sequence"},
        {"pretokenizers",
         {split("\\p{N}{1,3}"),
          split("[一-龥]+"),
          split(" ?\\p{L}+|\\s+"),
          {{"type", "ByteLevel"},
           {"add_prefix_space", false},
           {"trim_offsets", true},
           {"use_regex", false}}}}}},
      {"post_processor", nullptr},
      {"decoder", {{"type", "ByteLevel"}}},
      {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", merges}}},
  };
  return file.dump();
}

std::shared_ptr<const Tokenizer> must_load(std::string_view json, std::string_view config) {
  auto tokenizer = Tokenizer::from_json(json, config);
  EXPECT_TRUE(tokenizer.ok()) << message_of(tokenizer.status());
  return tokenizer.ok() ? *tokenizer : nullptr;
}

std::string error_of(std::string_view json, std::string_view config) {
  const auto tokenizer = Tokenizer::from_json(json, config);
  EXPECT_FALSE(tokenizer.ok()) << "loads: " << json.substr(0, 200);
  return std::string(message_of(tokenizer.status()));
}

}  // namespace hadal::tok
