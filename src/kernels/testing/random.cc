#include "kernels/testing/random.h"

#include <vector>

#include "kernels/ref/elements.h"

namespace hadal::testing {

uint64_t Random::next() {
  state_ ^= state_ >> 12;
  state_ ^= state_ << 25;
  state_ ^= state_ >> 27;
  return state_ * 0x2545F4914F6CDD1Du;
}

float Random::signed_unit() { return static_cast<float>(next() >> 40) * 0x1p-23f - 1.0f; }

float Random::normal() {
  // A table of values: cases are filled with many millions of them.
  static const std::vector<float> kValues = [] {
    Random random(1);
    std::vector<float> values(1 << 16);
    for (float& value : values) {
      for (int i = 0; i < 6; ++i) value += random.signed_unit();
      value *= 0.70710678f;  // six uniforms on [-1, 1) have variance 2
    }
    return values;
  }();
  return kValues[next() >> 48];
}

void fill_normal(Random& random, DType dtype, void* data, int64_t count, float deviation) {
  for (int64_t i = 0; i < count; ++i) ref::store(dtype, data, i, random.normal() * deviation);
}

void fill_bits(Random& random, void* data, int64_t bytes) {
  for (int64_t i = 0; i < bytes; ++i) ref::store_bytes(data, i, static_cast<uint8_t>(random.next() >> 56));
}

}  // namespace hadal::testing
