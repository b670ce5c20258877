// A compiled regular expression over valid UTF-8 text (PCRE2 with JIT, Unicode properties).
//
// Thread-safe: matching keeps its scratch memory per thread. A pattern comes from a checkpoint and a text
// from a client, so matching is bounded: by PCRE2's match limit for one attempt, and by MatchBudget for the
// attempts of one call into the tokenizer together. Past the bound a search finds nothing more, the rest of
// the text then counts as not matched, and a warning is logged once; no pattern of a published tokenizer
// comes near it.
#pragma once

#include <memory>
#include <string_view>

#include "base/status.h"

struct pcre2_real_code_8;

namespace hadal::tok {

struct Match {
  size_t begin = 0, end = 0;
};

class Regex {
 public:
  /// `pattern` in Oniguruma's syntax, as tokenizer.json has it. Errors say what is wrong and where.
  static StatusOr<Regex> compile(std::string_view pattern);

  /// The leftmost match that starts at or after byte `from`; false when there is none.
  bool find(std::string_view text, size_t from, Match& match) const;

 private:
  struct Free {
    void operator()(pcre2_real_code_8* code) const;
  };
  explicit Regex(pcre2_real_code_8* code) : code_(code) {}
  std::unique_ptr<pcre2_real_code_8, Free> code_;
};

/// Renews this thread's budget of matching time for as long as it lives (nested ones share the outer budget).
class MatchBudget {
 public:
  explicit MatchBudget(size_t text_bytes);
  ~MatchBudget();
  MatchBudget(const MatchBudget&) = delete;
  MatchBudget& operator=(const MatchBudget&) = delete;

 private:
  bool outermost_;
};

}  // namespace hadal::tok
