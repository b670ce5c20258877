// How the template interpreter fails inside itself.
//
// Python's template errors are exceptions that unwind from any depth of an expression, and the interpreter does
// the same: every part of src/text/jinja throws `Failure`, and `Template` (template.h), the border of this
// folder, catches it and answers with a Status. Nothing outside the folder ever sees one.
#pragma once

#include <fmt/core.h>

#include <string>
#include <utility>

namespace hadal::jinja {

enum class FailureKind {
  kSyntax,   // the template does not parse
  kRuntime,  // an operation on values that cannot have it (Python's TypeError, UndefinedError, ...)
  kRaised,   // the template called raise_exception: the message is the template's own
  kLimit,    // steps, memory, output or depth used up
};

struct Failure {
  FailureKind kind;
  std::string message;
  int line = 0;  // 0: not known
};

template <typename... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Failure{FailureKind::kRuntime, fmt::format(format, std::forward<Args>(args)...)};
}

template <typename... Args>
[[noreturn]] void fail_syntax(int line, fmt::format_string<Args...> format, Args&&... args) {
  throw Failure{FailureKind::kSyntax, fmt::format(format, std::forward<Args>(args)...), line};
}

template <typename... Args>
[[noreturn]] void fail_limit(fmt::format_string<Args...> format, Args&&... args) {
  throw Failure{FailureKind::kLimit, fmt::format(format, std::forward<Args>(args)...)};
}

}  // namespace hadal::jinja
