// Random contents of buffers for kernel tests: the same on every machine for the same seed.
#pragma once

#include <cstdint>

#include "kernels/api/types.h"

namespace hadal::testing {

/// xorshift64*; small, and not the standard library's, whose distributions differ between implementations.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u + 0xD1B54A32D192ED03u) {}
  uint64_t next();
  /// In [0, bound).
  int64_t below(int64_t bound) { return static_cast<int64_t>(next() % static_cast<uint64_t>(bound)); }
  /// In [-1, 1).
  float signed_unit();
  /// About normal, deviation 1 (a sum of uniform values), never beyond 6.
  float normal();

 private:
  uint64_t state_;
};

/// `count` elements of dtype F32, BF16, F16, F8_E4M3 or F8_E5M2: normal values times `deviation`, rounded.
void fill_normal(Random& random, DType dtype, void* data, int64_t count, float deviation);

/// Random bits (packed integers).
void fill_bits(Random& random, void* data, int64_t bytes);

}  // namespace hadal::testing
