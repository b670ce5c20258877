#include "text/jinja/numbers.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>

#include "text/jinja/failure.h"
#include "text/jinja/unicode.h"

namespace hadal::jinja {
namespace {

__extension__ typedef unsigned __int128 UInt;

constexpr const char* kTooLarge = "a number is too large (beyond 128 bits)";

/// Python allows single underscores between digits; gives the text without them, or nothing.
std::optional<std::string> without_underscores(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      out += text[i];
      continue;
    }
    bool between = i > 0 && i + 1 < text.size() && text[i - 1] != '_' && std::isalnum(static_cast<unsigned char>(text[i - 1])) &&
                   std::isalnum(static_cast<unsigned char>(text[i + 1]));
    if (!between) return std::nullopt;
  }
  return out;
}

int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'z') return c - 'a' + 10;
  if (c >= 'A' && c <= 'Z') return c - 'A' + 10;
  return 99;
}

}  // namespace

std::string int_to_string(Int value) {
  if (value == 0) return "0";
  const bool negative = value < 0;
  UInt rest = negative ? UInt(0) - static_cast<UInt>(value) : static_cast<UInt>(value);
  std::string out;
  for (; rest != 0; rest /= 10) out += static_cast<char>('0' + static_cast<int>(rest % 10));
  if (negative) out += '-';
  std::reverse(out.begin(), out.end());
  return out;
}

std::string float_to_string(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::string out = fmt::format("{}", value);
  if (out.find_first_of(".e") == std::string::npos) out += ".0";
  return out;
}

std::optional<Int> parse_int(std::string_view text, int base) {
  text = strip(text);
  bool negative = false;
  if (!text.empty() && (text[0] == '+' || text[0] == '-')) {
    negative = text[0] == '-';
    text.remove_prefix(1);
  }
  if (text.size() > 2 && text[0] == '0') {
    const char mark = static_cast<char>(text[1] | 0x20);
    const int marked = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
    if (marked != 0 && (base == marked || base == 0)) {
      base = marked;
      text.remove_prefix(text[2] == '_' ? 3 : 2);
    }
  }
  if (base == 0) base = 10;
  auto digits = without_underscores(text);
  if (!digits || digits->empty()) return std::nullopt;
  Int value = 0;
  for (char c : *digits) {
    const int digit = digit_of(c);
    if (digit >= base) return std::nullopt;
    value = add_checked(multiply_checked(value, base), digit);
  }
  return negative ? -value : value;
}

std::optional<double> parse_float(std::string_view text) {
  auto clean = without_underscores(strip(text));
  if (!clean || clean->empty()) return std::nullopt;
  std::string_view body = *clean;
  if (body[0] == '+' || body[0] == '-') body.remove_prefix(1);
  std::string word = lower(body);
  const bool named = word == "inf" || word == "infinity" || word == "nan";
  if (!named && body.find_first_not_of("0123456789.eE+-") != std::string_view::npos) return std::nullopt;
  char* end = nullptr;
  const double value = std::strtod(clean->c_str(), &end);
  if (end != clean->c_str() + clean->size()) return std::nullopt;
  return value;
}

double round_to(double value, int digits) {
  if (!std::isfinite(value)) return value;
  digits = std::clamp(digits, -400, 400);
  if (digits < 0) {
    const double scale = std::pow(10.0, -digits);
    return std::isinf(scale) ? value * 0.0 : std::nearbyint(value / scale) * scale;
  }
  return std::strtod(fmt::format("{:.{}f}", value, digits).c_str(), nullptr);
}

Int add_checked(Int a, Int b) {
  Int out = 0;
  if (__builtin_add_overflow(a, b, &out)) fail_limit("{}", kTooLarge);
  return out;
}
Int subtract_checked(Int a, Int b) {
  Int out = 0;
  if (__builtin_sub_overflow(a, b, &out)) fail_limit("{}", kTooLarge);
  return out;
}
Int multiply_checked(Int a, Int b) {
  // Spelled out: clang's overflow builtin for 128 bits needs a function that only its own runtime has.
  if (a == 0 || b == 0) return 0;
  const UInt ua = a < 0 ? UInt(0) - static_cast<UInt>(a) : static_cast<UInt>(a);
  const UInt ub = b < 0 ? UInt(0) - static_cast<UInt>(b) : static_cast<UInt>(b);
  constexpr UInt kMax = (UInt(1) << 127) - 1;
  if (ua > kMax / ub) fail_limit("{}", kTooLarge);
  const auto product = static_cast<Int>(ua * ub);
  return (a < 0) != (b < 0) ? -product : product;
}

Int floor_divide(Int a, Int b) {
  if (b == -1) return subtract_checked(0, a);
  Int quotient = a / b;
  if (a % b != 0 && (a < 0) != (b < 0)) --quotient;
  return quotient;
}
Int floor_modulo(Int a, Int b) {
  if (b == -1) return 0;
  Int rest = a % b;
  if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
  return rest;
}
double floor_modulo(double a, double b) {
  double rest = std::fmod(a, b);
  if (rest != 0) {
    if ((b < 0) != (rest < 0)) rest += b;
    return rest;
  }
  return std::copysign(0.0, b);
}

Int int_of(double value) {
  if (std::isnan(value)) fail("cannot convert float NaN to integer");
  if (std::isinf(value)) fail("cannot convert float infinity to integer");
  if (std::fabs(value) >= 1.7e38) fail_limit("{}", kTooLarge);
  return static_cast<Int>(value);
}

}  // namespace hadal::jinja
