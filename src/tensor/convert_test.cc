#include "tensor/convert.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <vector>

#include "tensor/dtype.h"

namespace hadal {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

/// The value of a small float by its definition, in double arithmetic that shares nothing with convert.h.
double by_definition(int exponent_bits, int mantissa_bits, unsigned code) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const unsigned sign = code >> (exponent_bits + mantissa_bits);
  const int exponent = static_cast<int>((code >> mantissa_bits) & ((1u << exponent_bits) - 1));
  const double mantissa = code & ((1u << mantissa_bits) - 1);
  const double one = std::ldexp(1.0, mantissa_bits);
  const double value =
      exponent == 0 ? std::ldexp(mantissa / one, 1 - bias) : std::ldexp(1 + mantissa / one, exponent - bias);
  return sign != 0 ? -value : value;
}

/// Nearest of the format's finite magnitudes (ascending codes 0..max), ties to the even code: a table search.
unsigned nearest_code(const std::vector<double>& magnitudes, double value) {
  const double v = std::fabs(value);
  if (v >= magnitudes.back()) return static_cast<unsigned>(magnitudes.size() - 1);
  const auto above = std::upper_bound(magnitudes.begin(), magnitudes.end(), v);
  const auto hi = static_cast<unsigned>(above - magnitudes.begin());
  const unsigned lo = hi - 1;
  const double down = v - magnitudes[lo], up = magnitudes[hi] - v;
  if (down != up) return down < up ? lo : hi;
  return lo % 2 == 0 ? lo : hi;
}

std::vector<double> magnitudes(int exponent_bits, int mantissa_bits, unsigned last) {
  std::vector<double> all;
  for (unsigned code = 0; code <= last; ++code)
    all.push_back(by_definition(exponent_bits, mantissa_bits, code));
  return all;
}

/// Floats that stand on, just under and just over every value and midpoint of the format, and many random
/// ones.
std::vector<float> probes(const std::vector<double>& values) {
  std::vector<float> out = {
      0.0f,   -0.0f, std::numeric_limits<float>::denorm_min(), std::numeric_limits<float>::max(),
      1e-39f, 1e-30f};
  for (size_t i = 0; i + 1 < values.size(); ++i) {
    for (double v : {values[i], (values[i] + values[i + 1]) / 2, values[i + 1]}) {
      const auto f = static_cast<float>(v);
      out.insert(out.end(), {f, std::nextafter(f, kInf), std::nextafter(f, -kInf)});
    }
  }
  std::mt19937 random(1);
  for (int i = 0; i < 200000; ++i) out.push_back(std::bit_cast<float>(static_cast<uint32_t>(random())));
  return out;
}

TEST(Convert, EveryFloat16IsItsDefinition) {
  for (unsigned code = 0; code < 65536; ++code) {
    const float got = to_float(Float16{static_cast<uint16_t>(code)});
    const unsigned exponent = code >> 10 & 31, mantissa = code & 1023;
    if (exponent == 31) {
      EXPECT_EQ(std::isnan(got), mantissa != 0) << code;
      if (mantissa == 0) {
        EXPECT_EQ(got, code >> 15 ? -kInf : kInf);
      }
      continue;
    }
    ASSERT_EQ(got, by_definition(5, 10, code)) << code;
    ASSERT_EQ(std::signbit(got), code >> 15 != 0) << code;
    ASSERT_EQ(float16_from_float(got).bits, code);
  }
}

TEST(Convert, Float16RoundsToNearestEven) {
  std::vector<double> values = magnitudes(5, 10, 0x7BFF);
  values.push_back(65536.0);  // where infinity begins: 65520, half way, goes up to it
  for (float f : probes(values)) {
    if (std::isnan(f)) continue;
    const unsigned want = nearest_code(values, f) | (std::signbit(f) ? 0x8000u : 0u);
    ASSERT_EQ(float16_from_float(f).bits, want) << f;
  }
  EXPECT_EQ(float16_from_float(65519.99f).bits, 0x7BFF);
  EXPECT_EQ(float16_from_float(65520.0f).bits, 0x7C00);
  EXPECT_EQ(float16_from_float(-kInf).bits, 0xFC00);
  EXPECT_TRUE(std::isnan(to_float(float16_from_float(kNan))));
  EXPECT_TRUE(std::isnan(to_float(float16_from_float(std::bit_cast<float>(0xFF800001u)))));
}

TEST(Convert, BFloat16) {
  for (unsigned code = 0; code < 65536; ++code) {
    const BFloat16 value{static_cast<uint16_t>(code)};
    const float got = to_float(value);
    if ((code & 0x7FFF) > 0x7F80) {
      ASSERT_TRUE(std::isnan(got) && std::isnan(to_float(bfloat16_from_float(got))));
      continue;
    }
    ASSERT_EQ(bfloat16_from_float(got).bits, code);
    if ((code & 0x7FFF) >= 0x7F7F) continue;
    // just below, on and above the midpoint to the next code
    const uint32_t middle = code << 16 | 0x8000u;
    ASSERT_EQ(bfloat16_from_float(std::bit_cast<float>(middle - 1)).bits, code);
    ASSERT_EQ(bfloat16_from_float(std::bit_cast<float>(middle)).bits, code + (code & 1));
    ASSERT_EQ(bfloat16_from_float(std::bit_cast<float>(middle + 1)).bits, code + 1);
  }
  EXPECT_EQ(bfloat16_from_float(std::numeric_limits<float>::max()).bits, 0x7F80);  // overflows to infinity
  EXPECT_EQ(to_float(bfloat16_from_float(-kInf)), -kInf);
}

