// str % arguments and str.format(): the conversions that templates use.
#include <cmath>

#include <fmt/format.h>

#include "text/jinja/builtins.h"
#include "text/jinja/failure.h"
#include "text/jinja/numbers.h"
#include "text/jinja/operations.h"
#include "text/jinja/unicode.h"

namespace hadal::jinja {
namespace {

constexpr int kMaxWidth = 100000;

/// One conversion: fill and alignment, sign, width, precision, kind. Both languages of formatting end here.
struct Spec {
  std::string fill = " ";
  char align = '\0';  // < > ^ =
  char sign = '-';
  bool alternate = false;
  char grouping = '\0';
  int width = 0;
  int precision = -1;
  char kind = '\0';
};

std::string group_digits(const std::string& digits, char separator) {
  const size_t whole = std::min(digits.find_first_of(".e"), digits.size());
  std::string out;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && i < whole && (whole - i) % 3 == 0) out += separator;
    out += digits[i];
  }
  return out;
}

std::string in_base(Int value, int base) {
  std::string out;
  do {
    const int digit = static_cast<int>(value % base);
    out += static_cast<char>(digit < 10 ? '0' + digit : 'a' + digit - 10);
    value /= base;
  } while (value != 0);
  return {out.rbegin(), out.rend()};
}

std::string upper_ascii(std::string text) {
  for (char& c : text) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  return text;
}

/// The digits of a number without its sign.
std::string float_digits(double magnitude, const Spec& spec) {
  if (std::isnan(magnitude) || std::isinf(magnitude)) return float_to_string(magnitude);
  const int precision = spec.precision < 0 ? 6 : spec.precision;
  switch (spec.kind) {
    case 'f':
    case 'F': return fmt::format("{:.{}f}", magnitude, precision);
    case 'e': return fmt::format("{:.{}e}", magnitude, precision);
    case 'E': return fmt::format("{:.{}E}", magnitude, precision);
    case 'g': return fmt::format("{:.{}g}", magnitude, precision);
    case 'G': return fmt::format("{:.{}G}", magnitude, precision);
    case '%': return fmt::format("{:.{}f}%", magnitude * 100, precision);
    default: break;
  }
  if (spec.precision < 0) return float_to_string(magnitude);
  return fmt::format("{:.{}g}", magnitude, spec.precision);
}

std::string int_digits(Int magnitude, const Spec& spec) {
  switch (spec.kind) {
    case 'x': return (spec.alternate ? "0x" : "") + in_base(magnitude, 16);
    case 'X': return (spec.alternate ? "0X" : "") + upper_ascii(in_base(magnitude, 16));
    case 'o': return (spec.alternate ? "0o" : "") + in_base(magnitude, 8);
    case 'b': return (spec.alternate ? "0b" : "") + in_base(magnitude, 2);
    default: return int_to_string(magnitude);
  }
}

std::string pad(Runtime& runtime, std::string sign, std::string body, const Spec& spec, char default_align) {
  const char align = spec.align != '\0' ? spec.align : default_align;
  const auto length = static_cast<int>(code_point_count(sign) + code_point_count(body));
  const int gap = std::max(0, spec.width - length);
  runtime.reserve_text(body.size() + static_cast<size_t>(gap) * spec.fill.size());
  const int left = align == '>' || align == '=' ? gap : align == '^' ? gap / 2 : 0;
  std::string out = align == '=' ? sign : "";
  for (int i = 0; i < left; ++i) out += spec.fill;
  if (align != '=') out += sign;
  out += body;
  for (int i = left; i < gap; ++i) out += spec.fill;
  return out;
}

std::string format_number(Runtime& runtime, const Value& value, const Spec& spec) {
  static constexpr std::string_view kFloatKinds = "fFeEgG%";
  const bool as_float = value.is<double>() || (spec.kind != '\0' && kFloatKinds.find(spec.kind) != std::string_view::npos);
  const double number = *value.number();
  const bool negative_value = as_float ? std::signbit(number) && !std::isnan(number) : *value.integral() < 0;
  std::string digits = as_float ? float_digits(std::fabs(number), spec)
                                : int_digits(negative_value ? subtract_checked(0, *value.integral()) : *value.integral(), spec);
  if (spec.grouping != '\0') digits = group_digits(digits, spec.grouping);
  const std::string sign = negative_value ? "-" : spec.sign == '+' ? "+" : spec.sign == ' ' ? " " : "";
  return pad(runtime, sign, std::move(digits), spec, '>');
}

std::string format_text(Runtime& runtime, std::string text, const Spec& spec) {
  if (spec.precision >= 0) text.resize(byte_offset(text, static_cast<size_t>(spec.precision)));
  return pad(runtime, "", std::move(text), spec, '<');
}

int read_number(std::string_view text, size_t& i) {
  int value = 0;
  for (; i < text.size() && text[i] >= '0' && text[i] <= '9'; ++i) {
    value = value * 10 + (text[i] - '0');
    if (value > kMaxWidth) fail_limit("a format is wider than {}", kMaxWidth);
  }
  return value;
}

