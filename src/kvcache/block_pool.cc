#include "kvcache/block_pool.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace hadal {

BlockPool::BlockPool(int32_t num_blocks, int32_t block_tokens, EvictionPolicy policy)
    : block_tokens_(block_tokens),
      blocks_(static_cast<size_t>(num_blocks)),
      refs_(blocks_.size(), 0),
      published_(blocks_.size(), 0),
      owners_(blocks_.size(), kSharedAccount),
      policy_(policy) {
  CHECK(num_blocks >= 1 && block_tokens >= 1);
  free_.reserve(blocks_.size());
  for (BlockId block = num_blocks - 1; block > kNullBlock; --block) free_.push_back(block);
  add_account({.floor = 0});
}

AccountId BlockPool::add_account(const AccountLimits& limits) {
  accounts_.push_back({.limits = limits});
  queues_.emplace_back(reuse_bonus(policy_, total()));
  return static_cast<AccountId>(accounts_.size()) - 1;
}

void BlockPool::set_limits(AccountId account, const AccountLimits& limits) {
  accounts_[static_cast<size_t>(account)].limits = limits;
}

int32_t BlockPool::available_to(AccountId account) const {
  int32_t others_protected = 0;
  for (size_t a = 0; a < accounts_.size(); ++a) {
    if (a != static_cast<size_t>(account)) others_protected += accounts_[a].protected_blocks();
  }
  const AccountCounts& own = accounts_[static_cast<size_t>(account)];
  return std::min(free_count() + cached_ - others_protected, own.limits.ceiling - own.held);
}

/// The block that the next take() of this account uses, no longer free or cached.
BlockId BlockPool::pick(AccountId account) {
  const AccountCounts& own = accounts_[static_cast<size_t>(account)];
  const bool at_ceiling = own.usage() >= own.limits.ceiling;
  if (!at_ceiling && !free_.empty()) {
    const BlockId block = free_.back();
    free_.pop_back();
    return block;
  }
  size_t from = static_cast<size_t>(account);
  if (!at_ceiling) {
    bool found = false;
    for (size_t a = 0; a < accounts_.size(); ++a) {
      if (queues_[a].empty() || accounts_[a].usage() <= accounts_[a].limits.floor) continue;
      if (!found || queues_[a].worst_key() < queues_[from].worst_key()) from = a;
      found = true;
    }
  }
  CHECK_MSG(!queues_[from].empty(), "took a block that is not available to the account");
  const BlockId block = queues_[from].worst();
  evict(block);
  return block;
}

/// A cached block loses its content and its account; it is nobody's then.
void BlockPool::evict(BlockId block) {
  note(BlockLifeEvent::Kind::kIdleBeforeEvict, at(block).used_at);
  note(BlockLifeEvent::Kind::kLifetime, at(block).taken_at);
  uncache(block);
  --accounts_[static_cast<size_t>(account(block))].held;
  unpublish(block);
  ++evictions_;
}

/// Cached to held: whoever calls says what becomes of it.
void BlockPool::uncache(BlockId block) {
  const auto owner = static_cast<size_t>(account(block));
  queues_[owner].remove(block);
  --accounts_[owner].cached;
  ++accounts_[owner].held;
  --cached_;
}

void BlockPool::unpublish(BlockId block) {
  if (!published(block)) return;
  index_.erase(at(block).key);
  published_[static_cast<size_t>(block)] = 0;
}

BlockId BlockPool::take(AccountId account, int32_t depth) {
  const BlockId block = pick(account);
  CHECK(refs(block) == 0 && !published(block));
  refs_[static_cast<size_t>(block)] = 1;
  owners_[static_cast<size_t>(block)] = account;
  ++accounts_[static_cast<size_t>(account)].held;
  at(block) = Block{};
  ++clock_;
  at(block).use.depth = depth;
  at(block).taken_at = at(block).used_at = now_;
  return block;
}

void BlockPool::share(BlockId block) {
  CHECK(block != kNullBlock && refs(block) > 0);
  ++refs_[static_cast<size_t>(block)];
}

