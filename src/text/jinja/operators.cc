#include <cmath>

#include "text/jinja/failure.h"
#include "text/jinja/numbers.h"
#include "text/jinja/operations.h"

namespace hadal::jinja {
namespace {

[[noreturn]] void fail_operands(std::string_view op, const Value& a, const Value& b) {
  if (a.is_undefined()) fail_undefined(a);
  if (b.is_undefined()) fail_undefined(b);
  if (op == "+" && a.is_string()) fail("can only concatenate str (not \"{}\") to str", type_name(b));
  if (op == "+" && a.sequence() != nullptr) {
    fail("can only concatenate {} (not \"{}\") to {}", type_name(a), type_name(b), type_name(a));
  }
  fail("unsupported operand type(s) for {}: '{}' and '{}'", op, type_name(a), type_name(b));
}

Value concatenate(Runtime& runtime, const Value& a, const Value& b) {
  const bool markup = a.is_markup() || b.is_markup();
  runtime.reserve_text(a.text().size() + b.text().size());
  std::string out = markup && !a.is_markup() ? escape_html(a.text()) : std::string(a.text());
  out += markup && !b.is_markup() ? escape_html(b.text()) : std::string(b.text());
  return runtime.text(std::move(out), markup);
}

Value repeat_text(Runtime& runtime, const Value& text, Int count) {
  const std::string_view unit = text.text();
  if (count <= 0 || unit.empty()) return runtime.text(std::string(), text.is_markup());
  const Int total = multiply_checked(count, static_cast<Int>(unit.size()));
  if (total > (Int(1) << 40)) fail_limit("a repeated string is too long");
  runtime.reserve_text(static_cast<size_t>(total));
  std::string out;
  out.reserve(static_cast<size_t>(total));
  for (Int i = 0; i < count; ++i) out += unit;
  return runtime.text(std::move(out), text.is_markup());
}

Value repeat_sequence(Runtime& runtime, const Value& value, Int count) {
  const auto& items = value.sequence()->items;
  std::vector<Value> out;
  for (Int i = 0; i < count && !items.empty(); ++i) {
    runtime.charge(items.size());
    runtime.charge_object(items.size() * sizeof(Value));
    out.insert(out.end(), items.begin(), items.end());
  }
  return value.is<List>() ? runtime.list(std::move(out)) : runtime.tuple(std::move(out));
}

Value repeat(Runtime& runtime, const Value& value, Int count) {
  return value.is_string() ? repeat_text(runtime, value, count) : repeat_sequence(runtime, value, count);
}

bool repeatable(const Value& value) { return value.is_string() || value.sequence() != nullptr; }

Value power_of_ints(Int base, Int exponent) {
  Int result = 1;
  if (base == 0 || base == 1) return Value(exponent == 0 ? Int(1) : base);
  if (base == -1) return Value(floor_modulo(exponent, Int(2)) == 0 ? Int(1) : Int(-1));
  for (; exponent > 0; --exponent) result = multiply_checked(result, base);  // overflows within 127 rounds
  return Value(result);
}

}  // namespace

Value add(Runtime& runtime, const Value& a, const Value& b) {
  if (a.is_string() && b.is_string()) return concatenate(runtime, a, b);
  const auto x = a.integral();
  const auto y = b.integral();
  if (x && y) return Value(add_checked(*x, *y));
  const auto fx = a.number();
  const auto fy = b.number();
  if (fx && fy) return Value(*fx + *fy);
  if ((a.is<List>() && b.is<List>()) || (a.is<Tuple>() && b.is<Tuple>())) {
    std::vector<Value> items = a.sequence()->items;
    items.insert(items.end(), b.sequence()->items.begin(), b.sequence()->items.end());
    return a.is<List>() ? runtime.list(std::move(items)) : runtime.tuple(std::move(items));
  }
  fail_operands("+", a, b);
}

Value subtract(Runtime&, const Value& a, const Value& b) {
  const auto x = a.integral();
  const auto y = b.integral();
  if (x && y) return Value(subtract_checked(*x, *y));
  const auto fx = a.number();
  const auto fy = b.number();
  if (fx && fy) return Value(*fx - *fy);
  fail_operands("-", a, b);
}

Value multiply(Runtime& runtime, const Value& a, const Value& b) {
  const auto x = a.integral();
  const auto y = b.integral();
  if (x && y) return Value(multiply_checked(*x, *y));
  if (repeatable(a) && y) return repeat(runtime, a, *y);
  if (repeatable(b) && x) return repeat(runtime, b, *x);
  const auto fx = a.number();
  const auto fy = b.number();
  if (fx && fy) return Value(*fx * *fy);
  fail_operands("*", a, b);
}

Value divide(Runtime&, const Value& a, const Value& b) {
  const auto x = a.number();
  const auto y = b.number();
  if (!x || !y) fail_operands("/", a, b);
  if (*y == 0) fail("division by zero");
  return Value(*x / *y);
}

Value floor_divide(Runtime&, const Value& a, const Value& b) {
  const auto x = a.integral();
  const auto y = b.integral();
  if (x && y) {
    if (*y == 0) fail("integer division or modulo by zero");
    return Value(floor_divide(*x, *y));
  }
  const auto fx = a.number();
  const auto fy = b.number();
  if (!fx || !fy) fail_operands("//", a, b);
  if (*fy == 0) fail("float floor division by zero");
  const double rest = floor_modulo(*fx, *fy);
  const double quotient = (*fx - rest) / *fy;
  if (quotient == 0) return Value(std::copysign(0.0, *fx / *fy));
  return Value(std::nearbyint(quotient));
}

Value modulo(Runtime& runtime, const Value& a, const Value& b) {
  if (a.is_string()) return runtime.text(percent_format(runtime, a.text(), b), a.is_markup());
  const auto x = a.integral();
  const auto y = b.integral();
  if (x && y) {
    if (*y == 0) fail("integer modulo by zero");
    return Value(floor_modulo(*x, *y));
  }
  const auto fx = a.number();
  const auto fy = b.number();
  if (!fx || !fy) fail_operands("%", a, b);
  if (*fy == 0) fail("float modulo by zero");
  return Value(floor_modulo(*fx, *fy));
}

Value power(Runtime&, const Value& a, const Value& b) {
  const auto x = a.integral();
  const auto y = b.integral();
  if (x && y && *y >= 0) return power_of_ints(*x, *y);
  const auto fx = a.number();
  const auto fy = b.number();
  if (!fx || !fy) fail_operands("** or pow()", a, b);
  if (*fx == 0 && *fy < 0) fail("0.0 cannot be raised to a negative power");
  if (*fx < 0 && *fy != std::floor(*fy)) fail("complex numbers are not supported");
  const double result = std::pow(*fx, *fy);
  if (std::isinf(result) && std::isfinite(*fx) && std::isfinite(*fy)) fail("Numerical result out of range");
  return Value(result);
}

Value negative(Runtime&, const Value& a) {
  if (auto n = a.integral()) return Value(subtract_checked(0, *n));
  if (const auto* d = a.as<double>()) return Value(-*d);
  if (a.is_undefined()) fail_undefined(a);
  fail("bad operand type for unary -: '{}'", type_name(a));
}

Value positive(Runtime&, const Value& a) {
  if (auto n = a.integral()) return Value(*n);
  if (a.is<double>()) return a;
  if (a.is_undefined()) fail_undefined(a);
  fail("bad operand type for unary +: '{}'", type_name(a));
}

}  // namespace hadal::jinja
