#include "text/jinja/lexer.h"

#include <algorithm>
#include <array>

#include "text/jinja/failure.h"
#include "text/jinja/numbers.h"
#include "text/jinja/string_literal.h"
#include "text/jinja/unicode.h"

namespace hadal::jinja {
namespace {

constexpr size_t kNone = std::string_view::npos;

/// \r\n and \r become \n; one newline at the very end goes.
std::string normalize(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
      continue;
    }
    out += '\n';
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  std::vector<Token> run() {
    while (position_ < source_.size()) root();
    add(TokenKind::kEnd);
    return std::move(tokens_);
  }

 private:
  char at(size_t i) const { return i < source_.size() ? source_[i] : '\0'; }
  bool starts(std::string_view what) const { return source_.substr(position_).substr(0, what.size()) == what; }

  Token& add(TokenKind kind, std::string text = {}) {
    tokens_.push_back(Token{.kind = kind, .text = std::move(text), .line = line_});
    return tokens_.back();
  }

  void move_to(size_t position) {
    line_ += static_cast<int>(std::count(source_.begin() + position_, source_.begin() + position, '\n'));
    line_starting_ = position > position_ ? source_[position - 1] == '\n' : false;
    position_ = position;
  }

  size_t after_spaces(size_t position) const {
    while (position < source_.size()) {
      size_t next = position;
      if (!is_space(next_code_point(source_, next))) break;
      position = next;
    }
    return position;
  }

  /// Text up to a tag whose sign is `sign`, less the white space that the tag takes away.
  void add_data(std::string_view text, char sign, bool variable) {
    if (sign == '-') {
      text = strip(text, Side::kRight);
    } else if (sign != '+' && !variable) {
      const size_t newline = text.rfind('\n');
      const size_t line_begin = newline == kNone ? 0 : newline + 1;
      if ((line_begin > 0 || line_starting_) && strip(text.substr(line_begin)).empty()) {
        text = text.substr(0, line_begin);
      }
    }
    if (!text.empty()) add(TokenKind::kData, std::string(text));
  }

  /// The position after `{% raw %}` if one opens at `open`, else kNone.
  size_t raw_end(size_t open) const {
    size_t i = open + 2;
    if (at(i) == '-' || at(i) == '+') ++i;
    i = after_spaces(i);
    if (source_.substr(i, 3) != "raw") return kNone;
    i = after_spaces(i + 3);
    if (source_.substr(i, 3) == "-%}") return after_spaces(i + 3);
    if (source_.substr(i, 2) == "%}") return i + 2;
    return kNone;
  }

  void root() {
    size_t open = position_;
    while (true) {
      open = source_.find('{', open);
      if (open == kNone) break;
      const char kind = at(open + 1);
      if (kind == '{' || kind == '%' || kind == '#') break;
      ++open;
    }
    if (open == kNone) {
      add(TokenKind::kData, std::string(source_.substr(position_)));
      move_to(source_.size());
      return;
    }
    const char kind = at(open + 1);
    const char sign = at(open + 2);
    const bool signed_tag = sign == '-' || sign == '+';
    add_data(source_.substr(position_, open - position_), signed_tag ? sign : '\0', kind == '{');
    if (kind == '%') {
      if (size_t end = raw_end(open); end != kNone) {
        move_to(end);
        raw();
        return;
      }
    }
    move_to(open + 2 + (signed_tag ? 1 : 0));
    if (kind == '#') {
      comment();
    } else {
      add(kind == '%' ? TokenKind::kBlockBegin : TokenKind::kVariableBegin);
      tag(kind == '%');
    }
  }

  /// Where the tag that ends with `close` at `end` lets text go on: `-` takes all white space, a plain end one newline.
  size_t after_close(size_t end, char sign) const {
    if (sign == '-') return after_spaces(end);
    if (sign != '+' && at(end) == '\n') return end + 1;
    return end;
  }

  void comment() {
    const size_t close = source_.find("#}", position_);
    if (close == kNone) fail_syntax(line_, "Missing end of comment tag");
    char sign = close > position_ ? source_[close - 1] : '\0';
    move_to(after_close(close + 2, sign));
  }

  void raw() {
    for (size_t open = source_.find("{%", position_); open != kNone; open = source_.find("{%", open + 1)) {
      size_t i = open + 2;
      const char begin_sign = at(i);
      const bool signed_tag = begin_sign == '-' || begin_sign == '+';
      i = after_spaces(signed_tag ? i + 1 : i);
      if (source_.substr(i, 6) != "endraw") continue;
      i = after_spaces(i + 6);
      const char sign = at(i);
      if (sign == '-' || sign == '+') ++i;
      if (source_.substr(i, 2) != "%}") continue;
      add_data(source_.substr(position_, open - position_), signed_tag ? begin_sign : '\0', false);
      move_to(after_close(i + 2, sign));
      return;
    }
    fail_syntax(line_, "Missing end of raw directive");
  }

  bool close_tag(bool block) {
    const std::string_view close = block ? "%}" : "}}";
    char sign = at(position_);
    size_t i = position_ + (sign == '-' || (block && sign == '+') ? 1 : 0);
    if (source_.substr(i, 2) != close) return false;
    if (i == position_) sign = '\0';
    add(block ? TokenKind::kBlockEnd : TokenKind::kVariableEnd);
    i += 2;
    move_to(block ? after_close(i, sign) : sign == '-' ? after_spaces(i) : i);
    return true;
  }

