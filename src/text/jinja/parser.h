// Template source to syntax tree.
#pragma once

#include <string_view>

#include "text/jinja/ast.h"

namespace hadal::jinja {

/// Throws Failure{kSyntax}: bad syntax, unknown tags, filters or tests, nesting beyond what a render could walk.
SyntaxTree parse_template(std::string_view source);

}  // namespace hadal::jinja
