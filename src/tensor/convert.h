// Scalar conversions between float32 and the small formats, as pure bit arithmetic: constexpr, the same on
// every machine, in no need of hardware support. Kernels' vector code is tested against these.
//
// From float32 everything rounds to nearest, ties to even. What is too large becomes infinity in F16 and BF16
// (IEEE) and the largest finite value in F8_E4M3 and F8_E5M2 (infinity too: GPUs' "satfinite"). A NaN stays a
// NaN with its sign; its payload is not kept. Subnormals are kept in all formats, in both directions.
#pragma once

#include <bit>
#include <cstdint>

namespace hadal {

/// A brain float as it lies in memory. A type of its own, so that it is not taken for an integer.
struct BFloat16 {
  uint16_t bits = 0;
  friend constexpr bool operator==(BFloat16, BFloat16) = default;  // bitwise: NaN equals itself, 0 is not -0
};
/// An IEEE half as it lies in memory.
struct Float16 {
  uint16_t bits = 0;
  friend constexpr bool operator==(Float16, Float16) = default;
};
static_assert(sizeof(BFloat16) == 2 && sizeof(Float16) == 2);

namespace internal {

/// Bits of a float32 of the same value as a small float with sign, E exponent bits (bias 2^(E-1) - 1) and M
/// mantissa bits. Exponent all ones is not treated as special; callers handle infinity and NaN before.
template <int E, int M>
constexpr float widen(uint32_t code) {
  constexpr uint32_t kBias = (1u << (E - 1)) - 1;
  const uint32_t sign = (code >> (E + M)) << 31;
  const uint32_t exponent = (code >> M) & ((1u << E) - 1);
  const uint32_t mantissa = code & ((1u << M) - 1);
  if (exponent != 0)
    return std::bit_cast<float>(sign | ((exponent + 127 - kBias) << 23) | (mantissa << (23 - M)));
  if (mantissa == 0) return std::bit_cast<float>(sign);
  // subnormal: mantissa * 2^(1 - bias - M), normal in float32; the leading one becomes the hidden bit
  const auto top = static_cast<uint32_t>(31 - std::countl_zero(mantissa));
  const uint32_t fraction = (mantissa << (23 - top)) & 0x7FFFFFu;
  return std::bit_cast<float>(sign | ((top + 127 - kBias + 1 - M) << 23) | fraction);
}

/// The small float's magnitude (no sign) nearest to a finite float32, ties to even, exponents as far as they
/// carry: the caller compares with its largest finite code.
template <int E, int M>
constexpr uint32_t narrow_magnitude(uint32_t magnitude) {
  constexpr int kBias = (1 << (E - 1)) - 1;
  const int exponent = static_cast<int>(magnitude >> 23) - 127 + kBias;  // in the small format
  if (exponent >= 1) {
    const uint32_t rebased = magnitude - (static_cast<uint32_t>(127 - kBias) << 23);
    const uint32_t odd = (rebased >> (23 - M)) & 1;
    return (rebased + ((1u << (22 - M)) - 1) + odd) >> (23 - M);  // a carry moves into the exponent, rightly
  }
  // subnormal: count in units of 2^(1 - bias - M)
  const int shift = 24 - M - exponent;  // of the 24-bit significand (hidden bit included)
  if (shift > 25) return 0;             // under half a unit (and float32 subnormals)
  const uint32_t significand = (magnitude & 0x7FFFFFu) | 0x800000u;
  const uint32_t kept = significand >> shift;
  const uint32_t rest = significand & ((1u << shift) - 1);
  const uint32_t half = 1u << (shift - 1);
  return kept + ((rest > half || (rest == half && (kept & 1) != 0)) ? 1 : 0);
}

inline constexpr uint32_t kInfinityBits = 0x7F800000u;

}  // namespace internal

constexpr float to_float(BFloat16 value) { return std::bit_cast<float>(uint32_t{value.bits} << 16); }

constexpr BFloat16 bfloat16_from_float(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFFu) > internal::kInfinityBits) return {static_cast<uint16_t>((bits >> 16) | 0x0040u)};
  return {static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1)) >> 16)};
}