void BlockPool::hit(BlockId block) {
  CHECK_MSG(block != kNullBlock && published(block), "a hit of a block without content");
  Block& record = at(block);
  ++clock_;
  ++record.use.hits;
  note(BlockLifeEvent::Kind::kReuseGap, record.used_at);
  record.used_at = now_;
  if (refs_[static_cast<size_t>(block)]++ > 0) return;
  if (record.in_flight) {
    record.in_flight = false;
    --in_flight_count_;
  } else {
    uncache(block);
  }
  used_places_ += record.filled = block_tokens_;
}

void BlockPool::release(BlockId block, uint64_t last_step) {
  CHECK_MSG(block != kNullBlock && refs(block) > 0, "released a block that nobody holds");
  Block& record = at(block);
  record.last_step = std::max(record.last_step, last_step);
  if (--refs_[static_cast<size_t>(block)] > 0) return;
  used_places_ -= record.filled;
  record.filled = 0;
  if (record.last_step > retired_) {
    record.in_flight = true;
    ++in_flight_count_;
    in_flight_.push_back(block);
  } else {
    settle(block);
  }
}

/// Nobody holds the block and no step uses it: cached if it can be found, else free.
void BlockPool::settle(BlockId block) {
  AccountCounts& owner = accounts_[static_cast<size_t>(account(block))];
  --owner.held;
  at(block).used_at = now_;
  at(block).use.last_use = clock_;  // the same for all blocks of a sequence: its deepest go first
  if (published(block)) {
    ++owner.cached;
    ++cached_;
    queues_[static_cast<size_t>(account(block))].add(block, at(block).use);
  } else {
    note(BlockLifeEvent::Kind::kLifetime, at(block).taken_at);
    free_.push_back(block);
  }
}

void BlockPool::retire(uint64_t step) {
  retired_ = std::max(retired_, step);
  size_t kept = 0;
  for (const BlockId block : in_flight_) {
    Block& record = at(block);
    if (!record.in_flight) continue;  // a hit took it meanwhile
    if (record.last_step > retired_) {
      in_flight_[kept++] = block;
      continue;
    }
    record.in_flight = false;
    --in_flight_count_;
    settle(block);
  }
  in_flight_.resize(kept);
}

bool BlockPool::publish(BlockId block, const BlockKey& parent, const BlockKey& key, const int32_t* tokens,
                        AccountId account) {
  CHECK(refs(block) > 0 && !published(block));
  if (!index_.emplace(key, block).second) return false;
  published_[static_cast<size_t>(block)] = 1;
  at(block).key = key;
  at(block).parent = parent;
  if (tokens_.empty()) tokens_.resize(blocks_.size() * static_cast<size_t>(block_tokens_));
  std::copy_n(
      tokens, block_tokens_,
      tokens_.begin() + static_cast<std::ptrdiff_t>(block) * static_cast<std::ptrdiff_t>(block_tokens_));
  --accounts_[static_cast<size_t>(owners_[static_cast<size_t>(block)])].held;
  ++accounts_[static_cast<size_t>(account)].held;
  owners_[static_cast<size_t>(block)] = account;
  return true;
}

BlockId BlockPool::find(const BlockKey& parent, const BlockKey& key, const int32_t* tokens) const {
  const auto found = index_.find(key);
  if (found == index_.end()) return kNullBlock;
  const Block& record = at(found->second);
  const auto* stored =
      tokens_.data() + static_cast<size_t>(found->second) * static_cast<size_t>(block_tokens_);
  const bool same = record.parent == parent && std::equal(tokens, tokens + block_tokens_, stored);
  return same ? found->second : kNullBlock;
}

int32_t BlockPool::forget_all() {
  const int32_t before = cached_;
  for (BlockId block = total(); block > kNullBlock; --block) {
    if (!published(block)) continue;
    const bool cached = refs(block) == 0 && !in_flight(block);
    if (cached) uncache(block);
    unpublish(block);
    if (cached) settle(block);
  }
  return before;
}

void BlockPool::fill(BlockId block, int32_t places) {
  CHECK(block != kNullBlock && refs(block) > 0 && places <= block_tokens_);
  Block& record = at(block);
  if (places <= record.filled) return;
  used_places_ += places - record.filled;
  record.filled = places;
}

void BlockPool::note(BlockLifeEvent::Kind kind, double since) {
  if (watching_) events_.push_back({kind, now_ - since});
}

std::vector<BlockLifeEvent> BlockPool::take_events() { return std::exchange(events_, {}); }

}  // namespace hadal
