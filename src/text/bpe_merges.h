// Merge rules of a BPE model, by pair of token ids. Immutable after the last add; any thread may look up.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace hadal::tok {

class MergeTable {
 public:
  struct Merge {
    uint32_t rank = kNoRank;  // lower merges first
    int32_t id = -1;          // of the merged token
  };
  static constexpr uint32_t kNoRank = UINT32_MAX;

  explicit MergeTable(size_t rules = 0) {
    size_t slots = 16;
    while (slots < rules * 2) slots *= 2;
    slots_.resize(slots);
  }

  /// At most the number of rules given to the constructor may be added. A repeated pair takes the last rank.
  void add(int32_t left, int32_t right, Merge merge) {
    Slot& slot = slots_[slot_of(key_of(left, right))];
    slot = {key_of(left, right), merge};
  }

  /// A merge with rank kNoRank where there is none. Ids below zero merge with nothing.
  Merge find(int32_t left, int32_t right) const {
    const uint64_t key = key_of(left, right);
    const Slot& slot = slots_[slot_of(key)];
    return slot.key == key ? slot.merge : Merge{};
  }

 private:
  static constexpr uint64_t kFree = UINT64_MAX;  // the pair (-1, -1), which is no rule's
  struct Slot {
    uint64_t key = kFree;
    Merge merge;
  };

  static uint64_t key_of(int32_t left, int32_t right) {
    return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  }
  size_t slot_of(uint64_t key) const {
    const size_t mask = slots_.size() - 1;
    const uint64_t mixed = key * 0x9E3779B97F4A7C15u;
    size_t slot = (mixed ^ mixed >> 32) & mask;
    while (slots_[slot].key != key && slots_[slot].key != kFree) slot = (slot + 1) & mask;
    return slot;
  }

  std::vector<Slot> slots_;
};

}  // namespace hadal::tok
