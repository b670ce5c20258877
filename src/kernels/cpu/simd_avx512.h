// Sixteen float lanes: AVX-512 F, BW, DQ, VL. Included by *_avx512.cc and *_avx512bf16.cc alone; see isa.h
// for why everything is inside the namespace (the includer names it, since the two are built with different
// flags).
#pragma once

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#ifndef HADAL_ISA
#define HADAL_ISA avx512
#endif
#define HADAL_INLINE static inline __attribute__((always_inline))

namespace hadal::cpu::HADAL_ISA {

typedef __m512 VF;
typedef __m512i VI;

enum { kLanes = 16, kTileRows = 6, kTileCols = 4, kWide = 16 };

struct Bf16 {
  uint16_t bits;
};
struct F16 {
  uint16_t bits;
};

HADAL_INLINE VF zero() { return _mm512_setzero_ps(); }
HADAL_INLINE VF set1(float v) { return _mm512_set1_ps(v); }
HADAL_INLINE VI set1_int(int32_t v) { return _mm512_set1_epi32(v); }
HADAL_INLINE VI as_int(VF v) { return _mm512_castps_si512(v); }
HADAL_INLINE VF as_float(VI v) { return _mm512_castsi512_ps(v); }

HADAL_INLINE VF add(VF a, VF b) { return _mm512_add_ps(a, b); }
HADAL_INLINE VF sub(VF a, VF b) { return _mm512_sub_ps(a, b); }
HADAL_INLINE VF mul(VF a, VF b) { return _mm512_mul_ps(a, b); }
HADAL_INLINE VF div(VF a, VF b) { return _mm512_div_ps(a, b); }
HADAL_INLINE VF fma(VF a, VF b, VF c) { return _mm512_fmadd_ps(a, b, c); }
HADAL_INLINE VF max(VF a, VF b) { return _mm512_max_ps(a, b); }  // b if either is NaN
HADAL_INLINE VF min(VF a, VF b) { return _mm512_min_ps(a, b); }
HADAL_INLINE VI add(VI a, VI b) { return _mm512_add_epi32(a, b); }
HADAL_INLINE VI sub(VI a, VI b) { return _mm512_sub_epi32(a, b); }
HADAL_INLINE VI bit_and(VI a, VI b) { return _mm512_and_si512(a, b); }
HADAL_INLINE VI bit_or(VI a, VI b) { return _mm512_or_si512(a, b); }
HADAL_INLINE VF where_equal(VI a, VI b, VF yes, VF no) {
  return _mm512_mask_mov_ps(no, _mm512_cmpeq_epi32_mask(a, b), yes);
}
HADAL_INLINE VF to_float(VI a) { return _mm512_cvtepi32_ps(a); }
HADAL_INLINE VI shift_left(VI a, unsigned bits) { return _mm512_slli_epi32(a, bits); }
HADAL_INLINE VI shift_right(VI a, unsigned bits) { return _mm512_srai_epi32(a, bits); }
HADAL_INLINE VI lane_ids() { return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }
/// v where first <= id < last, else `other`.
HADAL_INLINE VF keep_range(VF v, VI id, int32_t first, int32_t last, VF other) {
  const __mmask16 inside =
      _mm512_cmpge_epi32_mask(id, set1_int(first)) & _mm512_cmplt_epi32_mask(id, set1_int(last));
  return _mm512_mask_mov_ps(other, inside, v);
}

HADAL_INLINE __mmask16 mask_n(int n) { return static_cast<__mmask16>((1u << n) - 1); }
HADAL_INLINE VF load(const float* p) { return _mm512_loadu_ps(p); }
HADAL_INLINE void store(float* p, VF v) { _mm512_storeu_ps(p, v); }
HADAL_INLINE VF load_n(const float* p, int n) { return _mm512_maskz_loadu_ps(mask_n(n), p); }
HADAL_INLINE void store_n(float* p, VF v, int n) { _mm512_mask_storeu_ps(p, mask_n(n), v); }

HADAL_INLINE __m256i load_halves(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
HADAL_INLINE __m256i load_halves_n(const void* p, int n) { return _mm256_maskz_loadu_epi16(mask_n(n), p); }
HADAL_INLINE VF widen_bf16(__m256i h) { return as_float(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16)); }
HADAL_INLINE VF load(const Bf16* p) { return widen_bf16(load_halves(p)); }
HADAL_INLINE VF load_n(const Bf16* p, int n) { return widen_bf16(load_halves_n(p, n)); }
HADAL_INLINE VF load(const F16* p) { return _mm512_cvtph_ps(load_halves(p)); }
HADAL_INLINE VF load_n(const F16* p, int n) { return _mm512_cvtph_ps(load_halves_n(p, n)); }
HADAL_INLINE VI load_bytes(const uint8_t* p) {
  return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}

/// Bits of v rounded to bfloat16, in the upper half of each lane; the lower half is not cleared. By integers:
/// the instruction of AVX512-BF16 flushes subnormals.
HADAL_INLINE VI round_bf16(VF v) {
  const VI bits = as_int(v);
  const VI odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), set1_int(1));
  const VI rounded = add(add(bits, set1_int(0x7FFF)), odd);
  return _mm512_mask_or_epi32(rounded, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), bits, set1_int(0x400000));
}
HADAL_INLINE void store_upper(Bf16* p, VI bits) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(_mm512_srli_epi32(bits, 16)));
}
HADAL_INLINE void store(Bf16* p, VF v) { store_upper(p, round_bf16(v)); }

