// The cutting that most pre-tokenizers share: find delimiters, then treat them as a behaviour says.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "text/pre_tokenizer.h"
#include "text/pre_tokenizer_regex.h"

namespace hadal::tok {

/// Finds delimiters in a text (valid UTF-8).
class Delimiter {
 public:
  virtual ~Delimiter() = default;
  /// The first delimiter at or after byte `from`. May be empty, except at `from` itself after a match ended
  /// there (callers skip those, see next_delimiter).
  virtual bool find(std::string_view text, size_t from, Match& match) const = 0;
  /// Asks for categories of characters, so that newer ones need stand-ins (pre_tokenizer_unicode.h).
  virtual bool asks_categories() const { return false; }
};

std::unique_ptr<Delimiter> regex_delimiter(Regex regex);
std::unique_ptr<Delimiter> literal_delimiter(std::string literal);
/// Every character of which `test` holds is a delimiter of its own.
std::unique_ptr<Delimiter> char_delimiter(bool (*test)(uint32_t codepoint));

/// {"Regex": ...} or {"String": ...}, the form patterns have throughout tokenizer.json.
StatusOr<std::unique_ptr<Delimiter>> parse_pattern(const Json& node, std::string_view where);

/// Goes through all delimiters of a text from left to right. An empty one right after another is skipped.
class DelimiterWalk {
 public:
  DelimiterWalk(const Delimiter& delimiter, std::string_view text);
  DelimiterWalk(const DelimiterWalk&) = delete;
  DelimiterWalk& operator=(const DelimiterWalk&) = delete;
  bool next(Match& match);

 private:
  const Delimiter& delimiter_;
  std::string_view text_;
  std::string changed_;  // the text with stand-ins, where it needs any
  size_t at_ = 0;
  size_t last_end_ = SIZE_MAX;
};

/// What becomes of delimiters.
enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

StatusOr<SplitBehavior> parse_behavior(const Json& node, SplitBehavior fallback, std::string_view where);

/// `invert` swaps the roles of delimiters and what lies between them.
std::unique_ptr<PreTokenizerStep> make_split(std::unique_ptr<Delimiter> delimiter, SplitBehavior behavior,
                                             bool invert);

// Classes of code points.
bool is_numeric(uint32_t codepoint);      // Nd, Nl, No
bool is_punctuation(uint32_t codepoint);  // ASCII punctuation and P*
bool is_white_space(uint32_t codepoint);  // White_Space

}  // namespace hadal::tok