TEST(Convert, E4M3) {
  for (unsigned code = 0; code < 256; ++code) {
    const float got = e4m3_to_float(static_cast<uint8_t>(code));
    if ((code & 0x7F) == 0x7F) {
      EXPECT_TRUE(std::isnan(got));
    } else {
      EXPECT_EQ(got, by_definition(4, 3, code)) << code;
    }
    EXPECT_EQ(std::signbit(got), code >> 7 != 0);
    EXPECT_EQ(e4m3_from_float(got), code);
  }
  const std::vector<double> values = magnitudes(4, 3, 0x7E);
  EXPECT_EQ(values.back(), 448.0);
  for (float f : probes(values)) {
    if (std::isnan(f)) continue;
    ASSERT_EQ(e4m3_from_float(f), nearest_code(values, f) | (std::signbit(f) ? 0x80u : 0u)) << f;
  }
  EXPECT_EQ(e4m3_from_float(kInf), 0x7E);
  EXPECT_EQ(e4m3_from_float(-1e30f), 0xFE);
}

TEST(Convert, E5M2) {
  for (unsigned code = 0; code < 256; ++code) {
    const float got = e5m2_to_float(static_cast<uint8_t>(code));
    if ((code & 0x7C) == 0x7C) {
      EXPECT_EQ(std::isnan(got), (code & 3) != 0);
      EXPECT_EQ(std::isinf(got), (code & 3) == 0);
      continue;
    }
    EXPECT_EQ(got, by_definition(5, 2, code)) << code;
    EXPECT_EQ(e5m2_from_float(got), code);
  }
  const std::vector<double> values = magnitudes(5, 2, 0x7B);
  EXPECT_EQ(values.back(), 57344.0);
  for (float f : probes(values)) {
    if (std::isnan(f)) continue;
    ASSERT_EQ(e5m2_from_float(f), nearest_code(values, f) | (std::signbit(f) ? 0x80u : 0u)) << f;
  }
  EXPECT_TRUE(std::isnan(e5m2_to_float(e5m2_from_float(kNan))));
}

TEST(Convert, E8M0) {
  for (unsigned code = 0; code < 255; ++code) {
    const float got = e8m0_to_float(static_cast<uint8_t>(code));
    EXPECT_EQ(got, std::ldexp(1.0, static_cast<int>(code) - 127));
    EXPECT_EQ(e8m0_from_float(got), code);
    EXPECT_EQ(e8m0_ceil_from_float(got), code);
    if (code == 254) continue;
    EXPECT_EQ(e8m0_from_float(static_cast<float>(got * 1.49)), code);
    EXPECT_EQ(e8m0_from_float(static_cast<float>(got * 1.5)), code + 1);
    EXPECT_EQ(e8m0_ceil_from_float(std::nextafter(got, kInf)), code + 1);
  }
  EXPECT_TRUE(std::isnan(e8m0_to_float(255)));
  for (auto convert : {e8m0_from_float, e8m0_ceil_from_float}) {
    EXPECT_EQ(convert(kNan), 255);
    EXPECT_EQ(convert(kInf), 255);
    EXPECT_EQ(convert(-1.0f), 255);
    EXPECT_EQ(convert(0.0f), 0);
    EXPECT_EQ(convert(-0.0f), 0);
    EXPECT_EQ(convert(std::numeric_limits<float>::max()), 254);
  }
}

/// Bytes of a real checkpoint with their published values (specs/deepseek.md, 3.2).
TEST(Convert, PublishedFp8Vector) {
  const uint8_t bytes[] = {0xd8, 0x71, 0xf2, 0x79};
  const float want[] = {-.00390625f, .03515625f, -.0390625f, .0703125f};
  for (int i = 0; i < 4; ++i) EXPECT_EQ(e4m3_to_float(bytes[i]) * e8m0_to_float(0x73), want[i]);
}

TEST(DType, NamesParseBack) {
  int64_t bytes = 0;
  for (int i = 0; i < kDTypeCount; ++i) {
    const auto dtype = static_cast<DType>(i);
    EXPECT_EQ(parse_dtype(dtype_name(dtype)), dtype);
    EXPECT_EQ(bits_of(dtype), 8 * bytes_of(dtype));
    bytes += bytes_of(dtype);
  }
  EXPECT_EQ(bytes, 4 + 2 + 2 + 1 + 1 + 1 + 1 + 1 + 4 + 8 + 1);
  EXPECT_EQ(parse_dtype("f32"), std::nullopt);
  EXPECT_EQ(parse_dtype(""), std::nullopt);
  static_assert(parse_dtype("F8_E4M3") == DType::kF8E4M3 && is_floating(DType::kF8E8M0) &&
                !is_floating(DType::kI8));
  static_assert(e4m3_to_float(0x7E) == 448.0f && float16_from_float(1.0f).bits == 0x3C00);
}

}  // namespace
}  // namespace hadal
