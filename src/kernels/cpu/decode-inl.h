// Body of the decoders of quantised weights (isa.h), for the instruction set whose simd header was included
// before. Values: specs 3.1 (FP8: code * scale) and 3.3 (AWQ: (q - z) * s), in float32, rounded once where
// BF16 is asked for.
#pragma once

#include HADAL_SIMD_HEADER

#include "kernels/cpu/fp8-inl.h"
#include "kernels/cpu/isa.h"

namespace hadal::cpu::HADAL_ISA {
namespace {

template <typename Out>
HADAL_INLINE void decode_fp8_to(const E4m3* from, float scale, Out* to, int64_t n) {
  const VF f = set1(scale);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(to + i, mul(load(from + i), f));
  if (i == n) return;
  Out values[kLanes];
  store(values, mul(load_n(from + i, static_cast<int>(n - i)), f));
  memcpy(to + i, values, static_cast<size_t>(n - i) * sizeof(Out));
}

void decode_fp8(const uint8_t* codes, float scale, void* to, int32_t elem, int64_t n) {
  const E4m3* from = reinterpret_cast<const E4m3*>(codes);
  if (elem == kElemBF16) return decode_fp8_to(from, scale, static_cast<Bf16*>(to), n);
  decode_fp8_to(from, scale, static_cast<float*>(to), n);
}

/// Nibble i of a word is the column's lane kOrder[i] of 8.
constexpr int kAwqOrder[8] = {0, 2, 4, 6, 1, 3, 5, 7};

/// The columns of 8 words at most, of one group along k.
struct AwqGroup {
  Codebook books[8][8];  // [word][nibble]
};

template <typename Out>
void load_group(const AwqArgs* a, int64_t group, int64_t word0, int words, AwqGroup* out) {
  float scales[64];
  const F16* halves = reinterpret_cast<const F16*>(a->scales + group * a->rows + word0 * 8);
  int i = 0;
  for (; i + kLanes <= 8 * words; i += kLanes) store(scales + i, load(halves + i));
  if (i < 8 * words) store(scales + i, load_n(halves + i, 8 * words - i));
  for (int w = 0; w < words; ++w) {
    const uint32_t packed = static_cast<uint32_t>(a->zeros[group * (a->rows / 8) + word0 + w]);
    for (int nibble = 0; nibble < 8; ++nibble) {
      const float zero_point = static_cast<float>(packed >> (4 * nibble) & 15);
      Codebook book = codebook(zero_point, scales[8 * w + kAwqOrder[nibble]]);
      round_to(static_cast<const Out*>(nullptr), book);
      out->books[w][nibble] = book;
    }
  }
}

/// `n` (<= kLanes) steps of k from k of words word0 ...: 8 * words rows of out from row `at`.
template <typename Out>
HADAL_INLINE void awq_step(const AwqArgs* a, const AwqGroup* group, int64_t word0, int words, int64_t k,
                           int n, int64_t at) {
  const int64_t pitch = a->rows / 8;
  const int32_t* from = a->qweight + k * pitch + word0;
  Out* to = static_cast<Out*>(a->out) + at * a->ldo + k - a->k0;
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
      Out* row = to + (8 * w + kAwqOrder[nibble]) * a->ldo;
      if (n == kLanes) {
        store_decoded(row, value);
      } else {
        Out values[kLanes];
        store_decoded(values, value);
        memcpy(row, values, static_cast<size_t>(n) * sizeof(Out));
      }
    }
  }
}

template <typename Out>
void decode_awq_to(const AwqArgs* a) {
  AwqGroup columns;
  for (int64_t at = 0; at < a->n; at += 64) {
    const int64_t word0 = (a->n0 + at) / 8;
    const int words = a->n - at < 64 ? static_cast<int>((a->n - at) / 8) : 8;
    for (int64_t k = a->k0; k < a->k0 + a->k;) {
      const int64_t group = k / a->group;
      int64_t end = (group + 1) * a->group;
      if (end > a->k0 + a->k) end = a->k0 + a->k;
      load_group<Out>(a, group, word0, words, &columns);
      for (; k + kLanes <= end; k += kLanes) awq_step<Out>(a, &columns, word0, words, k, kLanes, at);
      if (k < end) awq_step<Out>(a, &columns, word0, words, k, static_cast<int>(end - k), at);
      k = end;
    }
  }
}

void decode_awq(const AwqArgs* a) {
  if (a->out_elem == kElemBF16) return decode_awq_to<Bf16>(a);
  decode_awq_to<float>(a);
}

}  // namespace
}  // namespace hadal::cpu::HADAL_ISA

#define HADAL_DECODE_TABLE(isa) \
  { &isa::decode_awq, &isa::decode_fp8 }
