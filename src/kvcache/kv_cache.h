// Block tables of sequences over one or more cache groups, and the prefix cache (docs/contracts/kv-cache.md).
//
//   SequenceBlocks blocks = cache.new_sequence(account, chain);
//   PrefixHit hit = cache.find_prefix(chain, known - 1);    // reads only
//   cache.take_prefix(blocks, hit);                          // holds its blocks
//   if (!cache.extend(blocks, from, to, step, &copies)) ...  // too few blocks in some group: nothing has
//   changed cache.publish(blocks, chain, to);                        // complete blocks can be found from now
//   on cache.trim(blocks, to);                                  // give back what lies before the window
//   SequenceBlocks twin = cache.fork(blocks);                // n > 1: all blocks shared, copied when one of
//   them writes cache.release(blocks); cache.retire(step);
//
// Threads: one (the engine's). Ownership: SequenceBlocks holds references; release it before dropping it.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "kvcache/block_pool.h"

namespace hadal {

/// One sequence's blocks: tables[group][i] holds positions [i * block_tokens, (i + 1) * block_tokens).
struct SequenceBlocks {
  std::vector<std::vector<BlockId>> tables;
  std::vector<int32_t> published;  // per group: leading blocks that publish() has been through
  uint64_t last_step = 0;          // last step that reads or writes these blocks
  AccountId account = kSharedAccount;
};

/// Block `from` of a group is to be copied to `to` before the step's own writes.
struct CacheCopy {
  int32_t group = 0;
  BlockId from = 0;
  BlockId to = 0;
};

/// Counts over all groups, without null blocks. total == free + held + in_flight + cached.
struct CacheAccounts {
  int64_t total = 0, free = 0, held = 0, in_flight = 0, cached = 0;
  int64_t pinned = 0;       // of held and cached: declared shared prefixes (account 0)
  int64_t held_places = 0;  // token places in held blocks
  int64_t used_places = 0;  // of them in use
  int64_t evictions = 0;
};

/// The names of a sequence's blocks, as far as its tokens are known. Grows with the sequence; never shrinks.
class PrefixChain {
 public:
  int32_t tokens() const { return static_cast<int32_t>(tokens_.size()); }

 private:
  friend class KvCache;
  std::vector<int32_t> tokens_;
  std::vector<std::vector<BlockKey>>
      keys_;  // per group: keys_[g][0] is the root, keys_[g][i + 1] names block i
  BlockKey salt_;
  int32_t prompt_ = 0;  // tokens in prompt form
  int32_t shared_ = 0;  // leading tokens that belong to a declared shared prefix
  bool enabled_ = false;
};

/// What find_prefix() found: whole blocks for the first `tokens` tokens; leading entries of window groups are
/// null.
struct PrefixHit {
  int32_t tokens = 0;
  std::vector<std::vector<BlockId>> tables;
};

struct PrefixCacheOptions {
  bool enabled = true;
  bool exact = false;  // with forms_differ: only blocks of the same form are reused
  bool forms_differ = true;
  uint64_t secret_high = 0, secret_low = 0;  // of the hash
  EvictionPolicy policy = EvictionPolicy::kReuse;
};

class KvCache {
 public:
  /// Errors: invalid_argument for a group without room for one block, or an absurd size.
  static StatusOr<KvCache> create(const std::vector<CacheGroupSpec>& groups,
                                  const PrefixCacheOptions& options = {});

  const std::vector<CacheGroupSpec>& groups() const { return groups_; }
  const BlockPool& pool(size_t group) const { return pools_[group]; }

  /// One account more in every group; limits are per group.
  AccountId add_account(const std::vector<AccountLimits>& limits);
  void set_limits(AccountId account, const std::vector<AccountLimits>& limits);

  SequenceBlocks new_sequence(AccountId account = kSharedAccount) const;

  /// Names for a prompt: `salt` keeps it apart from others, its first `shared` tokens are a declared shared
  /// prefix. A chain made with enabled = false finds and publishes nothing.
  PrefixChain new_chain(const std::vector<int32_t>& prompt, std::string_view salt, int32_t shared,
                        bool enabled = true) const;
  /// An output token more.
  void append(PrefixChain& chain, int32_t token) const;

  /// The longest hit of at most `most` tokens. Reads only.
  PrefixHit find_prefix(const PrefixChain& chain, int32_t most) const;
  /// Holds the hit's blocks; `blocks` must be empty.
  void take_prefix(SequenceBlocks& blocks, const PrefixHit& hit);
  /// Positions [0, computed) have been computed and their step has retired: complete blocks become findable.
  void publish(SequenceBlocks& blocks, const PrefixChain& chain, int32_t computed);
  /// Forgets everything that can be found. Returns how many cached blocks became free.
  int64_t forget_prefixes();

  /// Makes positions [from, to) writable by step `step`, which is about to be launched: appends blocks, and
  /// gives the sequence its own copy of a block that it would write into and shares with others (the copies
  /// to make are appended to `copies`). All groups or none: false, and nothing has changed, when a group has
  /// too few blocks for the sequence's account.
  bool extend(SequenceBlocks& blocks, int32_t from, int32_t to, uint64_t step,
              std::vector<CacheCopy>* copies);

  /// The sequence's next query is at `next_position`: blocks that neither it nor a later one reads are given
  /// back.
  void trim(SequenceBlocks& blocks, int32_t next_position);

  /// A second holder of every block.
  SequenceBlocks fork(const SequenceBlocks& blocks);

  /// Gives everything back; `blocks` is as new afterwards.
  void release(SequenceBlocks& blocks);

  /// Steps up to `step` have been collected: blocks that waited for them are free or cached.
  void retire(uint64_t step);

  CacheAccounts accounts() const;

  void watch_lives(bool on);
  void set_time(double now_seconds);
  std::vector<BlockLifeEvent> take_events();

 private:
  KvCache(const std::vector<CacheGroupSpec>& groups, const PrefixCacheOptions& options);
  void extend_group(size_t group, SequenceBlocks& blocks, int32_t from, int32_t to,
                    std::vector<CacheCopy>* copies);
  void grow_keys(PrefixChain& chain) const;
  bool find_block(const PrefixChain& chain, size_t group, int32_t index, BlockId* block) const;

  std::vector<CacheGroupSpec> groups_;
  std::vector<BlockPool> pools_;
  PrefixCacheOptions options_;
  BlockHasher hasher_;
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
