// Names of character sets: what Oniguruma means by them, spelled for the inside of a PCRE2 class.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace hadal::tok {

inline constexpr std::string_view kSpace =
    R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
inline constexpr std::string_view kNotSpace =
    R"(\x{0}-\x{8}\x{e}-\x{1f}\x{21}-\x{84}\x{86}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027})"
    R"(\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{10ffff})";
inline constexpr std::string_view kWord = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";
/// Outside a class, and for \b, Oniguruma goes by a Latin-1 table first, in which the numbers are words too.
inline constexpr std::string_view kWordAlone =
    R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{b2}\x{b3}\x{b9}\x{bc}-\x{be})";
inline constexpr std::string_view kHex = "0-9a-fA-F";

/// The name in \p{name}: categories, binary properties, scripts.
StatusOr<std::string> property_name(std::string_view name);
/// The set of [:name:].
StatusOr<std::string_view> posix_set(std::string_view name);

}  // namespace hadal::tok
