#include <cmath>

#include "text/jinja/builtins.h"
#include "text/jinja/failure.h"
#include "text/jinja/numbers.h"
#include "text/jinja/operations.h"

namespace hadal::jinja {
namespace {

/// float(value) as the filters try it: nothing where it would raise TypeError or ValueError.
std::optional<double> as_float(const Value& value) {
  if (value.is_undefined()) fail_undefined(value);
  if (value.is_string()) return parse_float(value.text());
  return value.number();
}

Value filter_int(Runtime&, const Value& self, const Bound& arguments) {
  const Int base = arguments.integer(1, 10);
  const bool good_base = base == 0 || (base >= 2 && base <= 36);
  if (self.is_undefined()) fail_undefined(self);
  if (self.is_string() && good_base) {
    if (auto n = parse_int(self.text(), static_cast<int>(base))) return Value(*n);
  }
  if (auto n = self.integral()) return Value(*n);
  const auto d = as_float(self);
  if (d && std::isfinite(*d)) return Value(int_of(*d));
  return arguments.get(0) ? arguments.at(0) : Value(Int(0));
}

Value filter_float(Runtime&, const Value& self, const Bound& arguments) {
  if (auto d = as_float(self)) return Value(*d);
  return arguments.get(0) ? arguments.at(0) : Value(0.0);
}

Value filter_abs(Runtime& runtime, const Value& self, const Bound&) {
  if (auto n = self.integral()) return *n < 0 ? negative(runtime, Value(*n)) : Value(*n);
  if (const auto* d = self.as<double>()) return Value(std::fabs(*d));
  if (self.is_undefined()) fail_undefined(self);
  fail("bad operand type for abs(): '{}'", type_name(self));
}

Value filter_round(Runtime&, const Value& self, const Bound& arguments) {
  const auto precision = static_cast<int>(std::min<Int>(std::max<Int>(arguments.integer(0, 0), -400), 400));
  const std::string_view method = arguments.get(1) ? arguments.text(1) : "common";
  if (method != "common" && method != "ceil" && method != "floor") fail("method must be common, ceil or floor");
  if (self.is_undefined()) fail_undefined(self);
  const auto value = self.number();
  if (!value) fail("type {} doesn't define __round__ method", type_name(self));
  if (method == "common") {
    if (auto n = self.integral(); n && precision >= 0) return Value(*n);
    const double rounded = round_to(*value, precision);
    return self.integral() ? Value(int_of(rounded)) : Value(rounded);
  }
  const double scale = std::pow(10.0, precision);
  return Value((method == "ceil" ? std::ceil(*value * scale) : std::floor(*value * scale)) / scale);
}

constexpr Builtin kFilters[] = {
    {"int", filter_int, "default? base?"},
    {"float", filter_float, "default?"},
    {"abs", filter_abs},
    {"round", filter_round, "precision? method?"},
};

}  // namespace

std::span<const Builtin> number_filters() { return kFilters; }

}  // namespace hadal::jinja
