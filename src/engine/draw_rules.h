// Which tokens a request lets be drawn, beyond its sampling parameters: an allowed set, sequences that must
// not come out, an end that is forced on thinking.
//
// Rules that look at the output need it: a step is then not planned ahead of the token that decides (a
// sequence with bad words of several tokens runs one step at a time, one with a thinking budget where the
// budget ends).
//
// Threads: the engine's, once submitted.
#pragma once

#include <cstdint>
#include <vector>

namespace hadal {

/// Of a request; fixed for its life.
struct DrawRules {
  std::vector<int32_t> allowed_token_ids;       // empty: all
  std::vector<std::vector<int32_t>> bad_words;  // token sequences, none empty, that must not come out
  int32_t thinking_budget = -1;  // output tokens after which end_of_thinking is forced; -1: none
  int32_t end_of_thinking = -1;  // token id; valid with a budget

  /// What may never be drawn, as a bit per token id; empty where everything may.
  std::vector<uint32_t> mask(int32_t vocab) const;
  /// Appends the tokens that would complete a bad word behind `output`.
  void add_forbidden(const std::vector<int32_t>& output, std::vector<int32_t>& forbidden) const;
  bool has_long_bad_words() const;
};

}  // namespace hadal
