// The tokens of a model: text to id and back, one pool of bytes, no allocation per token.
//
// Immutable after create, so any thread may use it. Views point into the vocabulary.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace hadal::tok {

/// A fast hash of short byte strings. Not for tables that outsiders can fill one request at a time.
inline uint64_t hash_bytes(std::string_view bytes) {
  constexpr uint64_t kMultiplier = 0x9E3779B97F4A7C15u;
  uint64_t hash = bytes.size() * kMultiplier;
  const char* data = bytes.data();
  size_t left = bytes.size();
  for (; left >= 8; left -= 8, data += 8) {
    uint64_t word = 0;
    std::memcpy(&word, data, 8);
    hash = (hash ^ word) * kMultiplier;
    hash ^= hash >> 32;
  }
  uint64_t tail = 0;
  for (size_t i = 0; i < left; ++i) tail |= uint64_t{static_cast<unsigned char>(data[i])} << (8 * i);
  hash = (hash ^ tail) * kMultiplier;
  return hash ^ hash >> 29;
}

class Vocabulary {
 public:
  struct Entry {
    uint32_t offset = 0, length = 0;  // of the token's text in the pool
    int32_t id = 0;
  };

  Vocabulary() = default;
  /// Refuses duplicate texts or ids, negative ids, and ids far beyond the number of tokens (16 times it plus
  /// 65536), which would only waste memory.
  static StatusOr<Vocabulary> create(std::string pool, const std::vector<Entry>& entries);

  /// The id of a token's text; -1 when there is none.
  int32_t find(std::string_view text) const;
  /// Is there a token with this id?
  bool contains(int32_t id) const {
    return id >= 0 && static_cast<size_t>(id) < spans_.size() &&
           spans_[static_cast<size_t>(id)].length != kAbsent;
  }
  /// The text of a token; empty where the id is not contained.
  std::string_view text(int32_t id) const;
  size_t size() const { return size_; }
  /// One more than the highest id.
  int32_t id_limit() const { return static_cast<int32_t>(spans_.size()); }

 private:
  static constexpr uint32_t kAbsent = UINT32_MAX;
  struct Span {
    uint32_t offset = 0, length = kAbsent;
  };

  size_t slot_of(std::string_view text) const;

  std::string pool_;
  std::vector<Span> spans_;     // by id
  std::vector<int32_t> table_;  // open addressing with linear probing; -1 is free
  size_t size_ = 0;
};

}  // namespace hadal::tok