// --- str % arguments

class PercentFormatter {
 public:
  PercentFormatter(Runtime& runtime, std::string_view format, const Value& arguments)
      : runtime_(runtime), format_(format), arguments_(arguments) {}

  std::string run() {
    std::string out;
    for (size_t i = 0; i < format_.size();) {
      runtime_.check_room(out.size());
      if (format_[i] != '%') {
        out += format_[i++];
        continue;
      }
      out += conversion(++i);
    }
    const auto* tuple = arguments_.as<Tuple>();
    const bool all_used = tuple ? next_ >= tuple->object->items.size() : next_ > 0 || arguments_.is<Dict*>() || arguments_.is<List>() || arguments_.is_undefined();
    if (!all_used) fail("not all arguments converted during string formatting");
    return out;
  }

 private:
  Value take() {
    const auto* tuple = arguments_.as<Tuple>();
    const size_t i = next_++;
    if (tuple ? i >= tuple->object->items.size() : i > 0) fail("not enough arguments for format string");
    return tuple ? tuple->object->items[i] : arguments_;
  }

  Value keyed(size_t& i) {
    const size_t end = format_.find(')', i);
    if (end == std::string_view::npos) fail("incomplete format key");
    const auto* dict = arguments_.as<Dict*>();
    if (dict == nullptr) fail("format requires a mapping");
    const Value* found = (*dict)->find(format_.substr(i, end - i));
    if (found == nullptr) fail("KeyError: '{}'", format_.substr(i, end - i));
    i = end + 1;
    return *found;
  }

  int star_or_number(size_t& i) {
    if (i >= format_.size() || format_[i] != '*') return read_number(format_, i);
    ++i;
    const auto n = take().integral();
    if (!n) fail("* wants int");
    if (*n > kMaxWidth || *n < -kMaxWidth) fail_limit("a format is wider than {}", kMaxWidth);
    return static_cast<int>(*n);
  }

  std::string conversion(size_t& i) {
    Spec spec;
    std::optional<Value> value;
    if (i < format_.size() && format_[i] == '(') value = keyed(++i);
    for (bool flags = true; flags && i < format_.size(); i += flags) {
      switch (format_[i]) {
        case '-': spec.align = '<'; break;
        case '+': spec.sign = '+'; break;
        case ' ': spec.sign = spec.sign == '+' ? '+' : ' '; break;
        case '#': spec.alternate = true; break;
        case '0': spec.fill = "0"; break;
        default: flags = false;
      }
    }
    spec.width = star_or_number(i);
    if (i < format_.size() && format_[i] == '.') spec.precision = std::max(0, star_or_number(++i));
    if (i >= format_.size()) fail("incomplete format");
    spec.kind = format_[i++];
    if (spec.kind == '%') return "%";
    if (!value) value = take();
    return convert(*value, spec);
  }

  std::string convert(const Value& value, Spec& spec) {
    if (spec.kind == 's' || spec.kind == 'r' || spec.kind == 'a') {
      spec.fill = " ";
      std::string text = spec.kind == 's' ? to_string(runtime_, value) : to_repr(runtime_, value);
      if (spec.align == '\0') spec.align = '>';
      return format_text(runtime_, std::move(text), spec);
    }
    if (value.is_undefined()) fail_undefined(value);
    if (spec.align == '<') spec.fill = " ";
    if (spec.fill == "0") spec.align = '=';
    if (spec.kind == 'd' || spec.kind == 'i' || spec.kind == 'u') {
      if (!value.number()) fail("%{} format: a real number is required, not {}", spec.kind, type_name(value));
      spec.kind = 'd';
      return format_number(runtime_, value.integral() ? value : Value(int_of(*value.number())), spec);
    }
    if (spec.kind == 'x' || spec.kind == 'X' || spec.kind == 'o') {
      if (!value.integral()) fail("%{} format: an integer is required, not {}", spec.kind, type_name(value));
      return format_number(runtime_, Value(*value.integral()), spec);
    }
    if (std::string_view("fFeEgG").find(spec.kind) == std::string_view::npos) {
      fail("unsupported format character '{}'", spec.kind);
    }
    if (!value.number()) fail("must be real number, not {}", type_name(value));
    return format_number(runtime_, value, spec);
  }

  Runtime& runtime_;
  std::string_view format_;
  const Value& arguments_;
  size_t next_ = 0;
};

// --- str.format

