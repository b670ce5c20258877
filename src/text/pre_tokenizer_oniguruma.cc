#include "text/pre_tokenizer_oniguruma.h"

#include <cctype>
#include <utility>
#include <vector>

#include "text/pre_tokenizer_oniguruma_names.h"
#include "text/tokenizer_utf8.h"

namespace hadal::tok {
namespace {

constexpr int kMaxClassDepth = 16;

bool is_hex(char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

class Translator {
 public:
  explicit Translator(std::string_view pattern) : in_(pattern) {}

  StatusOr<std::string> run() {
    groups_.push_back({0, 0});
    while (at_ < in_.size()) RETURN_IF_ERROR(step());
    out_.append(groups_.front().options, ')');
    return std::move(out_);
  }

 private:
  struct Group {
    size_t begin;    // where it starts in out_
    size_t options;  // groups opened by (?i) and the like, to be closed with it
  };
  static constexpr size_t kNone = SIZE_MAX;

  Status refuse(std::string_view what) const {
    return unimplemented("regular expression '{}': {} (near byte {}) is not supported", in_, what, at_);
  }
  char peek(size_t ahead = 0) const { return at_ + ahead < in_.size() ? in_[at_ + ahead] : '\0'; }

  void copy_char(std::string& to) {
    const size_t length = utf8_length(in_[at_]);
    to.append(in_.substr(at_, length));
    at_ += length;
  }

  Status step() {
    switch (in_[at_]) {
      case '\\':
        atom_ = out_.size();
        return escape();
      case '[': {
        atom_ = out_.size();
        ASSIGN_OR_RETURN(const std::string items, class_items(0));
        out_ += items;
        return OkStatus();
      }
      case '(':
        return open_group();
      case ')':
        close_group();
        return OkStatus();
      case '{':
        interval();
        return OkStatus();
      case '|':
      case '^':
      case '$':
        atom_ = kNone;
        break;
      case '*':
      case '+':
      case '?':
        break;  // they belong to the atom before
      default:
        atom_ = out_.size();
        break;
    }
    copy_char(out_);
    return OkStatus();
  }

  Status open_group() {
    atom_ = kNone;
    const size_t begin = out_.size();
    if (peek(1) == '*') return refuse("a backtracking verb");
    if (peek(1) != '?') {
      groups_.push_back({begin, 0});
      out_ += '(';
      ++at_;
      return OkStatus();
    }
    const char kind = peek(2);
    if (kind == '#') {
      const size_t end = in_.find(')', at_);
      if (end == std::string_view::npos) return refuse("an open comment");
      at_ = end + 1;
      return OkStatus();
    }
    if (kind == ':' || kind == '=' || kind == '!' || kind == '>' || kind == '<') {
      groups_.push_back({begin, 0});
      out_ += "(?";
      at_ += 2;
      copy_char(out_);
      if (kind != '<') return OkStatus();
      if (peek() == '=' || peek() == '!') {
        copy_char(out_);
        return OkStatus();
      }
      const size_t end = in_.find('>', at_);
      if (end == std::string_view::npos) return refuse("an open group name");
      out_ += in_.substr(at_, end + 1 - at_);
      at_ = end + 1;
      return OkStatus();
    }
    return option_group(begin);
  }

  Status option_group(size_t begin) {
    size_t end = at_ + 2;
    std::string options;
    for (; end < in_.size() && (is_letter(in_[end]) || in_[end] == '-'); ++end) {
      const char option = in_[end];
      if (option != 'i' && option != 'm' && option != 's' && option != '-') {
        return refuse(fmt::format("option '{}'", option));
      }
      options += option == 'm' ? 's' : option;  // Ruby's m is "dot matches newline"
    }
    if (options.empty() || end == in_.size() || (in_[end] != ':' && in_[end] != ')')) {
      return refuse(fmt::format("'{}'", in_.substr(at_, 4)));
    }
    out_ += "(?" + options + ":";
    if (in_[end] == ':') {
      groups_.push_back({begin, 0});
    } else {
      ++groups_.back().options;
    }
    at_ = end + 1;
    return OkStatus();
  }

  void close_group() {
    if (groups_.size() > 1) {
      out_.append(groups_.back().options, ')');
      atom_ = groups_.back().begin;
      groups_.pop_back();
    }
    out_ += ')';  // one too many is PCRE2's to report
    ++at_;
  }

  // {n,m}: Ruby has no possessive intervals, and {n}? is an option.
  void interval() {
    size_t end = at_ + 1;
    std::string low, high;
    while (end < in_.size() && is_digit(in_[end])) low += in_[end++];
    const bool comma = end < in_.size() && in_[end] == ',';
    if (comma) ++end;
    while (end < in_.size() && is_digit(in_[end])) high += in_[end++];
    const bool closed = end < in_.size() && in_[end] == '}';
    if (!closed || (low.empty() && high.empty())) {
      atom_ = out_.size();
      out_ += "\\{";
      ++at_;
      return;
    }
    if (low.empty()) low = "0";
    at_ = end + 1;
    const bool enclose = atom_ != kNone && (peek() == '+' || (peek() == '?' && !comma));
    if (enclose) out_.insert(atom_, "(?:");
    out_ += "{" + low + (comma ? "," + high : high) + "}";
    if (enclose) out_ += ')';
  }

  Status escape() {
    const char name = peek(1);
    if (at_ + 1 >= in_.size()) return refuse("a backslash at the end");
    const auto put = [this](std::string_view text) {
      out_ += text;
      at_ += 2;
      return OkStatus();
    };
    switch (name) {
      case 's':
        return put("[" + std::string(kSpace) + "]");
      case 'S':
        return put("[^" + std::string(kSpace) + "]");
      case 'w':
        return put("[" + std::string(kWordAlone) + "]");
      case 'W':
        return put("[^" + std::string(kWordAlone) + "]");
      case 'h':
        return put("[" + std::string(kHex) + "]");
      case 'H':
        return put("[^" + std::string(kHex) + "]");
      case 'b':
        return put(boundary("(?:(?<=W)(?!W)|(?<!W)(?=W))"));
      case 'B':
        return put(boundary("(?:(?<=W)(?=W)|(?<!W)(?!W))"));
      case 'd':
      case 'D':
      case 'A':
      case 'z':
      case 'Z':
      case 'G':
      case 'K':
      case 'R':
      case 'X':
        return put(in_.substr(at_, 2));
      default:
        break;
    }
    if (is_digit(name)) {  // back reference or octal: the same in both
      out_ += '\\';
      for (++at_; is_digit(peek());) copy_char(out_);
      return OkStatus();
    }
    return common_escape(out_);
  }

  static std::string boundary(std::string_view form) {
    std::string result;
    for (const char c : form) {
      if (c == 'W')
        result += "[" + std::string(kWordAlone) + "]";
      else
        result += c;
    }
    return result;
  }

  // Escapes that mean the same inside and outside a class. Appends to `to`.
  Status common_escape(std::string& to) {
    const char name = peek(1);
    switch (name) {
      case 'n':
      case 'r':
      case 't':
      case 'f':
      case 'a':
      case 'e':
        to += in_.substr(at_, 2);
        at_ += 2;
        return OkStatus();
      case 'v':
        to += "\\x{b}";
        at_ += 2;
        return OkStatus();
      case 'p':
      case 'P':
        return property(to);
      case 'x':
      case 'u':
        return codepoint(to);
      default:
        break;
    }
    if (is_letter(name) || is_digit(name)) return refuse(fmt::format("escape '\\{}'", name));
    ++at_;
    if (static_cast<unsigned char>(in_[at_]) < 0x80) to += '\\';
    copy_char(to);
    return OkStatus();
  }

  Status codepoint(std::string& to) {
    const bool braces = peek(1) == 'x' && peek(2) == '{';
    const size_t begin = at_ + (braces ? 3 : 2);
    const size_t most = braces ? 8 : peek(1) == 'u' ? 4 : 2;
    size_t end = begin;
    while (end < in_.size() && end - begin < most && is_hex(in_[end])) ++end;
    const std::string digits(in_.substr(begin, end - begin));
    const bool whole = braces ? end < in_.size() && in_[end] == '}' : peek(1) != 'u' || digits.size() == 4;
    if (digits.empty() || !whole) return refuse("an incomplete code point");
    if (peek(1) == 'x' && !braces && digits.size() == 2 && digits[0] >= '8')
      return refuse("a raw byte escape");
    to += "\\x{" + digits + "}";
    at_ = end + (braces ? 1 : 0);
    return OkStatus();
  }

  Status property(std::string& to) {
    bool negated = peek(1) == 'P';
    std::string_view name;
    if (peek(2) == '{') {
      const size_t end = in_.find('}', at_);
      if (end == std::string_view::npos) return refuse("an open property name");
      name = in_.substr(at_ + 3, end - at_ - 3);
      at_ = end + 1;
      if (!name.empty() && name.front() == '^') {
        negated = !negated;
        name.remove_prefix(1);
      }
    } else {
      name = in_.substr(at_ + 2, 1);
      if (name.empty() || !is_letter(name.front())) return refuse("a property without a name");
      at_ += 3;
    }
    ASSIGN_OR_RETURN(const std::string value, property_name(name));
    to += (negated ? "\\P{" : "\\p{") + value + "}";
    return OkStatus();
  }

  // A set inside a class: PCRE2 would read "a-\s" or "\s-z" as ranges once \s is spelled out.
  void append_set(std::string& items, std::string_view set) {
    if (raw_dash_) items.insert(items.size() - 1, "\\");
    raw_dash_ = false;
    items += set;
    if (peek() == '-') {
      items += "\\-";
      ++at_;
    }
  }

  Status class_escape(std::string& items) {
    const auto set = [&](std::string_view text) {
      at_ += 2;
      append_set(items, text);
      return OkStatus();
    };
    switch (peek(1)) {
      case 's':
        return set(kSpace);
      case 'S':
        return set(kNotSpace);
      case 'w':
        return set(kWord);
      case 'h':
        return set(kHex);
      case 'd':
        return set("\\d");
      case 'D':
        return set("\\D");
      case 'b':
        items += "\\x{8}";
        at_ += 2;
        raw_dash_ = false;
        return OkStatus();
      case 'p':
      case 'P': {
        std::string value;
        RETURN_IF_ERROR(property(value));
        append_set(items, value);
        return OkStatus();
      }
      case '0':
        items += "\\x{0}";
        at_ += 2;
        raw_dash_ = false;
        return OkStatus();
      default:
        break;
    }
    raw_dash_ = false;
    return common_escape(items);
  }

  // "[...]" from in_[at_], with its brackets.
  StatusOr<std::string> class_items(int depth) {
    if (depth > kMaxClassDepth) return refuse("deeper nesting of classes");
    ++at_;
    std::string items;
    std::string open = "[";
    raw_dash_ = false;
    if (peek() == '^') {
      if (depth > 0) return refuse("a negated class inside a class");
      open = "[^";
      ++at_;
    }
    if (peek() == ']') {
      items = "\\]";
      ++at_;
    }
    while (at_ < in_.size() && in_[at_] != ']') RETURN_IF_ERROR(class_item(items, depth));
    if (at_ >= in_.size()) return refuse("an open character class");
    ++at_;
    if (depth > 0) return items;
    return open + items + "]";
  }

  Status class_item(std::string& items, int depth) {
    const char c = in_[at_];
    if (c == '\\') {
      if (at_ + 1 >= in_.size()) return refuse("a backslash at the end");
      return class_escape(items);
    }
    if (c == '&' && peek(1) == '&') return refuse("an intersection of classes (&&)");
    if (c == '[') {
      if (peek(1) == ':') {
        const size_t end = in_.find(":]", at_ + 2);
        if (end != std::string_view::npos && end - at_ < 16) return posix(items, end);
      }
      const bool dash = raw_dash_;
      ASSIGN_OR_RETURN(const std::string nested, class_items(depth + 1));
      if (nested.empty()) return refuse("an empty class");
      raw_dash_ = dash;
      append_set(items, nested.front() == '-' || nested.front() == '^' ? "\\" + nested : nested);
      return OkStatus();
    }
    raw_dash_ = c == '-';
    copy_char(items);
    return OkStatus();
  }

  Status posix(std::string& items, size_t end) {
    const std::string_view name = in_.substr(at_ + 2, end - at_ - 2);
    ASSIGN_OR_RETURN(const std::string_view set, posix_set(name));
    at_ = end + 2;
    append_set(items, set);
    return OkStatus();
  }

  std::string_view in_;
  size_t at_ = 0;
  std::string out_;
  size_t atom_ = kNone;  // where the last atom starts in out_: what a quantifier applies to
  std::vector<Group> groups_;
  bool raw_dash_ = false;  // the class so far ends with an unescaped '-'
};

// "\s+$" tried at every start is quadratic in a long run of spaces that does not end a line. A match can only
// start where a run starts, or where the search does: after the longest match in a run no later one in it
// ends at a line's end. So "(?<!\s)\s+$" finds the same matches.
std::string anchor_runs(std::string pattern) {
  const std::string set = "[" + std::string(kSpace) + "]";
  if (pattern == set + "+$") return "(?<!" + set + ")" + pattern;
  return pattern;
}

}  // namespace

StatusOr<std::string> oniguruma_to_pcre2(std::string_view pattern) {
  ASSIGN_OR_RETURN(std::string translated, Translator(pattern).run());
  return anchor_runs(std::move(translated));
}

}  // namespace hadal::tok
