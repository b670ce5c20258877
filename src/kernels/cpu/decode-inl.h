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

/// The columns of 8 words at most, of one group along k.
struct AwqGroup {
  Codebook books[8][8];  // [word][nibble]
};

void load_group(const AwqArgs* a, int64_t group, int64_t word0, int words, AwqGroup* out) {
  for (int w = 0; w < words; ++w) {
    const uint32_t packed = static_cast<uint32_t>(a->zeros[group * (a->rows / 8) + word0 + w]);
    for (int nibble = 0; nibble < 8; ++nibble) {
      const float zero_point = static_cast<float>(packed >> (4 * nibble) & 15);
      const float factor = half_to_float(a->scales[group * a->rows + (word0 + w) * 8 + kAwqOrder[nibble]]);
      float values[16];
      for (int q = 0; q < 16; ++q) values[q] = (static_cast<float>(q) - zero_point) * factor;
      out->books[w][nibble] = codebook(values, zero_point, factor);
    }
  }
}

/// `n` (<= kLanes) steps of k from k of words word0 ...: 8 * words rows of out from row `at`.
HADAL_INLINE void awq_step(const AwqArgs* a, const AwqGroup* group, int64_t word0, int words, int64_t k,
                           int n, int64_t at) {
  const int64_t pitch = a->rows / 8;
  const int32_t* from = a->qweight + k * pitch + word0;
  VI packed[8];
  int32_t copy[kLanes * 8];
  if (n < kLanes) {
    for (int i = 0; i < kLanes * 8; ++i)
      copy[i] = i / 8 < n && i % 8 < words ? from[i / 8 * pitch + i % 8] : 0;
    load_transposed(copy, 8, 8, packed);
  } else {
    load_transposed(from, pitch, words, packed);
  }
  for (int w = 0; w < words; ++w) {
    VI codes = packed[w];
    for (int nibble = 0; nibble < 8; ++nibble) {
      const VF value = decode(codes, group->books[w][nibble]);
      codes = shift_right(codes, 4);
      const int64_t to = (at + 8 * w + kAwqOrder[nibble]) * a->ldo + k - a->k0;
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
}

void decode_awq(const AwqArgs* a) {
  AwqGroup columns;
  for (int64_t at = 0; at < a->n; at += 64) {
    const int64_t word0 = (a->n0 + at) / 8;
    const int words = a->n - at < 64 ? static_cast<int>((a->n - at) / 8) : 8;
    for (int64_t k = a->k0; k < a->k0 + a->k;) {
      const int64_t group = k / a->group;
      int64_t end = (group + 1) * a->group;
      if (end > a->k0 + a->k) end = a->k0 + a->k;
      load_group(a, group, word0, words, &columns);
      for (; k + kLanes <= end; k += kLanes) awq_step(a, &columns, word0, words, k, kLanes, at);
      if (k < end) awq_step(a, &columns, word0, words, k, static_cast<int>(end - k), at);
      k = end;
    }
  }
}

}  // namespace
}  // namespace hadal::cpu::HADAL_ISA

#define HADAL_DECODE_TABLE(isa) \
  { &isa::decode_awq, &isa::decode_fp8 }
