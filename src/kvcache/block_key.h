// Names of block contents: a 128-bit hash chained over a sequence's blocks (docs/contracts/kv-cache.md,
// "Prefix cache").
//
// SipHash-2-4 with 128 bits of output (Aumasson and Bernstein, https://www.aumasson.jp/siphash/siphash.pdf)
// under a secret key that is drawn at start: who does not know the key cannot search for two prefixes with
// the same name.
//
// Threads: none of its own.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

namespace hadal {

struct BlockKey {
  uint64_t high = 0;
  uint64_t low = 0;
  friend auto operator<=>(const BlockKey&, const BlockKey&) = default;
  bool none() const { return high == 0 && low == 0; }
};

struct BlockKeyHash {
  size_t operator()(const BlockKey& key) const { return static_cast<size_t>(key.low); }
};

class BlockHasher {
 public:
  /// `secret`: 16 random bytes as two numbers.
  BlockHasher(uint64_t secret_high, uint64_t secret_low) : k0_(secret_high), k1_(secret_low) {}

  /// The beginning of a chain. Different texts give different chains.
  BlockKey root(std::string_view salt) const;
  /// The name of a block with `tokens` behind `parent`; `form` is mixed in (0 where forms do not matter).
  BlockKey chain(const BlockKey& parent, const int32_t* tokens, int32_t count, uint32_t form) const;
  /// A chain that goes on under a salt.
  BlockKey salted(const BlockKey& parent, const BlockKey& salt) const;

  /// The hash itself, for its test vectors.
  BlockKey hash(const void* data, size_t bytes) const;

 private:
  uint64_t k0_, k1_;
};

}  // namespace hadal
