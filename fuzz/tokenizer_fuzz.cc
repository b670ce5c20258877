// deps: hadal_text
// mutator: json
// A tokenizer from arbitrary bytes: "tokenizer.json NUL tokenizer_config.json NUL text". What loads must
// encode and decode any text without fault, and hold what tokenizer.h and detokenizer.h promise.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "text/detokenizer.h"
#include "text/tokenizer.h"

namespace {

using hadal::AddSpecial;
using hadal::Detokenizer;
using hadal::SkipSpecial;
using hadal::Tokenizer;

std::string_view cut_field(std::string_view& rest) {
  const size_t end = rest.find('\0');
  const std::string_view field = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  return field;
}

void require(bool holds) {
  if (!holds) std::abort();
}

// Is a text whole UTF-8? By its own short rules, not the library's.
bool is_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const auto lead = static_cast<unsigned char>(text[at]);
    const size_t more = lead < 0x80   ? 0
                        : lead < 0xC2 ? 9
                        : lead < 0xE0 ? 1
                        : lead < 0xF0 ? 2
                        : lead < 0xF5 ? 3
                                      : 9;
    if (at + more >= text.size()) return false;
    for (size_t i = 1; i <= more; ++i) {
      if ((static_cast<unsigned char>(text[at + i]) & 0xC0) != 0x80) return false;
    }
    at += 1 + more;
  }
  return true;
}

/// Text as it streams is the text of all ids at once, and whole characters at every step.
void decode_both_ways(const std::shared_ptr<const Tokenizer>& tokenizer, const std::vector<int32_t>& ids) {
  for (const SkipSpecial mode : {SkipSpecial::kNo, SkipSpecial::kYes}) {
    const std::string whole = tokenizer->decode(ids, mode);
    require(is_utf8(whole));
    Detokenizer detokenizer(tokenizer, mode);
    std::string streamed;
    for (const int32_t id : ids) {
      const std::string part = detokenizer.push(id);
      require(is_utf8(part));
      streamed += part;
    }
    streamed += detokenizer.flush();
    require(streamed == whole);
  }
}

void round_trip(const std::shared_ptr<const Tokenizer>& tokenizer, std::string_view text) {
  const std::vector<char> exact(text.begin(), text.end());  // reads before and behind it are seen
  const std::vector<int32_t> ids = tokenizer->encode({exact.data(), exact.size()}, AddSpecial::kYes);
  for (const int32_t id : ids) {
    require(id >= 0 && id < tokenizer->vocab_size());
    tokenizer->token_bytes(id);
  }
  decode_both_ways(tokenizer, ids);
}

/// Words are remembered: what comes from memory is what came the first time, whatever was remembered between.
void encode_again(const Tokenizer& tokenizer, std::string_view text) {
  constexpr size_t kWord = 20, kWords = 64;
  const size_t count = std::min(text.size(), kWords);
  std::vector<std::vector<int32_t>> first;
  for (size_t i = 0; i < count; ++i)
    first.push_back(tokenizer.encode(text.substr(i, kWord), AddSpecial::kNo));
  for (size_t i = 0; i < count; ++i)
    require(tokenizer.encode(text.substr(i, kWord), AddSpecial::kNo) == first[i]);
}

/// The text of a byte-level tokenizer is its tokens' bytes in a row, however characters lie over tokens.
void decode_by_bytes(const Tokenizer& tokenizer, std::string_view tokenizer_json, std::string_view text) {
  const auto json = nlohmann::json::parse(tokenizer_json, nullptr, false);
  const auto decoder = json.is_object() ? json.find("decoder") : json.end();
  if (decoder == json.end() || !decoder->is_object() ||
      decoder->value("type", nlohmann::json()) != "ByteLevel")
    return;
  const std::vector<int32_t> ids = tokenizer.encode(text, AddSpecial::kNo);
  std::string bytes;
  for (const int32_t id : ids) bytes += tokenizer.token_bytes(id);
  if (is_utf8(bytes)) require(tokenizer.decode(ids, SkipSpecial::kNo) == bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 64 * 1024) return 0;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const std::string_view tokenizer_json = cut_field(rest);
  const std::string_view config_json = cut_field(rest);
  const auto tokenizer = Tokenizer::from_json(tokenizer_json, config_json);
  if (!tokenizer.ok()) {
    // What the outermost catch says. No check of ours may leave a file to it: some type or size was not
    // looked at.
    require(tokenizer.status().message().rfind("tokenizer.json cannot be read: ", 0) != 0);
    return 0;
  }
  round_trip(*tokenizer, rest.substr(0, 512));
  encode_again(**tokenizer, rest);
  decode_by_bytes(**tokenizer, tokenizer_json, rest.substr(0, 512));
  // The bytes as ids, and some that are none.
  std::vector<int32_t> ids;
  for (size_t i = 0; i < rest.size() && i < 256; ++i) ids.push_back(static_cast<uint8_t>(rest[i]) - 3);
  decode_both_ways(*tokenizer, ids);
  for (const std::string& name : (*tokenizer)->chat_template_names())
    require((*tokenizer)->chat_template(name).has_value());
  return 0;
}
