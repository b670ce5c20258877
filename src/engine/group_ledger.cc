#include "engine/group_ledger.h"

#include <algorithm>

#include "base/check.h"

namespace hadal {

GroupLedger::GroupLedger(const GroupView& view) : view_(view) {
  base_spare_ = view.pool->free_count() + view.pool->cached_count();
  for (const AccountCounts& one : view.pool->accounts()) {
    base_.push_back(
        {one.held, one.limits.floor, one.limits.ceiling, std::max(0, one.limits.floor - one.usage())});
    base_usage_.push_back(one.usage());
  }
  rebuild();
}

int64_t GroupLedger::available_without_ceiling(AccountId account) const {
  return spare_ - protected_sum_ + now_[index(account)].protected_blocks();
}

int64_t GroupLedger::available_to(AccountId account) const {
  const Account& own = now_[index(account)];
  return std::min<int64_t>(available_without_ceiling(account), own.ceiling - own.held);
}

int32_t GroupLedger::refs(BlockId block) const {
  if (block == kNullBlock) return 0;
  const int32_t now = view_.pool->refs(block);
  if (dropped_.empty()) return now;
  const auto found = dropped_.find(block);
  return found == dropped_.end() ? now : now - found->second;
}

int32_t GroupLedger::to_take(const std::vector<BlockId>& table, int32_t from, int32_t to) const {
  return blocks_to_take(table, spec().block_tokens, from, to, [this](BlockId block) { return refs(block); });
}

int32_t GroupLedger::fitting(AccountId account, const std::vector<BlockId>& table, int32_t from,
                             int32_t want) const {
  const int64_t usable = std::max<int64_t>(0, available_to(account));
  const int32_t first = to_take(table, from, from + 1);
  if (first > usable) return 0;
  const int32_t size = spec().block_tokens;
  const int64_t in_first = static_cast<int64_t>(from / size + 1) * size - from;  // room in the first block
  // blocks after the first: those in the table (never shared: nothing behind the write position is), then new
  // ones
  const int64_t behind = std::max<int64_t>(0, static_cast<int64_t>(table.size()) - (from / size + 1));
  const int64_t room = in_first + (behind + usable - first) * size;
  return static_cast<int32_t>(std::min<int64_t>(want, room));
}

int32_t GroupLedger::take(AccountId account, const std::vector<BlockId>& table, int32_t from, int32_t to) {
  const int32_t count = to_take(table, from, to);
  CHECK(take_blocks(account, count));
  for (auto i = static_cast<size_t>(from / spec().block_tokens); i < table.size(); ++i) {
    if (refs(table[i]) > 1) ++dropped_[table[i]];  // copied: one holder less of the shared block
  }
  return count;
}

bool GroupLedger::take_first(AccountId account, const std::vector<BlockId>& table, int32_t before,
                             int32_t to) {
  const int32_t size = spec().block_tokens;
  const auto held = static_cast<int32_t>(table.size());
  const int32_t count = std::max(held, blocks_for(to, size)) - std::max(held, blocks_for(before, size));
  takes_.insert(takes_.begin(), {account, count, false});
  if (rebuild()) return true;
  drop_take_first();
  return false;
}

void GroupLedger::drop_take_first() {
  takes_.erase(takes_.begin());
  CHECK(rebuild());
}

bool GroupLedger::take_blocks(AccountId account, int32_t count) {
  if (count == 0) return true;
  takes_.push_back({account, count, false});
  for (int32_t i = 0; i < count; ++i) {
    if (!apply_take(account)) return false;
  }
  return true;
}

void GroupLedger::set_aside(AccountId account, int32_t blocks) {
  takes_.push_back({account, blocks, true});
  CHECK(rebuild());
}

void GroupLedger::end_aside(AccountId account) {
  const auto ended = [account](const Take& take) { return take.aside && take.account == account; };
  takes_.erase(std::remove_if(takes_.begin(), takes_.end(), ended), takes_.end());
  CHECK(rebuild());
}

void GroupLedger::give_back(const std::vector<BlockId>& table) {
  for (auto block = table.rbegin(); block != table.rend() && *block != kNullBlock; ++block) {
    ++dropped_[*block];
    if (refs(*block) > 0) continue;
    const size_t owner = index(view_.pool->account(*block));
    --base_[owner].held;
    if (!view_.pool->published(*block)) --base_usage_[owner];  // free, not cached
    base_[owner].lack = std::max(0, base_[owner].floor - base_usage_[owner]);
    ++base_spare_;
  }
  CHECK(rebuild());
}

bool GroupLedger::hold(const std::vector<BlockId>& table) {
  holds_.push_back(table);
  if (rebuild()) return true;
  drop_last_hold();
  return false;
}

void GroupLedger::drop_last_hold() {
  holds_.pop_back();
  CHECK(rebuild());
}

/// The state after preemptions, holds and takes, in the commit's order. False if a take would find no block.
bool GroupLedger::rebuild() {
  now_ = base_;
  spare_ = base_spare_;
  protected_sum_ = 0;
  for (const Account& one : now_) protected_sum_ += one.protected_blocks();
  held_by_hits_.clear();
  for (const std::vector<BlockId>& table : holds_) {
    for (const BlockId block : table) apply_hold(block);
  }
  for (const Take& take : takes_) {
    for (int32_t i = 0; i < take.blocks; ++i) {
      if (!apply_take(take.account)) return false;
    }
  }
  return true;
}

void GroupLedger::shift(Account& account, int32_t held, int32_t lack) {
  protected_sum_ -= account.protected_blocks();
  account.held += held;
  account.lack += lack;
  protected_sum_ += account.protected_blocks();
}

/// Whether no sequence, and no hit held so far, holds the block of a hit.
bool GroupLedger::becomes_held(BlockId block) const {
  return block != kNullBlock && refs(block) == 0 && !view_.pool->in_flight(block) &&
         held_by_hits_.count(block) == 0;
}

int32_t GroupLedger::held_with(AccountId account, const std::vector<BlockId>& hit) const {
  return held(account) + static_cast<int32_t>(std::count_if(hit.begin(), hit.end(), [&](BlockId block) {
           return becomes_held(block) && view_.pool->account(block) == account;
         }));
}

void GroupLedger::apply_hold(BlockId block) {
  if (!becomes_held(block)) return;
  held_by_hits_.insert(block);
  shift(now_[index(view_.pool->account(block))], 1, 0);
  --spare_;
}

bool GroupLedger::apply_take(AccountId account) {
  if (available_to(account) < 1) return false;
  Account& own = now_[index(account)];
  // with nothing unprotected left the block comes from the account's own cached ones: its usage stays
  const bool grows = spare_ > protected_sum_;
  shift(own, 1, grows && own.lack > 0 ? -1 : 0);
  --spare_;
  return true;
}

}  // namespace hadal
