#include "kvcache/block_pool.h"

#include "base/check.h"

namespace hadal {

BlockPool::BlockPool(int32_t num_blocks, int32_t block_tokens)
    : block_tokens_(block_tokens), blocks_(static_cast<size_t>(num_blocks)), refs_(blocks_.size(), 0) {
  CHECK(num_blocks >= 1 && block_tokens >= 1);
  free_.reserve(blocks_.size());
  for (BlockId block = num_blocks - 1; block > kNullBlock; --block) free_.push_back(block);
}

BlockId BlockPool::take() {
  CHECK_MSG(!free_.empty(), "took a block from an empty pool");
  const BlockId block = free_.back();
  free_.pop_back();
  CHECK(refs(block) == 0);
  refs_[static_cast<size_t>(block)] = 1;
  blocks_[static_cast<size_t>(block)] = Block{};
  return block;
}

void BlockPool::share(BlockId block) {
  CHECK(block != kNullBlock && refs(block) > 0);
  ++refs_[static_cast<size_t>(block)];
}

void BlockPool::release(BlockId block, uint64_t last_step) {
  CHECK_MSG(block != kNullBlock && refs(block) > 0, "released a block that nobody holds");
  Block& record = blocks_[static_cast<size_t>(block)];
  record.last_step = std::max(record.last_step, last_step);
  if (--refs_[static_cast<size_t>(block)] > 0) return;
  used_places_ -= record.filled;
  record.filled = 0;
  if (record.last_step > retired_) {
    in_flight_.push_back(block);
  } else {
    free_.push_back(block);
  }
}

void BlockPool::retire(uint64_t step) {
  retired_ = std::max(retired_, step);
  size_t kept = 0;
  for (const BlockId block : in_flight_) {
    if (blocks_[static_cast<size_t>(block)].last_step > retired_) {
      in_flight_[kept++] = block;
    } else {
      free_.push_back(block);
    }
  }
  in_flight_.resize(kept);
}

void BlockPool::fill(BlockId block, int32_t places) {
  CHECK(block != kNullBlock && refs(block) > 0 && places <= block_tokens_);
  Block& record = blocks_[static_cast<size_t>(block)];
  if (places <= record.filled) return;
  used_places_ += places - record.filled;
  record.filled = places;
}

}  // namespace hadal
