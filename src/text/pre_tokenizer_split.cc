#include "text/pre_tokenizer_split.h"

#include <utf8proc.h>

#include "text/pre_tokenizer_unicode.h"
#include "text/tokenizer_utf8.h"

namespace hadal::tok {
namespace {

class RegexDelimiter : public Delimiter {
 public:
  explicit RegexDelimiter(Regex regex) : regex_(std::move(regex)) {}
  bool find(std::string_view text, size_t from, Match& match) const override {
    return regex_.find(text, from, match);
  }
  bool asks_categories() const override { return true; }

 private:
  Regex regex_;
};

class LiteralDelimiter : public Delimiter {
 public:
  explicit LiteralDelimiter(std::string literal) : literal_(std::move(literal)) {}
  bool find(std::string_view text, size_t from, Match& match) const override {
    if (literal_.empty()) return false;
    const size_t at = text.find(literal_, from);
    if (at == std::string_view::npos) return false;
    match = {at, at + literal_.size()};
    return true;
  }

 private:
  std::string literal_;
};

class CharDelimiter : public Delimiter {
 public:
  explicit CharDelimiter(bool (*test)(uint32_t)) : test_(test) {}
  bool find(std::string_view text, size_t from, Match& match) const override {
    while (from < text.size()) {
      const Utf8Char next = read_utf8(text, from);
      if (test_(next.codepoint)) {
        match = {from, from + next.length};
        return true;
      }
      from += next.length;
    }
    return false;
  }

 private:
  bool (*test_)(uint32_t);
};

// Cuts by a behaviour. Runs of equal kind cannot be told apart from the sink's side, so cuts are made here.
class SplitStep : public PreTokenizerStep {
 public:
  SplitStep(std::unique_ptr<Delimiter> delimiter, SplitBehavior behavior, bool invert)
      : delimiter_(std::move(delimiter)), behavior_(behavior), invert_(invert) {}

  void split(std::string_view text, bool first, PieceSink& sink) const override {
    Cutter cutter{*this, text, first, sink};
    DelimiterWalk walk(*delimiter_, text);
    size_t at = 0;
    for (Match match; walk.next(match); at = match.end) {
      if (at < match.begin) cutter.take({at, match.begin}, invert_);
      cutter.take(match, !invert_);
    }
    if (at < text.size()) cutter.take({at, text.size()}, invert_);
    cutter.emit();
  }

 private:
  // Holds one piece back: the next part may be merged into it.
  struct Cutter {
    const SplitStep& step;
    std::string_view text;
    bool first;
    PieceSink& sink;
    bool held = false;
    Match piece{};
    bool last_is_delimiter = false;

    void emit() {
      if (held && piece.begin < piece.end) {
        sink.piece(text.substr(piece.begin, piece.end - piece.begin), first && piece.begin == 0);
      }
      held = false;
    }

    void take(Match part, bool is_delimiter) {
      if (held && merges(is_delimiter)) {
        piece.end = part.end;
      } else {
        emit();
        held = !(is_delimiter && step.behavior_ == SplitBehavior::kRemoved);
        piece = part;
      }
      last_is_delimiter = is_delimiter;
    }

    bool merges(bool is_delimiter) const {
      switch (step.behavior_) {
        case SplitBehavior::kContiguous:
          return is_delimiter == last_is_delimiter;
        case SplitBehavior::kMergedWithPrevious:
          return is_delimiter && !last_is_delimiter;
        case SplitBehavior::kMergedWithNext:
          return !is_delimiter && last_is_delimiter;
        default:
          return false;
      }
    }
  };

  std::unique_ptr<Delimiter> delimiter_;
  SplitBehavior behavior_;
  bool invert_;
};

utf8proc_category_t category(uint32_t codepoint) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(unicode_stand_in(codepoint)));
}

}  // namespace

