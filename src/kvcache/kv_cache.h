// Block tables of sequences over one or more cache groups (docs/contracts/kv-cache.md).
//
//   SequenceBlocks blocks = cache.new_sequence();
//   if (!cache.extend(blocks, 0, 100, step, &copies)) ...  // too few free blocks in some group: nothing has
//   changed cache.trim(blocks, 100);                          // give back what lies before the window
//   SequenceBlocks twin = cache.fork(blocks);         // n > 1: all blocks shared, copied when one of them
//   writes cache.release(blocks); cache.retire(step);
//
// Threads: one (the engine's). Ownership: SequenceBlocks holds references; release it before dropping it.
#pragma once

#include <cstdint>
#include <vector>

#include "base/status.h"
#include "kvcache/block_pool.h"

namespace hadal {

/// One sequence's blocks: tables[group][i] holds positions [i * block_tokens, (i + 1) * block_tokens).
struct SequenceBlocks {
  std::vector<std::vector<BlockId>> tables;
  uint64_t last_step = 0;  // last step that reads or writes these blocks
};

/// Block `from` of a group is to be copied to `to` before the step's own writes.
struct CacheCopy {
  int32_t group = 0;
  BlockId from = 0;
  BlockId to = 0;
};

/// Counts over all groups, without null blocks. total == free + held + in_flight.
struct CacheAccounts {
  int64_t total = 0, free = 0, held = 0, in_flight = 0;
  int64_t held_places = 0;  // token places in held blocks
  int64_t used_places = 0;  // of them in use
};

class KvCache {
 public:
  /// Errors: invalid_argument for a group without room for one block, or an absurd size.
  static StatusOr<KvCache> create(const std::vector<CacheGroupSpec>& groups);

  const std::vector<CacheGroupSpec>& groups() const { return groups_; }
  const BlockPool& pool(size_t group) const { return pools_[group]; }

  SequenceBlocks new_sequence() const;

  /// Makes positions [from, to) writable by step `step`, which is about to be launched: appends blocks, and
  /// gives the sequence its own copy of a block that it would write into and shares with others (the copies
  /// to make are appended to `copies`). All groups or none: false, and nothing has changed, when a group has
  /// too few free blocks.
  bool extend(SequenceBlocks& blocks, int32_t from, int32_t to, uint64_t step,
              std::vector<CacheCopy>* copies);

  /// The sequence's next query is at `next_position`: blocks that neither it nor a later one reads are given
  /// back.
  void trim(SequenceBlocks& blocks, int32_t next_position);

  /// A second holder of every block.
  SequenceBlocks fork(const SequenceBlocks& blocks);

  /// Gives everything back; `blocks` is as new afterwards.
  void release(SequenceBlocks& blocks);

  /// Steps up to `step` have been collected: blocks that waited for them are free.
  void retire(uint64_t step);

  /// Can one sequence alone, computed in pieces of at most `piece` tokens, ever hold `tokens` tokens?
  bool can_ever_hold(int32_t tokens, int32_t piece) const;

  CacheAccounts accounts() const;

 private:
  explicit KvCache(const std::vector<CacheGroupSpec>& groups);
  void extend_group(size_t group, SequenceBlocks& blocks, int32_t from, int32_t to,
                    std::vector<CacheCopy>* copies);

  std::vector<CacheGroupSpec> groups_;
  std::vector<BlockPool> pools_;
};

/// Blocks that making [from, to) writable takes from a group: new ones at the table's end, and one for each
/// shared block among those written. `refs(block)` says how many hold a block.
template <typename Refs>
int32_t blocks_to_take(const std::vector<BlockId>& table, int32_t block_tokens, int32_t from, int32_t to,
                       const Refs& refs) {
  if (to <= from) return 0;
  const auto size = static_cast<int32_t>(table.size());
  const int32_t last = (to - 1) / block_tokens;
  int32_t count = std::max(0, last + 1 - size);
  for (int32_t i = from / block_tokens; i < size && i <= last; ++i) {
    if (refs(table[static_cast<size_t>(i)]) > 1) ++count;
  }
  return count;
}

}  // namespace hadal
