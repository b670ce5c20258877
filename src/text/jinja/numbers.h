// Numbers as Python writes, reads and rounds them. Pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "text/jinja/value.h"

namespace hadal::jinja {

std::string int_to_string(Int value);
/// repr(float): the shortest text that reads back the same: 1.0, 1e-07, 1e+22, inf, nan
std::string float_to_string(double value);

/// int(text, base), base 0 or 2..36; nothing where Python raises ValueError. Throws when it exceeds our range.
std::optional<Int> parse_int(std::string_view text, int base);
/// float(text); nothing where Python raises ValueError.
std::optional<double> parse_float(std::string_view text);

/// round(value, digits): exact ties to even, judged on the binary value.
double round_to(double value, int digits);

// Arithmetic that fails with an error instead of leaving the range.
Int add_checked(Int a, Int b);
Int subtract_checked(Int a, Int b);
Int multiply_checked(Int a, Int b);
Int floor_divide(Int a, Int b);   // b != 0
Int floor_modulo(Int a, Int b);   // b != 0
double floor_modulo(double a, double b);  // b != 0

/// int(float), towards zero; throws for inf, nan and what is out of range.
Int int_of(double value);

}  // namespace hadal::jinja
