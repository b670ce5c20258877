// Philox4x32-10, the counter-based generator of the sampler (Salmon, Moraes, Dror, Shaw: "Parallel random
// numbers: as easy as 1, 2, 3", SC 2011). A draw is a pure function of (seed, choice, position), so that the
// same request draws the same numbers whatever it is batched with and whichever engine continues it. Every
// backend's sampler uses this file.
#pragma once

#include <array>
#include <cstdint>

namespace hadal {

using PhiloxWords = std::array<uint32_t, 4>;

/// Ten rounds over `counter` under the 64-bit `key` (low word first).
constexpr PhiloxWords philox4x32_10(uint64_t key, PhiloxWords counter) {
  constexpr uint64_t kMultiplier0 = 0xD2511F53;
  constexpr uint64_t kMultiplier1 = 0xCD9E8D57;
  constexpr uint32_t kWeyl0 = 0x9E3779B9;  // golden ratio
  constexpr uint32_t kWeyl1 = 0xBB67AE85;  // sqrt(3) - 1
  uint32_t key0 = static_cast<uint32_t>(key);
  uint32_t key1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = kMultiplier0 * counter[0];
    const uint64_t product1 = kMultiplier1 * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key0, static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key1, static_cast<uint32_t>(product0)};
    key0 += kWeyl0;
    key1 += kWeyl1;
  }
  return counter;
}

/// u in [0, 1) of the token at `position` (counted from the first output token) of choice `choice`: the first
/// word times 2^-32, exact in double.
constexpr double sampling_uniform(uint64_t seed, uint32_t choice, uint32_t position) {
  return philox4x32_10(seed, {position, choice, 0, 0})[0] * 0x1p-32;
}

}  // namespace hadal
