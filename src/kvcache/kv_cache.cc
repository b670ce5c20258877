#include "kvcache/kv_cache.h"

#include "base/check.h"

namespace hadal {

StatusOr<KvCache> KvCache::create(const std::vector<CacheGroupSpec>& groups,
                                  const PrefixCacheOptions& options) {
  if (groups.empty()) return invalid_argument("the cache has no groups");
  for (const CacheGroupSpec& group : groups) {
    if (group.block_tokens < 1) {
      return invalid_argument("cache group {}: {} tokens per block", group.name, group.block_tokens);
    }
    if (group.num_blocks < 2) {
      return invalid_argument("cache group {}: {} blocks; it needs the null block and at least one more",
                              group.name, group.num_blocks);
    }
    if (group.window < 0)
      return invalid_argument("cache group {}: negative window {}", group.name, group.window);
  }
  return KvCache(groups, options);
}

KvCache::KvCache(const std::vector<CacheGroupSpec>& groups, const PrefixCacheOptions& options)
    : groups_(groups), options_(options), hasher_(options.secret_high, options.secret_low) {
  pools_.reserve(groups.size());
  for (const CacheGroupSpec& group : groups)
    pools_.emplace_back(group.num_blocks, group.block_tokens, options.policy);
}

AccountId KvCache::add_account(const std::vector<AccountLimits>& limits) {
  CHECK(limits.size() == pools_.size());
  AccountId account = kSharedAccount;
  for (size_t g = 0; g < pools_.size(); ++g) account = pools_[g].add_account(limits[g]);
  return account;
}

void KvCache::set_limits(AccountId account, const std::vector<AccountLimits>& limits) {
  for (size_t g = 0; g < pools_.size(); ++g) pools_[g].set_limits(account, limits[g]);
}

SequenceBlocks KvCache::new_sequence(AccountId account) const {
  SequenceBlocks blocks;
  blocks.tables.resize(groups_.size());
  blocks.published.resize(groups_.size(), 0);
  blocks.account = account;
  return blocks;
}

bool KvCache::extend(SequenceBlocks& blocks, int32_t from, int32_t to, uint64_t step,
                     std::vector<CacheCopy>* copies) {
  CHECK(blocks.tables.size() == groups_.size() && from >= 0);
  for (size_t g = 0; g < groups_.size(); ++g) {
    const auto refs = [&](BlockId block) { return block == kNullBlock ? 0 : pools_[g].refs(block); };
    const int32_t wanted = blocks_to_take(blocks.tables[g], groups_[g].block_tokens, from, to, refs);
    if (wanted > 0 && wanted > pools_[g].available_to(blocks.account)) return false;
  }
  blocks.last_step =
      std::max(blocks.last_step, step);  // a shared block that is copied from is read by `step` too
  for (size_t g = 0; g < groups_.size(); ++g) extend_group(g, blocks, from, to, copies);
  return true;
}

void KvCache::extend_group(size_t g, SequenceBlocks& blocks, int32_t from, int32_t to,
                           std::vector<CacheCopy>* copies) {
  BlockPool& pool = pools_[g];
  std::vector<BlockId>& table = blocks.tables[g];
  const int32_t size = groups_[g].block_tokens;
  CHECK_MSG(from <= static_cast<int32_t>(table.size()) * size, "a gap in a block table");
  for (int32_t i = from / size; i * size < to; ++i) {
    const auto slot = static_cast<size_t>(i);
    if (slot == table.size()) {
      table.push_back(pool.take(blocks.account, i));
    } else {
      CHECK_MSG(table[slot] != kNullBlock, "a write before the window");
      if (pool.refs(table[slot]) > 1) {
        const BlockId own = pool.take(blocks.account, i);
        // a block that is overwritten from its first place on has nothing to keep
        if (i * size < from) {
          copies->push_back({static_cast<int32_t>(g), table[slot], own});
          pool.fill(own, from - i * size);
        }
        pool.release(table[slot], blocks.last_step);
        table[slot] = own;
      }
    }
    pool.fill(table[slot], std::min(to - i * size, size));
  }
}

void KvCache::trim(SequenceBlocks& blocks, int32_t next_position) {
  for (size_t g = 0; g < groups_.size(); ++g) {
    const int32_t keep_from = first_visible(next_position, groups_[g].window) / groups_[g].block_tokens;
    std::vector<BlockId>& table = blocks.tables[g];
    for (int32_t i = std::min<int32_t>(keep_from, static_cast<int32_t>(table.size())) - 1; i >= 0; --i) {
      BlockId& block = table[static_cast<size_t>(i)];
      if (block == kNullBlock) break;  // everything before was given back earlier
      pools_[g].release(block, blocks.last_step);
      block = kNullBlock;
    }
  }
}

SequenceBlocks KvCache::fork(const SequenceBlocks& blocks) {
  for (size_t g = 0; g < groups_.size(); ++g) {
    for (const BlockId block : blocks.tables[g]) {
      if (block != kNullBlock) pools_[g].share(block);
    }
  }
  return blocks;
}

void KvCache::release(SequenceBlocks& blocks) {
  for (size_t g = 0; g < groups_.size(); ++g) {
    std::vector<BlockId>& table = blocks.tables[g];
    for (auto block = table.rbegin(); block != table.rend() && *block != kNullBlock; ++block) {
      pools_[g].release(*block, blocks.last_step);
    }
    table.clear();
    blocks.published[g] = 0;
  }
  blocks.last_step = 0;
}

void KvCache::retire(uint64_t step) {
  for (BlockPool& pool : pools_) pool.retire(step);
}

CacheAccounts KvCache::accounts() const {
  CacheAccounts sum;
  for (size_t g = 0; g < groups_.size(); ++g) {
    sum.total += pools_[g].total();
    sum.free += pools_[g].free_count();
    sum.held += pools_[g].held_count();
    sum.in_flight += pools_[g].in_flight_count();
    sum.cached += pools_[g].cached_count();
    sum.pinned += pools_[g].accounts()[kSharedAccount].usage();
    sum.held_places += static_cast<int64_t>(pools_[g].held_count()) * groups_[g].block_tokens;
    sum.used_places += pools_[g].used_places();
    sum.evictions += pools_[g].evictions();
  }
  return sum;
}

void KvCache::watch_lives(bool on) {
  for (BlockPool& pool : pools_) pool.watch_lives(on);
}

void KvCache::set_time(double now_seconds) {
  for (BlockPool& pool : pools_) pool.set_time(now_seconds);
}

std::vector<BlockLifeEvent> KvCache::take_events() {
  std::vector<BlockLifeEvent> all;
  for (BlockPool& pool : pools_) {
    std::vector<BlockLifeEvent> events = pool.take_events();
    all.insert(all.end(), events.begin(), events.end());
  }
  return all;
}

}  // namespace hadal
