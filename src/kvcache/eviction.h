// Which cached block goes first when a block is wanted and none is free.
//
//   EvictionQueue queue(reuse_bonus(EvictionPolicy::kReuse, pool.total()));
//   queue.add(block, {.last_use = clock, .hits = 2, .depth = 7});  // its last holder has let it go
//   queue.remove(block);                                           // a prefix hit takes it
//   if (!queue.empty()) evict(queue.worst());
//
// The clock counts the blocks that prompts touch, so in a cache of N blocks a block that nobody wants is gone
// about N ticks after its last use. A block's rank is
//
//   last_use + bonus * log2(1 + hits)
//
// which is recency with a bonus for reuse: by what it has served a block earns time, and time alone takes it
// away again, without a pass over the queue. The first hit earns `bonus` ticks; the logarithm keeps a block
// of a thousand hits from staying for a thousand times as long. With bonus 0 the order is plain LRU. A bonus
// of N ticks, one turn of the cache, is what recorded conversations want (docs/performance.md has the figures
// and the neighbours).
//
// A prefix hit needs all blocks before it, so the deep end of a sequence has to go first. Whoever releases a
// sequence either counts the clock up from its deepest block to its first, or gives all one time: among
// equals the deepest goes first, then the lowest block id. Nothing else decides, so equal histories evict
// equally.
//
// Cost: worst() is a load; add() and remove() are O(log n) in a heap of four children a node, which a block
// that was used just now enters near the bottom. Memory: 16 bytes a queued block, and 4 for each block id up
// to the highest.
//
// Threads: one (the engine's). Errors: wrong calls are our own bugs (CHECK).
#pragma once

#include <compare>
#include <cstdint>
#include <vector>

#include "kvcache/block_math.h"

namespace hadal {

enum class EvictionPolicy : uint8_t {
  kLru,    // least recently used
  kReuse,  // recency with a bonus for reuse
};

/// The bonus, in ticks, that suits a cache of `blocks` blocks.
constexpr uint64_t default_reuse_bonus(int32_t blocks) {
  return blocks > 0 ? static_cast<uint64_t>(blocks) : uint64_t{0};
}

constexpr uint64_t reuse_bonus(EvictionPolicy policy, int32_t blocks) {
  return policy == EvictionPolicy::kReuse ? default_reuse_bonus(blocks) : uint64_t{0};
}

/// What is known of a cached block's past when it is put into the order of eviction.
struct BlockUse {
  uint64_t last_use =
      0;  // the cache's clock at the last use; the clock counts blocks touched by prompts (taken or hit)
  uint32_t hits = 0;  // how often a prefix hit has taken this block since it was filled
  int32_t depth = 0;  // index of the block in its sequence
};

/// A block's place in the order; the least goes first. Comparable between queues.
struct EvictionKey {
  uint64_t rank = 0;
  int32_t depth = 0;
  BlockId block = kNullBlock;

  friend constexpr std::strong_ordering operator<=>(const EvictionKey& left, const EvictionKey& right) {
    if (const auto order = left.rank <=> right.rank; order != 0) return order;
    if (const auto order = right.depth <=> left.depth; order != 0) return order;
    return left.block <=> right.block;
  }
  friend constexpr bool operator==(const EvictionKey&, const EvictionKey&) = default;
};

/// Adds what `hits` earned to the time of the last use; ends at the largest value rather than wrap.
uint64_t eviction_rank(const BlockUse& use, uint64_t bonus);

/// The cached blocks of one account in their order of eviction. Worst first; ties by depth (deepest first),
/// then block id, so equal histories evict equally.
class EvictionQueue {
 public:
  /// `bonus` in ticks; see reuse_bonus(). Queues whose keys are compared should have the same.
  explicit EvictionQueue(uint64_t bonus) : bonus_(bonus) {}

  /// The block is not in the queue yet, and is not the null block.
  void add(BlockId block, const BlockUse& use);
  /// The block is in the queue.
  void remove(BlockId block);
  bool contains(BlockId block) const;

  bool empty() const { return heap_.empty(); }
  int32_t size() const { return static_cast<int32_t>(heap_.size()); }

  /// The block that goes first. Not empty.
  BlockId worst() const { return worst_key().block; }
  EvictionKey worst_key() const;

 private:
  static constexpr int32_t kAbsent = -1;

  int32_t& place_of(BlockId block) { return places_[static_cast<size_t>(block)]; }
  void put(size_t place, const EvictionKey& key) {
    heap_[place] = key;
    place_of(key.block) = static_cast<int32_t>(place);
  }
  // Both fill the hole at `place` with `key` after moving others out of its way.
  void sift_up(size_t place, const EvictionKey& key);
  void sift_down(size_t place, const EvictionKey& key);

  uint64_t bonus_;
  std::vector<EvictionKey> heap_;  // no key is less than its parent's, (i - 1) / 4
  std::vector<int32_t> places_;    // block id -> index in heap_, or kAbsent
};

}  // namespace hadal
