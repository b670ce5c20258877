#include "text/pre_tokenizer.h"

#include "text/pre_tokenizer_split.h"
#include "text/tokenizer_bytes.h"
#include "text/tokenizer_utf8.h"

namespace hadal::tok {
namespace {

// GPT-2's pattern, which ByteLevel applies unless told otherwise.
constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
// Rust's \w also has the two joiners.
constexpr std::string_view kWordsPattern =
    R"([\w\x{200c}\x{200d}]+|[^\s\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200c}\x{200d}]+)";

// Spells the bytes of each piece in letters.
class LettersSink : public PieceSink {
 public:
  explicit LettersSink(PieceSink& next) : next_(next) {}
  void piece(std::string_view text, bool first) override {
    std::string letters;
    letters.reserve(text.size() * 2);
    append_byte_letters(letters, text);
    next_.piece(letters, first);
  }

 private:
  PieceSink& next_;
};

class ByteLevelStep : public PreTokenizerStep {
 public:
  ByteLevelStep(bool prefix_space, std::unique_ptr<PreTokenizerStep> words)
      : prefix_space_(prefix_space), words_(std::move(words)) {}

  void spell_letters(bool spell) { spell_ = spell; }

  void split(std::string_view text, bool first, PieceSink& sink) const override {
    std::string spaced;
    if (prefix_space_ && text.front() != ' ') {
      spaced.reserve(text.size() + 1);
      spaced += ' ';
      spaced += text;
      text = spaced;
    }
    LettersSink letters(sink);
    PieceSink& next = spell_ ? static_cast<PieceSink&>(letters) : sink;
    if (words_) {
      words_->split(text, first, next);
    } else {
      next.piece(text, first);
    }
  }

 private:
  bool prefix_space_;
  bool spell_ = true;
  std::unique_ptr<PreTokenizerStep> words_;  // null: no splitting
};

enum class Prepend { kAlways, kFirst, kNever };

class MetaspaceStep : public PreTokenizerStep {
 public:
  MetaspaceStep(std::string mark, Prepend prepend, bool cut) : mark_(std::move(mark)), prepend_(prepend) {
    if (cut) split_ = make_split(literal_delimiter(mark_), SplitBehavior::kMergedWithNext, false);
  }

  void split(std::string_view text, bool first, PieceSink& sink) const override {
    std::string marked;
    const bool at_mark = text.front() == ' ' || text.substr(0, mark_.size()) == mark_;
    if (!at_mark && (prepend_ == Prepend::kAlways || (prepend_ == Prepend::kFirst && first))) marked = mark_;
    for (const char c : text) {
      if (c == ' ')
        marked += mark_;
      else
        marked += c;
    }
    if (split_)
      split_->split(marked, first, sink);
    else
      sink.piece(marked, first);
  }