Spec parse_brace_spec(std::string_view text) {
  Spec spec;
  size_t i = 0;
  const auto is_align = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
  if (!text.empty()) {
    size_t after = 0;
    next_code_point(text, after);
    if (after < text.size() && is_align(text[after])) {
      spec.fill = text.substr(0, after);
      spec.align = text[after];
      i = after + 1;
    } else if (is_align(text[0])) {
      spec.align = text[i++];
    }
  }
  if (i < text.size() && (text[i] == '+' || text[i] == '-' || text[i] == ' ')) spec.sign = text[i++];
  if (i < text.size() && text[i] == '#') spec.alternate = ++i != 0;
  if (i < text.size() && text[i] == '0') {
    if (spec.align == '\0') spec.align = '=';
    if (spec.fill == " ") spec.fill = "0";
    ++i;
  }
  spec.width = read_number(text, i);
  if (i < text.size() && (text[i] == ',' || text[i] == '_')) spec.grouping = text[i++];
  if (i < text.size() && text[i] == '.') spec.precision = read_number(text, ++i);
  if (i < text.size()) spec.kind = text[i++];
  if (i != text.size()) fail("Invalid format specifier '{}'", text);
  return spec;
}

std::string apply_brace_spec(Runtime& runtime, const Value& value, std::string_view text) {
  if (text.empty()) return to_string(runtime, value);
  Spec spec = parse_brace_spec(text);
  if (value.number() && !value.is<bool>() && spec.kind != 's') {
    if (value.is<double>() && std::string_view("dxXob").find(spec.kind) != std::string_view::npos && spec.kind != '\0') {
      fail("Unknown format code '{}' for object of type 'float'", spec.kind);
    }
    return format_number(runtime, value, spec);
  }
  if (!value.is_string() && !value.is<bool>()) {
    fail("unsupported format string passed to {}.__format__", type_name(value));
  }
  if (spec.kind != 's' && spec.kind != '\0') fail("Unknown format code '{}' for object of type 'str'", spec.kind);
  if (spec.align == '=') fail("'=' alignment not allowed in string format specifier");
  return format_text(runtime, to_string(runtime, value), spec);
}

class BraceFormatter {
 public:
  BraceFormatter(Runtime& runtime, std::string_view format, const Arguments& arguments)
      : runtime_(runtime), format_(format), arguments_(arguments) {}

  std::string run() {
    std::string out;
    for (size_t i = 0; i < format_.size();) {
      runtime_.check_room(out.size());
      const char c = format_[i++];
      if (c != '{' && c != '}') {
        out += c;
      } else if (i < format_.size() && format_[i] == c) {
        out += c;
        ++i;
      } else if (c == '}') {
        fail("Single '}}' encountered in format string");
      } else {
        out += field(i);
      }
    }
    return out;
  }

 private:
  std::string field(size_t& i) {
    const size_t end = format_.find('}', i);
    if (end == std::string_view::npos) fail("expected '}}' before end of string");
    std::string_view body = format_.substr(i, end - i);
    if (body.find('{') != std::string_view::npos) fail("nested format fields are not supported");
    i = end + 1;
    std::string_view spec;
    if (const size_t colon = body.find(':'); colon != std::string_view::npos) {
      spec = body.substr(colon + 1);
      body = body.substr(0, colon);
    }
    char conversion = '\0';
    if (body.size() >= 2 && body[body.size() - 2] == '!') {
      conversion = body.back();
      body.remove_suffix(2);
    }
    Value value = lookup(body);
    if (conversion == 'r') value = runtime_.text(to_repr(runtime_, value));
    if (conversion == 's') value = runtime_.text(to_string(runtime_, value));
    return apply_brace_spec(runtime_, value, spec);
  }

  /// name.attribute[key]...
  Value lookup(std::string_view path) {
    const size_t end = std::min(path.find_first_of(".["), path.size());
    Value value = first(path.substr(0, end));
    path.remove_prefix(end);
    while (!path.empty()) {
      const bool bracket = path[0] == '[';
      const size_t stop = bracket ? path.find(']') : std::min(path.find_first_of(".[", 1), path.size());
      if (stop == std::string_view::npos) fail("Missing ']' in format string");
      const std::string_view name = path.substr(1, stop - 1);
      const auto index = parse_int(name, 10);
      value = bracket ? get_item(runtime_, value, index ? Value(*index) : runtime_.text(name))
                      : get_attribute(runtime_, value, runtime_.text(name));
      if (value.is_undefined()) fail_undefined(value);
      path.remove_prefix(bracket ? stop + 1 : stop);
    }
    return value;
  }

  Value first(std::string_view name) {
    if (name.empty() || name.find_first_not_of("0123456789") == std::string_view::npos) {
      const size_t index = name.empty() ? next_++ : name.size() > 6 ? SIZE_MAX : std::stoul(std::string(name));
      if (index >= arguments_.positional.size()) fail("Replacement index out of range for positional args tuple");
      return arguments_.positional[index];
    }
    const Value* found = arguments_.find(name);
    if (found == nullptr) fail("KeyError: '{}'", name);
    return *found;
  }

  Runtime& runtime_;
  std::string_view format_;
  const Arguments& arguments_;
  size_t next_ = 0;
};

}  // namespace

std::string percent_format(Runtime& runtime, std::string_view format, const Value& arguments) {
  return PercentFormatter(runtime, format, arguments).run();
}

std::string brace_format(Runtime& runtime, std::string_view format, const Arguments& arguments) {
  return BraceFormatter(runtime, format, arguments).run();
}

}  // namespace hadal::jinja