std::unique_ptr<Delimiter> regex_delimiter(Regex regex) {
  return std::make_unique<RegexDelimiter>(std::move(regex));
}
std::unique_ptr<Delimiter> literal_delimiter(std::string literal) {
  return std::make_unique<LiteralDelimiter>(std::move(literal));
}
std::unique_ptr<Delimiter> char_delimiter(bool (*test)(uint32_t)) {
  return std::make_unique<CharDelimiter>(test);
}

std::unique_ptr<PreTokenizerStep> make_split(std::unique_ptr<Delimiter> delimiter, SplitBehavior behavior,
                                             bool invert) {
  return std::make_unique<SplitStep>(std::move(delimiter), behavior, invert);
}

StatusOr<std::unique_ptr<Delimiter>> parse_pattern(const Json& node, std::string_view where) {
  const Json* pattern = find_field(node, "pattern");
  if (pattern == nullptr) return invalid_argument("{}.pattern is missing", where);
  const Json* regex = find_field(*pattern, "Regex");
  const Json* literal = find_field(*pattern, "String");
  const Json* text = regex != nullptr ? regex : literal;
  if (text == nullptr || !text->is_string()) {
    return invalid_argument("{}.pattern must be {{\"Regex\": text}} or {{\"String\": text}}", where);
  }
  if (regex == nullptr) return literal_delimiter(text->get<std::string>());
  StatusOr<Regex> compiled = Regex::compile(text->get_ref<const std::string&>());
  if (!compiled.ok()) return annotate(compiled.status(), std::string(where) + ".pattern");
  return regex_delimiter(std::move(*compiled));
}

DelimiterWalk::DelimiterWalk(const Delimiter& delimiter, std::string_view text)
    : delimiter_(delimiter), text_(text) {
  if (delimiter.asks_categories() && replace_newer_characters(text, changed_)) text_ = changed_;
}

bool DelimiterWalk::next(Match& match) {
  if (text_.empty()) return false;  // nothing to cut, even by an empty match (as in HF)
  while (at_ <= text_.size() && delimiter_.find(text_, at_, match)) {
    if (match.begin == match.end && match.end == last_end_) {
      at_ = last_end_ + (last_end_ < text_.size() ? utf8_length(text_[last_end_]) : 1);
      continue;
    }
    at_ = last_end_ = match.end;
    return true;
  }
  return false;
}

StatusOr<SplitBehavior> parse_behavior(const Json& node, SplitBehavior fallback, std::string_view where) {
  if (find_field(node, "behavior") == nullptr) return fallback;
  ASSIGN_OR_RETURN(const std::string name, string_field(node, "behavior", where));
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  return unimplemented("{}.behavior '{}' is not known", where, name);
}

bool is_numeric(uint32_t codepoint) {
  const auto kind = category(codepoint);
  return kind == UTF8PROC_CATEGORY_ND || kind == UTF8PROC_CATEGORY_NL || kind == UTF8PROC_CATEGORY_NO;
}

bool is_punctuation(uint32_t codepoint) {
  if (codepoint < 0x80) {
    return (codepoint >= '!' && codepoint <= '/') || (codepoint >= ':' && codepoint <= '@') ||
           (codepoint >= '[' && codepoint <= '`') || (codepoint >= '{' && codepoint <= '~');
  }
  const auto kind = utf8proc_category(static_cast<utf8proc_int32_t>(codepoint));  // HF's table here is an old one
  return kind >= UTF8PROC_CATEGORY_PC && kind <= UTF8PROC_CATEGORY_PO;
}

bool is_white_space(uint32_t codepoint) {
  if (codepoint < 0x80) return codepoint == ' ' || (codepoint >= '\t' && codepoint <= '\r');
  const auto kind = category(codepoint);
  return codepoint == 0x85 || kind == UTF8PROC_CATEGORY_ZS || kind == UTF8PROC_CATEGORY_ZL ||
         kind == UTF8PROC_CATEGORY_ZP;
}

}  // namespace hadal::tok
