// The file of --config, JSON or YAML: what is accepted must be what both forms say, and not grow without bounds.
// deps: hadal_cli
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "cli/config_file.h"

namespace {

constexpr size_t kMostBytes = size_t{16}
                              << 20;  // a file of 1 MiB, with aliases and as JSON inside of a value

using hadal::ConfigValue;
using Json = nlohmann::ordered_json;
using Config = std::vector<ConfigValue>;

void require(bool holds) {
  if (!holds) std::abort();
}

bool same(const ConfigValue& left, const ConfigValue& right) {
  return left.key == right.key && left.values == right.values && left.is_null == right.is_null;
}
bool same(const Config& left, const Config& right) {
  return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                    [](const ConfigValue& a, const ConfigValue& b) { return same(a, b); });
}

/// `text`, which must be UTF-8, as a YAML scalar between quotes: all but plain ASCII by its number.
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (size_t at = 0; at < text.size();) {
    const auto lead = static_cast<uint8_t>(text[at]);
    if (lead >= 0x20 && lead < 0x7F && lead != '"' && lead != '\\') {
      out += text[at++];
      continue;
    }
    const size_t length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    require(lead < 0x80 || (lead >= 0xC2 && lead < 0xF5));
    require(at + length <= text.size());
    uint32_t character = length == 1 ? lead : lead & (0xFFu >> (length + 1));
    for (size_t i = 1; i < length; ++i) {
      const auto byte = static_cast<uint8_t>(text[at + i]);
      require((byte & 0xC0) == 0x80);
      character = character << 6 | (byte & 0x3F);
    }
    char number[16];
    std::snprintf(number, sizeof number, "\\U%08X", character);
    out += number;
    at += length;
  }
  return out + '"';
}

/// A file that says the same in the plainest words.
std::string rewritten(const Config& config) {
  std::string text;
  for (const ConfigValue& one : config) {
    text += "? " + quoted(one.key) + "\n: ";
    if (one.is_null) {
      text += "null\n";
      continue;
    }
    text += "[";
    for (const std::string& value : one.values) text += (text.back() == '[' ? "" : ", ") + quoted(value);
    text += "]\n";
  }
  return text.empty() ? "{}" : text;
}

std::string text_of(const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

/// What the file says as JSON. YAML folds some characters outside ASCII, so those are left out.
void check_as_json(std::string_view text, const Config& config) {
  if (std::any_of(text.begin(), text.end(), [](char c) { return static_cast<uint8_t>(c) >= 0x7F; })) return;
  const Json tree = Json::parse(text, nullptr, false);
  if (!tree.is_object()) return;
  Config expected;
  for (const auto& [name, value] : tree.items()) {
    ConfigValue one{.key = name, .values = {}, .is_null = value.is_null()};
    for (char& c : one.key) c = c == '_' ? '-' : c;
    if (value.is_array()) {
      for (const Json& item : value) one.values.push_back(text_of(item));
    } else if (!value.is_null()) {
      one.values.push_back(text_of(value));
    }
    expected.push_back(std::move(one));
  }
  require(same(expected, config));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto config = hadal::parse_config(text);
  if (!config.ok()) {
    require(!hadal::message_of(config.status()).empty());
    return 0;
  }
  std::set<std::string> keys;
  size_t bytes = 0;
  for (const ConfigValue& one : *config) {
    require(one.key.find('_') == std::string::npos && keys.insert(one.key).second);
    require(!one.is_null || one.values.empty());
    for (const std::string& value : one.values) bytes += value.size();
  }
  require(bytes <= kMostBytes);
  const auto again = hadal::parse_config(rewritten(*config));
  require(again.ok() && same(*config, *again));
  check_as_json(text, *config);
  return 0;
}
