#include "kvcache/kv_cache.h"

#include "base/check.h"

namespace hadal {

StatusOr<KvCache> KvCache::create(const std::vector<CacheGroupSpec>& groups) {
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
  return KvCache(groups);
}

KvCache::KvCache(const std::vector<CacheGroupSpec>& groups) : groups_(groups) {
  pools_.reserve(groups.size());
  for (const CacheGroupSpec& group : groups) pools_.emplace_back(group.num_blocks, group.block_tokens);
}

SequenceBlocks KvCache::new_sequence() const {
  SequenceBlocks blocks;
  blocks.tables.resize(groups_.size());
  return blocks;
}

bool KvCache::extend(SequenceBlocks& blocks, int32_t from, int32_t to, uint64_t step,
                     std::vector<CacheCopy>* copies) {
  CHECK(blocks.tables.size() == groups_.size() && from >= 0);
  for (size_t g = 0; g < groups_.size(); ++g) {
    const auto refs = [&](BlockId block) { return block == kNullBlock ? 0 : pools_[g].refs(block); };
    if (blocks_to_take(blocks.tables[g], groups_[g].block_tokens, from, to, refs) > pools_[g].free_count())
      return false;
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
      table.push_back(pool.take());
    } else {
      CHECK_MSG(table[slot] != kNullBlock, "a write before the window");
      if (pool.refs(table[slot]) > 1) {
        const BlockId own = pool.take();
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
  }
  blocks.last_step = 0;
}

void KvCache::retire(uint64_t step) {
  for (BlockPool& pool : pools_) pool.retire(step);
}

bool KvCache::can_ever_hold(int32_t tokens, int32_t piece) const {
  for (size_t g = 0; g < groups_.size(); ++g) {
    if (most_blocks_held(groups_[g], tokens, piece) > pools_[g].total()) return false;
  }
  return true;
}

CacheAccounts KvCache::accounts() const {
  CacheAccounts sum;
  for (size_t g = 0; g < groups_.size(); ++g) {
    sum.total += pools_[g].total();
    sum.free += pools_[g].free_count();
    sum.held += pools_[g].held_count();
    sum.in_flight += pools_[g].in_flight_count();
    sum.held_places += static_cast<int64_t>(pools_[g].held_count()) * groups_[g].block_tokens;
    sum.used_places += pools_[g].used_places();
  }
  return sum;
}

}  // namespace hadal
