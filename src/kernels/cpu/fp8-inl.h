// Loads of 8-bit floats, for the instruction set that HADAL_SIMD_HEADER names.
#pragma once

#include HADAL_SIMD_HEADER

namespace hadal::cpu::HADAL_ISA {

struct E4m3 {
  uint8_t bits;
};
struct E5m2 {
  uint8_t bits;
};

/// Exponent and mantissa moved into place, times 2^120 (right for subnormals too). 0x7F and 0xFF are NaN.
HADAL_INLINE VF load(const E4m3* p) {
  const VI code = load_bytes(&p->bits);
  const VI magnitude = bit_and(code, set1_int(0x7F));
  const VF value = mul(as_float(shift_left(magnitude, 20)), set1(1.329227995784916e36f));
  const VF number = where_equal(magnitude, set1_int(0x7F), as_float(set1_int(0x7FC00000)), value);
  return as_float(bit_or(as_int(number), shift_left(bit_and(code, set1_int(0x80)), 24)));
}
/// The upper byte of a half.
HADAL_INLINE VF load(const E5m2* p) {
  F16 halves[kLanes];
  for (int i = 0; i < kLanes; ++i) halves[i].bits = static_cast<uint16_t>(p[i].bits << 8);
  return load(halves);
}
template <typename Byte>
HADAL_INLINE VF load_bytes_n(const Byte* p, int n) {
  Byte buffer[kLanes] = {};
  for (int i = 0; i < n; ++i) buffer[i] = p[i];
  return load(buffer);
}
HADAL_INLINE VF load_n(const E4m3* p, int n) { return load_bytes_n(p, n); }
HADAL_INLINE VF load_n(const E5m2* p, int n) { return load_bytes_n(p, n); }

}  // namespace hadal::cpu::HADAL_ISA
