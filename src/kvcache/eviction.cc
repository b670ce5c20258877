#include "kvcache/eviction.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "base/check.h"

namespace hadal {
namespace {

constexpr size_t kChildren = 4;
constexpr int kFractionBits = 8;

/// log2(1 + hits) in units of 1/256: exact at powers of two and straight between them. In integers, since
/// equal histories must evict equally on every machine.
uint64_t log2_of_uses(uint32_t hits) {
  const uint64_t uses = uint64_t{hits} + 1;
  const int whole = std::bit_width(uses) - 1;
  const uint64_t beyond = uses - (uint64_t{1} << whole);
  return (static_cast<uint64_t>(whole) << kFractionBits) + ((beyond << kFractionBits) >> whole);
}

}  // namespace

uint64_t eviction_rank(const BlockUse& use, uint64_t bonus) {
  constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();
  const uint64_t log = log2_of_uses(use.hits);
  if (log == 0 || bonus == 0) return use.last_use;
  if (bonus > kMost / log) return kMost;
  const uint64_t earned = (bonus * log) >> kFractionBits;
  return earned > kMost - use.last_use ? kMost : use.last_use + earned;
}

void EvictionQueue::add(BlockId block, const BlockUse& use) {
  CHECK(block > kNullBlock);
  CHECK_MSG(!contains(block), "a block was put into the order of eviction twice");
  const auto id = static_cast<size_t>(block);
  if (id >= places_.size()) places_.resize(std::max(id + 1, places_.size() * 2), kAbsent);
  heap_.emplace_back();
  sift_up(heap_.size() - 1, {.rank = eviction_rank(use, bonus_), .depth = use.depth, .block = block});
}

void EvictionQueue::remove(BlockId block) {
  CHECK_MSG(contains(block), "a block was removed from the order of eviction that is not in it");
  const auto place = static_cast<size_t>(place_of(block));
  place_of(block) = kAbsent;
  const EvictionKey last = heap_.back();
  heap_.pop_back();
  if (place == heap_.size()) return;
  if (place > 0 && last < heap_[(place - 1) / kChildren]) {
    sift_up(place, last);
  } else {
    sift_down(place, last);
  }
}

bool EvictionQueue::contains(BlockId block) const {
  const auto id = static_cast<size_t>(block);
  return block >= 0 && id < places_.size() && places_[id] != kAbsent;
}

EvictionKey EvictionQueue::worst_key() const {
  CHECK_MSG(!heap_.empty(), "asked an empty order of eviction for its worst block");
  return heap_.front();
}

void EvictionQueue::sift_up(size_t place, const EvictionKey& key) {
  while (place > 0) {
    const size_t parent = (place - 1) / kChildren;
    if (!(key < heap_[parent])) break;
    put(place, heap_[parent]);
    place = parent;
  }
  put(place, key);
}

void EvictionQueue::sift_down(size_t place, const EvictionKey& key) {
  for (;;) {
    const size_t first = place * kChildren + 1;
    if (first >= heap_.size()) break;
    const size_t end = std::min(first + kChildren, heap_.size());
    size_t least = first;
    for (size_t child = first + 1; child < end; ++child) {
      if (heap_[child] < heap_[least]) least = child;
    }
    if (!(heap_[least] < key)) break;
    put(place, heap_[least]);
    place = least;
  }
  put(place, key);
}

}  // namespace hadal