/// kLanes rows of up to 8 words, `pitch` words apart: out[w] holds word w of each row.
HADAL_INLINE void load_transposed(const int32_t* p, int64_t pitch, int words, VI* out) {
  const __mmask8 mask = static_cast<__mmask8>((1u << words) - 1);
  VI r[8], t[8];
  for (int i = 0; i < 8; ++i) {  // rows i and i + 8, side by side
    const __m256i upper = _mm256_maskz_loadu_epi32(mask, p + (i + 8) * pitch);
    r[i] =
        _mm512_inserti32x8(_mm512_castsi256_si512(_mm256_maskz_loadu_epi32(mask, p + i * pitch)), upper, 1);
  }
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int h = 0; h < 2; ++h) {  // rows 4h .. 4h + 3 and those + 8: r[4h + w] holds their words w and w + 4
    r[4 * h] = _mm512_unpacklo_epi64(t[4 * h], t[4 * h + 2]);
    r[4 * h + 1] = _mm512_unpackhi_epi64(t[4 * h], t[4 * h + 2]);
    r[4 * h + 2] = _mm512_unpacklo_epi64(t[4 * h + 1], t[4 * h + 3]);
    r[4 * h + 3] = _mm512_unpackhi_epi64(t[4 * h + 1], t[4 * h + 3]);
  }
  const VI even = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13),
           odd = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
  for (int w = 0; w < 4; ++w) {
    out[w] = _mm512_permutex2var_epi64(r[w], even, r[4 + w]);
    out[w + 4] = _mm512_permutex2var_epi64(r[w], odd, r[4 + w]);
  }
}

/// The 16 values that a 4-bit code of one column can have.
struct Codebook {
  VF values;
};
HADAL_INLINE Codebook codebook(float zero_point, float factor) {
  return {mul(sub(_mm512_cvtepi32_ps(lane_ids()), set1(zero_point)), set1(factor))};
}
HADAL_INLINE void round_to(const Bf16*, Codebook& book) { book.values = as_float(round_bf16(book.values)); }
HADAL_INLINE void round_to(const float*, Codebook&) {}
/// What decode() gives after round_to.
HADAL_INLINE void store_decoded(Bf16* p, VF v) { store_upper(p, as_int(v)); }
HADAL_INLINE void store_decoded(float* p, VF v) { store(p, v); }
/// Of the lowest four bits of each lane.
HADAL_INLINE VF decode(VI codes, const Codebook& book) { return _mm512_permutexvar_ps(codes, book.values); }

/// Eight doubles from as many floats. gcc 12 converts such vectors element by element unless told how.
typedef double VD __attribute__((vector_size(64)));
HADAL_INLINE VD doubles(const float* p) { return _mm512_cvtps_pd(_mm256_loadu_ps(p)); }
HADAL_INLINE VD doubles(const double* p) {
  VD v;
  memcpy(&v, p, sizeof(v));
  return v;
}
HADAL_INLINE VD doubles(const Bf16* p) {
  const __m256i bits = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  return _mm512_cvtps_pd(_mm256_castsi256_ps(_mm256_slli_epi32(bits, 16)));
}
HADAL_INLINE VD doubles(const F16* p) {
  return _mm512_cvtps_pd(_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
HADAL_INLINE VD fma(VD a, VD b, VD c) { return _mm512_fmadd_pd(a, b, c); }

/// Sums of four vectors, each by the same tree.
HADAL_INLINE void sum4(VF a, VF b, VF c, VF d, float* out) {
  const VF ab = add(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
  const VF cd = add(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
  const VF all = add(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xEE));
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
  _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
}
HADAL_INLINE float sum(VF a) {
  float out[4];
  sum4(a, a, a, a, out);
  return out[0];
}
HADAL_INLINE float max_of(VF a) { return _mm512_reduce_max_ps(a); }

/// Into the second level, without displacing what the first holds.
HADAL_INLINE void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }

}  // namespace hadal::cpu::HADAL_ISA
