// What goes around a text: tokenizer_config.json, and tokenizer.json's post_processor.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/added_tokens.h"
#include "text/tokenizer_json.h"

namespace hadal::tok {

/// Ids put before and after every text that is encoded with special tokens.
struct Frame {
  std::vector<int32_t> before, after;
};

/// tokenizer.json's "post_processor": TemplateProcessing (its "single" form), ByteLevel (which changes
/// offsets only), Sequence; others are refused by name. Every id must satisfy `known`.
StatusOr<Frame> parse_post_processor(const Json* node, const std::function<bool(int64_t)>& known);

struct TokenizerConfig {
  std::optional<bool> add_bos, add_eos;
  std::optional<std::string> bos, eos, pad, unknown;
  std::map<std::string, std::string, std::less<>> chat_templates;  // by name
  std::vector<AddedToken> added_tokens;                            // of added_tokens_decoder
};

/// An empty text is a configuration that says nothing.
StatusOr<TokenizerConfig> parse_tokenizer_config(std::string_view text);

}  // namespace hadal::tok