 private:
  std::string mark_;
  Prepend prepend_;
  std::unique_ptr<PreTokenizerStep> split_;
};

using Step = std::unique_ptr<PreTokenizerStep>;

StatusOr<Step> parse_split(const Json& node, const std::string& where) {
  ASSIGN_OR_RETURN(auto delimiter, parse_pattern(node, where));
  if (find_field(node, "behavior") == nullptr) return invalid_argument("{}.behavior is missing", where);
  ASSIGN_OR_RETURN(const SplitBehavior behavior, parse_behavior(node, SplitBehavior::kIsolated, where));
  ASSIGN_OR_RETURN(const bool invert, bool_field(node, "invert", false, where));
  return make_split(std::move(delimiter), behavior, invert);
}

StatusOr<Step> parse_digits(const Json& node, const std::string& where) {
  ASSIGN_OR_RETURN(const bool individual, bool_field(node, "individual_digits", false, where));
  return make_split(char_delimiter(&is_numeric),
                    individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous, false);
}

StatusOr<Step> parse_byte_level(const Json& node, const std::string& where) {
  ASSIGN_OR_RETURN(const bool prefix_space, bool_field(node, "add_prefix_space", true, where));
  ASSIGN_OR_RETURN(const bool use_regex, bool_field(node, "use_regex", true, where));
  Step words;
  if (use_regex) {
    ASSIGN_OR_RETURN(Regex regex, Regex::compile(kGpt2Pattern));
    words = make_split(regex_delimiter(std::move(regex)), SplitBehavior::kIsolated, false);
  }
  return std::make_unique<ByteLevelStep>(prefix_space, std::move(words));
}

StatusOr<std::string> one_character(const Json& node, const char* key, std::string_view fallback,
                                    const std::string& where) {
  ASSIGN_OR_RETURN(std::string text, string_field(node, key, fallback, where));
  if (text.empty() || utf8_length(text.front()) != text.size()) {
    return invalid_argument("{}.{} must be one character, not '{}'", where, key, text);
  }
  return text;
}

StatusOr<Step> parse_metaspace(const Json& node, const std::string& where) {
  ASSIGN_OR_RETURN(std::string mark, one_character(node, "replacement", "\xE2\x96\x81", where));
  ASSIGN_OR_RETURN(const bool prefix_space, bool_field(node, "add_prefix_space", true, where));
  ASSIGN_OR_RETURN(const std::string scheme,
                   string_field(node, "prepend_scheme", prefix_space ? "always" : "never", where));
  ASSIGN_OR_RETURN(const bool cut, bool_field(node, "split", true, where));
  Prepend prepend = Prepend::kNever;
  if (scheme == "always")
    prepend = Prepend::kAlways;
  else if (scheme == "first")
    prepend = Prepend::kFirst;
  else if (scheme != "never")
    return unimplemented("{}.prepend_scheme '{}' is not known", where, scheme);
  return std::make_unique<MetaspaceStep>(std::move(mark), prepend, cut);
}

StatusOr<Step> parse_step(const Json& node, const std::string& type, const std::string& where) {
  if (type == "Split") return parse_split(node, where);
  if (type == "Digits") return parse_digits(node, where);
  if (type == "ByteLevel") return parse_byte_level(node, where);
  if (type == "Metaspace") return parse_metaspace(node, where);
  if (type == "Whitespace") {
    ASSIGN_OR_RETURN(Regex regex, Regex::compile(kWordsPattern));
    return make_split(regex_delimiter(std::move(regex)), SplitBehavior::kRemoved, true);
  }
  if (type == "WhitespaceSplit") {
    return make_split(char_delimiter(&is_white_space), SplitBehavior::kRemoved, false);
  }
  if (type == "Punctuation") {
    ASSIGN_OR_RETURN(const SplitBehavior behavior, parse_behavior(node, SplitBehavior::kIsolated, where));
    return make_split(char_delimiter(&is_punctuation), behavior, false);
  }
  if (type == "CharDelimiterSplit") {
    ASSIGN_OR_RETURN(std::string delimiter, one_character(node, "delimiter", "", where));
    return make_split(literal_delimiter(std::move(delimiter)), SplitBehavior::kRemoved, false);
  }
  return unimplemented("{}.type '{}' is not supported", where, type);
}

}  // namespace

StatusOr<PreTokenizer> PreTokenizer::parse(const Json* node) {
  PreTokenizer result;
  if (node != nullptr) RETURN_IF_ERROR(result.add(*node, "pre_tokenizer"));
  return result;
}

Status PreTokenizer::add(const Json& node, const std::string& where) {
  RETURN_IF_ERROR(expect_object(node, where));
  ASSIGN_OR_RETURN(const std::string type, string_field(node, "type", where));
  if (type == "Sequence") {
    ASSIGN_OR_RETURN(const Json* list, array_field(node, "pretokenizers", where));
    for (size_t i = 0; i < list->size(); ++i) {
      RETURN_IF_ERROR(add((*list)[i], fmt::format("{}.pretokenizers[{}]", where, i)));
    }
    return OkStatus();
  }
  // Only the last step may leave the letters out: others look at the text they get.
  ASSIGN_OR_RETURN(Step step, parse_step(node, type, where));
  if (gives_bytes_) static_cast<ByteLevelStep&>(*steps_.back()).spell_letters(true);
  gives_bytes_ = type == "ByteLevel";
  if (gives_bytes_) static_cast<ByteLevelStep&>(*step).spell_letters(false);
  steps_.push_back(std::move(step));
  return OkStatus();
}

namespace {

// Depth first: each piece goes through all steps before the next is cut, so nothing is collected.
class StepSink : public PieceSink {
 public:
  using Steps = std::vector<std::unique_ptr<PreTokenizerStep>>;
  StepSink(const Steps& steps, size_t index, PieceSink& last) : steps_(steps), index_(index), last_(last) {}

  void piece(std::string_view text, bool first) override {
    if (text.empty()) return;
    if (index_ == steps_.size()) {
      last_.piece(text, first);
      return;
    }
    StepSink next(steps_, index_ + 1, last_);
    steps_[index_]->split(text, first, next);
  }

 private:
  const Steps& steps_;
  size_t index_;
  PieceSink& last_;
};

}  // namespace

void PreTokenizer::split(std::string_view text, bool first, PieceSink& sink) const {
  StepSink(steps_, 0, sink).piece(text, first);
}

}  // namespace hadal::tok
