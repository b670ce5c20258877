// The escapes of a string literal.
#pragma once

#include <string>
#include <string_view>

namespace hadal::jinja {

/// What stands between the quotes, with Python's escapes (\n, \x41, \u00e9, \101, ...) put in; an unknown escape
/// stays as written. Throws Failure{kSyntax} for a cut \x, \u or \U and for what is no character.
std::string unescape_literal(std::string_view body, int line);

}  // namespace hadal::jinja
