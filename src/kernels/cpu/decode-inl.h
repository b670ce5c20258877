// Body of the decoders of quantised weights (isa.h), for the instruction set whose simd header was included
// before. Values: specs 3.1 (FP8: code * scale) and 3.3 (AWQ: (q - z) * s), in float32, rounded once where
// BF16 is asked for.
#pragma once

#include HADAL_SIMD_HEADER

#include "kernels/cpu/fp8-inl.h"
#include "kernels/cpu/isa.h"

namespace hadal::cpu::HADAL_ISA {
namespace {

HADAL_INLINE void store_as(int32_t elem, void* to, int64_t at, VF v) {
  if (elem == kElemBF16) {
    store(static_cast<Bf16*>(to) + at, v);
  } else {
    store(static_cast<float*>(to) + at, v);
  }
}

void decode_fp8(const uint8_t* codes, float scale, void* to, int32_t elem, int64_t n) {
  const E4m3* from = reinterpret_cast<const E4m3*>(codes);
  const VF f = set1(scale);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store_as(elem, to, i, mul(load(from + i), f));
  if (i == n) return;
  float values[kLanes];  // BF16 in its first half
  store_as(elem, values, 0, mul(load_n(from + i, static_cast<int>(n - i)), f));
  const size_t size = elem == kElemBF16 ? 2 : 4;
  memcpy(static_cast<char*>(to) + static_cast<size_t>(i) * size, values, static_cast<size_t>(n - i) * size);
}

HADAL_INLINE float half_to_float(uint16_t bits) {
  F16 halves[kLanes] = {{bits}};
  float values[kLanes];
  store(values, load(halves));
  return values[0];
}

/// Nibble i of a word is the column's lane kOrder[i] of 8.
constexpr int kAwqOrder[8] = {0, 2, 4, 6, 1, 3, 5, 7};

/// kLanes steps of k of one word column: 8 rows of out.
HADAL_INLINE void awq_step(const AwqArgs* a, int64_t word, int64_t k, int n, const float* zeros,
                           const float* scales, int64_t at) {
  int32_t words[kLanes] = {};
  const int64_t pitch = a->rows / 8;
  for (int i = 0; i < n; ++i) words[i] = a->qweight[(k + i) * pitch + word];
  VI packed;
  memcpy(&packed, words, sizeof(packed));
  for (int nibble = 0; nibble < 8; ++nibble) {
    const int lane = kAwqOrder[nibble];
    const VF q = to_float(bit_and(packed, set1_int(15)));
    packed = shift_right(packed, 4);
    const VF value = mul(sub(q, set1(zeros[lane])), set1(scales[lane]));
    const int64_t to = (at + lane) * a->ldo + k - a->k0;
    if (n == kLanes) {
      store_as(a->out_elem, a->out, to, value);
    } else {
      float values[kLanes];
      store_as(a->out_elem, values, 0, value);
      const size_t size = a->out_elem == kElemBF16 ? 2 : 4;
      memcpy(static_cast<char*>(a->out) + static_cast<size_t>(to) * size, values,
             static_cast<size_t>(n) * size);
    }
  }
}

void decode_awq(const AwqArgs* a) {
  for (int64_t at = 0; at < a->n; at += 8) {
    const int64_t word = (a->n0 + at) / 8;
    for (int64_t k = a->k0; k < a->k0 + a->k;) {
      const int64_t group = k / a->group;
      int64_t end = (group + 1) * a->group;
      if (end > a->k0 + a->k) end = a->k0 + a->k;
      const uint32_t packed = static_cast<uint32_t>(a->zeros[group * (a->rows / 8) + word]);
      float zeros[8], scales[8];
      for (int i = 0; i < 8; ++i) {
        zeros[kAwqOrder[i]] = static_cast<float>(packed >> (4 * i) & 15);
        scales[i] = half_to_float(a->scales[group * a->rows + word * 8 + i]);
      }
      for (; k < end; k += kLanes) {
        const int n = end - k < kLanes ? static_cast<int>(end - k) : static_cast<int>(kLanes);
        awq_step(a, word, k, n, zeros, scales, at);
        if (n < kLanes) k = end - kLanes;
      }
    }
  }
}

}  // namespace
}  // namespace hadal::cpu::HADAL_ISA

#define HADAL_DECODE_TABLE(isa) \
  { &isa::decode_awq, &isa::decode_fp8 }
