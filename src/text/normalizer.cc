#include "text/normalizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <utility>

#include "text/pre_tokenizer_split.h"
#include "text/tokenizer_bytes.h"
#include "text/tokenizer_utf8.h"

namespace hadal::tok {
namespace {

std::vector<int32_t> to_codepoints(std::string_view text) {
  std::vector<int32_t> codepoints;
  codepoints.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Utf8Char next = read_utf8(text, at);
    codepoints.push_back(static_cast<int32_t>(next.codepoint));
    at += next.length;
  }
  return codepoints;
}

std::string to_text(const int32_t* codepoints, size_t count) {
  std::string text;
  text.reserve(count * 2);
  for (size_t i = 0; i < count; ++i) append_utf8(text, static_cast<uint32_t>(codepoints[i]));
  return text;
}

// Unicode normalisation forms. utf8proc's own reordering of marks is quadratic in a run of them, so the steps
// are taken one by one: decompose each character, sort each run of marks by combining class, compose.
class UnicodeForm : public NormalizerStep {
 public:
  UnicodeForm(bool compose, bool compatibility) : compose_(compose), compatibility_(compatibility) {}

  std::string apply(std::string_view text, size_t limit) const override {
    const auto is_ascii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
    if (std::all_of(text.begin(), text.end(), is_ascii)) return std::string(text);
    std::vector<int32_t> decomposed = decompose(to_codepoints(text));
    reorder(decomposed);
    size_t count = decomposed.size();
    if (compose_) {
      const auto options = static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE);
      count = static_cast<size_t>(
          utf8proc_normalize_utf32(decomposed.data(), static_cast<utf8proc_ssize_t>(count), options));
    }
    return to_text(decomposed.data(), count);
  }

 private:
  static int32_t combining_class(int32_t codepoint) {
    return codepoint < 0x300 ? 0 : utf8proc_get_property(codepoint)->combining_class;
  }

  std::vector<int32_t> decompose(const std::vector<int32_t>& codepoints) const {
    constexpr int kLongest = 32;  // the longest decomposition (U+FDFA) has 18 characters
    const auto options = static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | UTF8PROC_STABLE |
                                                        (compatibility_ ? UTF8PROC_COMPAT : 0));
    std::vector<int32_t> result;
    result.reserve(codepoints.size() + kLongest);
    for (const int32_t codepoint : codepoints) {
      int32_t buffer[kLongest];
      int boundary = 0;
      const auto count = utf8proc_decompose_char(codepoint, buffer, kLongest, options, &boundary);
      if (count > 0 && count <= kLongest) {
        result.insert(result.end(), buffer, buffer + count);
      } else {
        result.push_back(codepoint);
      }
    }
    return result;
  }

  static void reorder(std::vector<int32_t>& codepoints) {
    const auto lower = [](int32_t a, int32_t b) { return combining_class(a) < combining_class(b); };
    for (size_t begin = 0; begin < codepoints.size();) {
      if (combining_class(codepoints[begin]) == 0) {
        ++begin;
        continue;
      }
      size_t end = begin + 1;
      while (end < codepoints.size() && combining_class(codepoints[end]) != 0) ++end;
      std::stable_sort(codepoints.begin() + static_cast<ptrdiff_t>(begin),
                       codepoints.begin() + static_cast<ptrdiff_t>(end), lower);
      begin = end;
    }
  }

  bool compose_, compatibility_;
};

class Lowercase : public NormalizerStep {
 public:
  std::string apply(std::string_view text, size_t limit) const override {
    std::string result;
    result.reserve(text.size());
    for (const int32_t codepoint : to_codepoints(text)) {
      if (codepoint == 0x130) {
        result += "i\xCC\x87";  // the one letter whose lower case is two characters
      } else {
        append_utf8(result, static_cast<uint32_t>(utf8proc_tolower(codepoint)));
      }
    }
    return result;
  }
};

class StripAccents : public NormalizerStep {
 public:
  std::string apply(std::string_view text, size_t limit) const override {
    std::vector<int32_t> codepoints = to_codepoints(text);
    const auto is_mark = [](int32_t c) {
      const auto kind = utf8proc_category(c);
      return kind == UTF8PROC_CATEGORY_MN || kind == UTF8PROC_CATEGORY_MC || kind == UTF8PROC_CATEGORY_ME;
    };
    codepoints.erase(std::remove_if(codepoints.begin(), codepoints.end(), is_mark), codepoints.end());
    return to_text(codepoints.data(), codepoints.size());
  }
};

