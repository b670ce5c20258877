// The blocks of one cache group: who is free, held how often, cached, or waits for a step to retire; and
// which account each is charged to (docs/contracts/kv-cache.md has the states and the order in which blocks
// are taken).
//
// A block is never reused before the last step that reads or writes it has been collected: each release says
// the last step in which the holder ran, and the largest of these is what the block waits for.
//
// The order of the free list is part of the contract, since equal runs must take equal blocks: take() gives
// the block freed last (blocks never used come in rising id).
//
// Threads: one (the engine's). Errors: wrong calls are our own bugs (CHECK).
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "kvcache/accounts.h"
#include "kvcache/block_key.h"
#include "kvcache/block_math.h"
#include "kvcache/eviction.h"

namespace hadal {

/// What happened to cached blocks, in seconds; gathered only when asked for (--kv-cache-metrics).
struct BlockLifeEvent {
  enum class Kind : uint8_t { kLifetime, kIdleBeforeEvict, kReuseGap };
  Kind kind = Kind::kLifetime;
  double seconds = 0.0;
};

class BlockPool {
 public:
  BlockPool(int32_t num_blocks, int32_t block_tokens, EvictionPolicy policy = EvictionPolicy::kReuse);

  /// The next account; the shared one (0) is there from the beginning.
  AccountId add_account(const AccountLimits& limits);
  void set_limits(AccountId account, const AccountLimits& limits);
  const std::vector<AccountCounts>& accounts() const { return accounts_; }

  int32_t total() const { return static_cast<int32_t>(blocks_.size()) - 1; }  // without the null block
  int32_t free_count() const { return static_cast<int32_t>(free_.size()); }
  int32_t cached_count() const { return cached_; }
  int32_t in_flight_count() const { return in_flight_count_; }
  int32_t held_count() const { return total() - free_count() - cached_count() - in_flight_count(); }
  /// Token places of held blocks that have been written or are being written.
  int64_t used_places() const { return used_places_; }

  /// How many blocks an account can take now.
  int32_t available_to(AccountId account) const;

  /// A block for `account`, held once. There must be one available to it. `depth`: its index in the sequence.
  BlockId take(AccountId account, int32_t depth);
  /// One holder more of a held block.
  void share(BlockId block);
  /// One holder more of a block that find() gave: held, in flight or cached.
  void hit(BlockId block);
  /// One holder less. `last_step`: the last launched step in which that holder used the block.
  void release(BlockId block, uint64_t last_step);
  /// Steps up to `step` have been collected.
  void retire(uint64_t step);

  /// The held block is complete: from now on it can be found by `key`. False (and nothing changes) if another
  /// block has this content. `account`: who it is charged to from now on.
  bool publish(BlockId block, const BlockKey& parent, const BlockKey& key, const int32_t* tokens,
               AccountId account);
  /// The block with this content, or null. Compares the tokens and the parent's key, too.
  BlockId find(const BlockKey& parent, const BlockKey& key, const int32_t* tokens) const;
  /// Forgets all keys: cached blocks become free, held ones are freed when released. Returns how many were
  /// cached.
  int32_t forget_all();

  int32_t refs(BlockId block) const { return refs_[static_cast<size_t>(block)]; }
  bool published(BlockId block) const { return published_[static_cast<size_t>(block)] != 0; }
  AccountId account(BlockId block) const { return owners_[static_cast<size_t>(block)]; }
  /// Indexed by block id.
  const std::vector<int32_t>& all_refs() const { return refs_; }
  const std::vector<uint8_t>& all_published() const { return published_; }
  const std::vector<AccountId>& all_owners() const { return owners_; }
  bool in_flight(BlockId block) const { return blocks_[static_cast<size_t>(block)].in_flight; }

  /// The first `places` places of the block are in use from now on (never shrinks while held).
  void fill(BlockId block, int32_t places);
  int32_t filled(BlockId block) const { return blocks_[static_cast<size_t>(block)].filled; }

  /// Gathers BlockLifeEvents; `now_seconds` is the time of everything that follows.
  void watch_lives(bool on) { watching_ = on; }
  void set_time(double now_seconds) { now_ = now_seconds; }
  std::vector<BlockLifeEvent> take_events();
  int64_t evictions() const { return evictions_; }

 private:
  struct Block {
    BlockKey key, parent;  // of a published block
    uint64_t last_step = 0;
    BlockUse use;
    int32_t filled = 0;
    bool in_flight = false;
    double taken_at = 0.0, used_at = 0.0;
  };
  Block& at(BlockId block) { return blocks_[static_cast<size_t>(block)]; }
  const Block& at(BlockId block) const { return blocks_[static_cast<size_t>(block)]; }
  BlockId pick(AccountId account);
  void evict(BlockId block);
  void settle(BlockId block);
  void unpublish(BlockId block);
  void uncache(BlockId block);
  void note(BlockLifeEvent::Kind kind, double since);

  const int32_t block_tokens_;
  std::vector<Block> blocks_;
  std::vector<int32_t> refs_;
  std::vector<uint8_t> published_;
  std::vector<AccountId> owners_;
  std::vector<int32_t> tokens_;     // of published blocks: [block, block_tokens]
  std::vector<BlockId> free_;       // taken from the back
  std::vector<BlockId> in_flight_;  // in order of release; those that were hit since are skipped
  std::vector<AccountCounts> accounts_;
  std::vector<EvictionQueue> queues_;                          // per account
  std::unordered_map<BlockKey, BlockId, BlockKeyHash> index_;  // look-up only
  const EvictionPolicy policy_;
  uint64_t clock_ = 0;
  uint64_t retired_ = 0;
  int64_t used_places_ = 0;
  int64_t evictions_ = 0;
  int32_t cached_ = 0;
  int32_t in_flight_count_ = 0;
  bool watching_ = false;
  double now_ = 0.0;
  std::vector<BlockLifeEvent> events_;
};

}  // namespace hadal
