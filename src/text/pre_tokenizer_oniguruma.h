// Regular expressions of tokenizer.json are written for Oniguruma (Ruby syntax); we match with PCRE2.
//
// This rewrites a pattern so that PCRE2 gives Oniguruma's matches. What differs and is rewritten:
//   \s \S      the Unicode property White_Space (PCRE2's also has U+180E)
//   \w \W \b   Alphabetic, Mark, Nd, Pc (PCRE2's \w lacks marks and has other numbers)
//   \h \v \u   hexadecimal digit; vertical tab; \uHHHH
//   ^ $        at every line (done with PCRE2_MULTILINE); (?m) is "dot matches newline", PCRE2's (?s)
//   (?i)       without a colon it encloses the rest of its group, alternatives included
//   {n,m}+     repeats the repetition instead of being possessive; {n}? makes it optional; {,m} starts at 0
//   [a[bc]]    a nested class is a union
//   \p{Han}    the script, not script extensions; long category names (\p{Letter})
// What cannot be rewritten is refused by name: class intersections, conditions, calls, verbs, extended mode,
// raw bytes.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace hadal::tok {

/// `pattern` must be valid UTF-8. The result is to be compiled with PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE.
StatusOr<std::string> oniguruma_to_pcre2(std::string_view pattern);

}  // namespace hadal::tok