  void tag(bool block) {
    brackets_.clear();
    while (position_ < source_.size()) {
      if (brackets_.empty() && close_tag(block)) return;
      if (size_t end = after_spaces(position_); end > position_) {
        move_to(end);
      } else if (!number() && !name() && !string() && !operator_token()) {
        fail_syntax(line_, "unexpected character at byte {}", position_);
      }
    }
    // the end of the template inside a tag: the parser says what it missed
  }

  /// End of digits with single underscores between them, from `i`; `i` itself where there are none.
  template <typename IsDigit>
  size_t digits(size_t i, IsDigit is_digit, bool leading_underscore = false) const {
    if (leading_underscore && at(i) == '_' && is_digit(at(i + 1))) ++i;
    if (!is_digit(at(i))) return i;
    while (is_digit(at(i)) || (at(i) == '_' && is_digit(at(i + 1)))) ++i;
    return i;
  }

  static bool is_decimal_digit(char c) { return c >= '0' && c <= '9'; }

  size_t float_end() const {
    if (position_ > 0 && source_[position_ - 1] == '.') return kNone;
    size_t i = digits(position_, is_decimal_digit);
    if (i == position_) return kNone;
    bool fraction = false;
    if (at(i) == '.') {
      if (size_t end = digits(i + 1, is_decimal_digit); end > i + 1) {
        i = end;
        fraction = true;
      }
    }
    if (at(i) == 'e' || at(i) == 'E') {
      const size_t begin = at(i + 1) == '+' || at(i + 1) == '-' ? i + 2 : i + 1;
      if (size_t end = digits(begin, is_decimal_digit); end > begin) return end;
    }
    return fraction ? i : kNone;
  }

  size_t integer_end() const {
    const char second = static_cast<char>(at(position_ + 1) | 0x20);
    if (at(position_) == '0' && (second == 'x' || second == 'o' || second == 'b')) {
      auto is_digit = [second](char c) {
        if (second == 'b') return c == '0' || c == '1';
        if (second == 'o') return c >= '0' && c <= '7';
        return is_decimal_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
      };
      if (size_t end = digits(position_ + 2, is_digit, true); end > position_ + 2) return end;
    }
    if (at(position_) == '0') return digits(position_, [](char c) { return c == '0'; });
    return digits(position_, is_decimal_digit);
  }

  bool number() {
    if (!is_decimal_digit(at(position_))) return false;
    size_t end = float_end();
    if (end != kNone) {
      add(TokenKind::kFloat).number = parse_float(source_.substr(position_, end - position_)).value_or(0);
    } else {
      end = integer_end();
      add(TokenKind::kInteger).integer = parse_int(source_.substr(position_, end - position_), 0).value_or(0);
    }
    move_to(end);
    return true;
  }

  bool name() {
    size_t end = position_;
    while (end < source_.size()) {
      size_t next = end;
      const char32_t c = next_code_point(source_, next);
      if (c != '_' && !is_alnum(c)) break;
      end = next;
    }
    if (end == position_) return false;
    add(TokenKind::kName, std::string(source_.substr(position_, end - position_)));
    move_to(end);
    return true;
  }

  bool string() {
    const char quote = at(position_);
    if (quote != '\'' && quote != '"') return false;
    size_t i = position_ + 1;
    while (i < source_.size() && source_[i] != quote) i += source_[i] == '\\' ? 2 : 1;
    if (i >= source_.size()) return false;
    add(TokenKind::kString, unescape_literal(source_.substr(position_ + 1, i - position_ - 1), line_));
    move_to(i + 1);
    return true;
  }

  bool operator_token() {
    static constexpr std::array<std::string_view, 26> kOperators = {
        "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]",
        "(",  ")",  "{",  "}",  ">",  "<",  "=", ".", ":", "|", ",", ";"};
    for (std::string_view op : kOperators) {
      if (!starts(op)) continue;
      balance(op);
      add(TokenKind::kOperator, std::string(op));
      move_to(position_ + op.size());
      return true;
    }
    return false;
  }

  void balance(std::string_view op) {
    if (op == "(") brackets_ += ')';
    if (op == "[") brackets_ += ']';
    if (op == "{") brackets_ += '}';
    if (op != ")" && op != "]" && op != "}") return;
    if (brackets_.empty()) fail_syntax(line_, "unexpected '{}'", op);
    if (brackets_.back() != op[0]) fail_syntax(line_, "unexpected '{}', expected '{}'", op, brackets_.back());
    brackets_.pop_back();
  }

  std::string_view source_;
  size_t position_ = 0;
  int line_ = 1;
  bool line_starting_ = true;  // the text before position_ ends a line
  std::string brackets_;       // closing brackets that are still to come in this tag
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) {
  if (!is_valid_utf8(source)) fail_syntax(0, "the template is not valid UTF-8");
  const std::string normal = normalize(source);
  return Lexer(normal).run();
}

std::string describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::kData: return "template text";
    case TokenKind::kVariableBegin: return "{{";
    case TokenKind::kVariableEnd: return "end of print statement";
    case TokenKind::kBlockBegin: return "{%";
    case TokenKind::kBlockEnd: return "end of statement block";
    case TokenKind::kString: return "string";
    case TokenKind::kInteger: return "integer";
    case TokenKind::kFloat: return "float";
    case TokenKind::kEnd: return "end of template";
    case TokenKind::kName:
    case TokenKind::kOperator: break;
  }
  return token.text;
}

}  // namespace hadal::jinja
