// The blocks of one cache group as they will be while a plan is being committed: preemptions first, then the
// hits of admitted sequences, then the takes of the grants in their order. Counts only; kvcache/accounts.h
// says why that is enough.
//
// Threads: none of its own; made for one plan.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "engine/scheduler.h"
#include "kvcache/kv_cache.h"

namespace hadal {

class GroupLedger {
 public:
  explicit GroupLedger(const GroupView& view);

  const CacheGroupSpec& spec() const { return *view_.spec; }

  /// Blocks that the account can take now; without_ceiling: by the others' floors alone.
  int64_t available_to(AccountId account) const;
  int64_t available_without_ceiling(AccountId account) const;
  int32_t held(AccountId account) const { return now_[index(account)].held; }
  int32_t floor(AccountId account) const { return now_[index(account)].floor; }
  int32_t ceiling(AccountId account) const { return now_[index(account)].ceiling; }
  /// Blocks that the account may still take before its usage reaches its floor.
  int32_t below_floor(AccountId account) const { return now_[index(account)].lack; }
  bool over_floor(AccountId account) const { return held(account) > floor(account); }
  /// What the account would hold if this hit were held as well: cached blocks of its own become held ones.
  int32_t held_with(AccountId account, const std::vector<BlockId>& hit) const;

  /// Holders of a block, preemptions and copies of this plan left out.
  int32_t refs(BlockId block) const;

  int32_t to_take(const std::vector<BlockId>& table, int32_t from, int32_t to) const;
  /// How many tokens from `from` on find blocks, at most `want`.
  int32_t fitting(AccountId account, const std::vector<BlockId>& table, int32_t from, int32_t want) const;

  /// A grant's blocks, which must be available. Returns how many.
  int32_t take(AccountId account, const std::vector<BlockId>& table, int32_t from, int32_t to);
  /// More blocks for the first grant of the step, whose own are [.., before): they are taken before all
  /// others, and those must still fit. False, and nothing has changed, if they do not.
  bool take_first(AccountId account, const std::vector<BlockId>& table, int32_t before, int32_t to);
  /// Undoes the last take_first().
  void drop_take_first();
  /// Keeps blocks, which must be available, for a head that has claimed them; as if taken until end_aside().
  void set_aside(AccountId account, int32_t blocks);
  void end_aside(AccountId account);
  /// A preempted sequence's blocks.
  void give_back(const std::vector<BlockId>& table);
  /// Holds a hit's blocks. False, and nothing has changed, if then the takes so far would not fit any more.
  bool hold(const std::vector<BlockId>& table);
  /// Undoes the last hold().
  void drop_last_hold();

 private:
  struct Account {
    int32_t held = 0, floor = 0, ceiling = 0;
    int32_t lack = 0;  // max(0, floor - usage)
    int32_t protected_blocks() const { return std::max(0, floor - held) - lack; }
  };
  struct Take {
    AccountId account = 0;
    int32_t blocks = 0;
    bool aside = false;
  };
  static size_t index(AccountId account) { return static_cast<size_t>(account); }
  bool rebuild();
  bool apply_take(AccountId account);
  void apply_hold(BlockId block);
  bool becomes_held(BlockId block) const;
  bool take_blocks(AccountId account, int32_t count);
  void shift(Account& account, int32_t held, int32_t lack);

  const GroupView& view_;
  std::vector<Account> base_;  // after preemptions
  std::vector<int32_t> base_usage_;
  int64_t base_spare_ = 0;
  std::vector<Account> now_;  // after holds and takes
  int64_t spare_ = 0, protected_sum_ = 0;
  std::vector<std::vector<BlockId>> holds_;
  std::set<BlockId> held_by_hits_;
  std::vector<Take> takes_;
  std::map<BlockId, int32_t> dropped_;  // references that this plan drops
};

}  // namespace hadal