constexpr float to_float(Float16 value) {
  if ((value.bits & 0x7C00u) == 0x7C00u) {
    const uint32_t sign = (value.bits & 0x8000u) << 16;
    const uint32_t mantissa = value.bits & 0x3FFu;
    return std::bit_cast<float>(sign | internal::kInfinityBits | (mantissa << 13) |
                                (mantissa != 0 ? 0x400000u : 0));
  }
  return internal::widen<5, 10>(value.bits);
}

constexpr Float16 float16_from_float(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > internal::kInfinityBits) return {static_cast<uint16_t>(sign | 0x7E00u)};
  const uint32_t code = magnitude >= 0x47800000u ? 0x7C00u : internal::narrow_magnitude<5, 10>(magnitude);
  return {static_cast<uint16_t>(sign | code)};
}

/// F8_E4M3 (e4m3fn): exponent all ones is an ordinary exponent except for the one NaN code.
constexpr float e4m3_to_float(uint8_t code) {
  if ((code & 0x7Fu) == 0x7Fu) return std::bit_cast<float>((uint32_t{code} >> 7 << 31) | 0x7FC00000u);
  return internal::widen<4, 3>(code);
}

constexpr uint8_t e4m3_from_float(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = bits >> 31 << 7;
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > internal::kInfinityBits) return static_cast<uint8_t>(sign | 0x7Fu);
  if (magnitude >= 0x43E00000u) return static_cast<uint8_t>(sign | 0x7Eu);  // >= 448, infinity too
  return static_cast<uint8_t>(sign | internal::narrow_magnitude<4, 3>(magnitude));
}

constexpr float e5m2_to_float(uint8_t code) { return to_float(Float16{static_cast<uint16_t>(code << 8)}); }

constexpr uint8_t e5m2_from_float(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = bits >> 31 << 7;
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > internal::kInfinityBits) return static_cast<uint8_t>(sign | 0x7Fu);
  if (magnitude >= 0x47600000u) return static_cast<uint8_t>(sign | 0x7Bu);  // >= 57344, infinity too
  return static_cast<uint8_t>(sign | internal::narrow_magnitude<5, 2>(magnitude));
}

/// F8_E8M0: a power of two. Code 0 is 2^-127, a float32 subnormal.
constexpr float e8m0_to_float(uint8_t code) {
  if (code == 0xFFu) return std::bit_cast<float>(0x7FC00000u);
  return std::bit_cast<float>(code == 0 ? 0x00400000u : uint32_t{code} << 23);
}

/// The nearest power of two (1.5 * 2^n goes up); 2^-127 for 0 and all below, 2^127 for all above. NaN,
/// infinity and negative values: NaN.
constexpr uint8_t e8m0_from_float(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if (bits == 0x80000000u) return 0;
  if (bits >= internal::kInfinityBits) return 0xFFu;
  const uint32_t exponent = bits >> 23;
  if (exponent == 0) return bits >= 0x00600000u ? 1 : 0;  // 1.5 * 2^-127 and above
  const uint32_t code = exponent + ((bits & 0x400000u) != 0 ? 1 : 0);
  return static_cast<uint8_t>(code < 0xFEu ? code : 0xFEu);
}

/// The smallest power of two that is not below `value`: 2^ceil(log2 v), the ue8m0 scale rule (specs, 3.1).
/// Same edges.
constexpr uint8_t e8m0_ceil_from_float(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if (bits == 0x80000000u) return 0;
  if (bits >= internal::kInfinityBits) return 0xFFu;
  const uint32_t exponent = bits >> 23;
  if (exponent == 0) return bits > 0x00400000u ? 1 : 0;
  const uint32_t code = exponent + ((bits & 0x7FFFFFu) != 0 ? 1 : 0);
  return static_cast<uint8_t>(code < 0xFEu ? code : 0xFEu);
}

}  // namespace hadal