class Replace : public NormalizerStep {
 public:
  Replace(std::unique_ptr<Delimiter> pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}

  std::string apply(std::string_view text, size_t limit) const override {
    std::string result;
    DelimiterWalk walk(*pattern_, text);
    size_t at = 0;
    for (Match match; walk.next(match); at = match.end) {
      result += text.substr(at, match.begin - at);
      result += content_;
      if (result.size() > limit) return std::string(text);
    }
    result += text.substr(at);
    return result;
  }

 private:
  std::unique_ptr<Delimiter> pattern_;
  std::string content_;
};

class Prepend : public NormalizerStep {
 public:
  explicit Prepend(std::string text) : text_(std::move(text)) {}
  std::string apply(std::string_view text, size_t limit) const override {
    if (text.empty() || text.size() + text_.size() > limit) return std::string(text);
    return text_ + std::string(text);
  }

 private:
  std::string text_;
};

class Strip : public NormalizerStep {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}
  std::string apply(std::string_view text, size_t limit) const override {
    const std::vector<int32_t> codepoints = to_codepoints(text);
    size_t begin = 0;
    size_t end = codepoints.size();
    const auto space = [&](size_t i) { return is_white_space(static_cast<uint32_t>(codepoints[i])); };
    while (left_ && begin < end && space(begin)) ++begin;
    while (right_ && begin < end && space(end - 1)) --end;
    return to_text(codepoints.data() + begin, end - begin);
  }

 private:
  bool left_, right_;
};

class ByteLetters : public NormalizerStep {
 public:
  std::string apply(std::string_view text, size_t limit) const override {
    std::string letters;
    append_byte_letters(letters, text);
    return letters;
  }
};

StatusOr<std::unique_ptr<NormalizerStep>> parse_step(const Json& node, const std::string& type,
                                                     const std::string& where) {
  if (type == "NFC") return std::make_unique<UnicodeForm>(true, false);
  if (type == "NFD") return std::make_unique<UnicodeForm>(false, false);
  if (type == "NFKC") return std::make_unique<UnicodeForm>(true, true);
  if (type == "NFKD") return std::make_unique<UnicodeForm>(false, true);
  if (type == "Lowercase") return std::make_unique<Lowercase>();
  if (type == "StripAccents") return std::make_unique<StripAccents>();
  if (type == "ByteLevel") return std::make_unique<ByteLetters>();
  if (type == "Replace") {
    ASSIGN_OR_RETURN(auto pattern, parse_pattern(node, where));
    ASSIGN_OR_RETURN(std::string content, string_field(node, "content", where));
    return std::make_unique<Replace>(std::move(pattern), std::move(content));
  }
  if (type == "Prepend") {
    ASSIGN_OR_RETURN(std::string text, string_field(node, "prepend", where));
    return std::make_unique<Prepend>(std::move(text));
  }
  if (type == "Strip") {
    ASSIGN_OR_RETURN(const bool left, bool_field(node, "strip_left", true, where));
    ASSIGN_OR_RETURN(const bool right, bool_field(node, "strip_right", true, where));
    return std::make_unique<Strip>(left, right);
  }
  return unimplemented("{}.type '{}' is not supported", where, type);
}

}  // namespace

StatusOr<Normalizer> Normalizer::parse(const Json* node) {
  Normalizer result;
  if (node != nullptr) RETURN_IF_ERROR(result.add(*node, "normalizer"));
  return result;
}

Status Normalizer::add(const Json& node, const std::string& where) {
  RETURN_IF_ERROR(expect_object(node, where));
  ASSIGN_OR_RETURN(const std::string type, string_field(node, "type", where));
  if (type != "Sequence") {
    ASSIGN_OR_RETURN(auto step, parse_step(node, type, where));
    steps_.push_back(std::move(step));
    return OkStatus();
  }
  ASSIGN_OR_RETURN(const Json* list, array_field(node, "normalizers", where));
  for (size_t i = 0; i < list->size(); ++i) {
    RETURN_IF_ERROR(add((*list)[i], fmt::format("{}.normalizers[{}]", where, i)));
  }
  return OkStatus();
}

std::string Normalizer::apply(std::string_view text) const {
  const size_t limit = text.size() * 64 + 65536;
  std::string result(text);
  for (const auto& step : steps_) result = step->apply(result, limit);
  return result;
}

}  // namespace hadal::tok
