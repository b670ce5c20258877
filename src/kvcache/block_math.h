// Arithmetic over blocks that scheduler and cache share, so that what a plan counts is what a commit takes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace hadal {

/// A block of a pool. Block 0 is the null block: never handed out; padding rows write there, tables of window
/// groups hold it where blocks were given back.
using BlockId = int32_t;
inline constexpr BlockId kNullBlock = 0;

/// One cache group: layers that share a block table.
struct CacheGroupSpec {
  std::string name;
  int32_t block_tokens = 64;
  int32_t num_blocks = 0;  // with the null block
  int32_t window = 0;      // > 0: only the last `window` positions are read (0 <= i - j < window)
};

inline int32_t ceil_div(int32_t value, int32_t by) { return (value + by - 1) / by; }

/// Blocks that the positions [0, tokens) lie in.
inline int32_t blocks_for(int32_t tokens, int32_t block_tokens) { return ceil_div(tokens, block_tokens); }

/// Blocks that any `length` consecutive positions can touch at most.
inline int32_t blocks_spanned(int32_t length, int32_t block_tokens) {
  return length <= 0 ? 0 : (length + block_tokens - 2) / block_tokens + 1;
}

/// First position that a query at `position` or later reads.
inline int32_t first_visible(int32_t position, int32_t window) {
  return window <= 0 ? 0 : std::max(0, position - window + 1);
}

/// Most blocks that one sequence of `tokens` tokens holds at any time if it is computed in pieces of at most
/// `piece` tokens and gives back what lies before the window between pieces.
inline int32_t most_blocks_held(const CacheGroupSpec& group, int32_t tokens, int32_t piece) {
  const int32_t all = blocks_for(tokens, group.block_tokens);
  if (group.window <= 0) return all;
  return std::min(all, blocks_spanned(group.window - 1 + piece, group.block_tokens));
}

/// Blocks in a table that are not null. Nulls are a prefix: what lies before the window.
inline int32_t blocks_in(const std::vector<BlockId>& table) {
  int32_t count = 0;
  for (auto block = table.rbegin(); block != table.rend() && *block != kNullBlock; ++block) ++count;
  return count;
}

}  // namespace hadal
