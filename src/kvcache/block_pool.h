// The blocks of one cache group: who is free, who is held how often, who still waits for a step to retire.
//
//   free ── take ──▶ held ── last release ──▶ free                if no launched step uses it any more
//                                       └──▶ in flight ── retire ──▶ free
//
// A block is never reused before the last step that reads or writes it has been collected: each release says
// the last step in which the holder ran, and the largest of these is what the block waits for.
//
// The order of the free list is part of the contract, since equal runs must take equal blocks: take() gives
// the block released last (blocks never used come in rising id). A prefix cache would append cached blocks at
// the other end.
//
// Threads: one (the engine's). Errors: wrong calls are our own bugs (CHECK).
#pragma once

#include <cstdint>
#include <vector>

#include "kvcache/block_math.h"

namespace hadal {

class BlockPool {
 public:
  BlockPool(int32_t num_blocks, int32_t block_tokens);

  int32_t total() const { return static_cast<int32_t>(blocks_.size()) - 1; }  // without the null block
  int32_t free_count() const { return static_cast<int32_t>(free_.size()); }
  int32_t in_flight_count() const { return static_cast<int32_t>(in_flight_.size()); }
  int32_t held_count() const { return total() - free_count() - in_flight_count(); }
  /// Token places of held blocks that have been written or are being written.
  int64_t used_places() const { return used_places_; }

  /// A free block, held once. There must be one.
  BlockId take();
  /// One holder more.
  void share(BlockId block);
  /// One holder less. `last_step`: the last launched step in which that holder used the block.
  void release(BlockId block, uint64_t last_step);
  /// Steps up to `step` have been collected.
  void retire(uint64_t step);

  int32_t refs(BlockId block) const { return refs_[static_cast<size_t>(block)]; }
  /// References of every block, indexed by id.
  const std::vector<int32_t>& all_refs() const { return refs_; }

  /// The first `places` places of the block are in use from now on (never shrinks while held).
  void fill(BlockId block, int32_t places);
  int32_t filled(BlockId block) const { return blocks_[static_cast<size_t>(block)].filled; }

 private:
  struct Block {
    uint64_t last_step = 0;
    int32_t filled = 0;
  };
  const int32_t block_tokens_;
  std::vector<Block> blocks_;
  std::vector<int32_t> refs_;
  std::vector<BlockId> free_;       // taken from the back
  std::vector<BlockId> in_flight_;  // in order of release
  uint64_t retired_ = 0;
  int64_t used_places_ = 0;
};

}  // namespace hadal
