// Eight float lanes: AVX2, FMA, F16C. Included by *_avx2.cc alone; see isa.h for why everything is inside the
// namespace.
#pragma once

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define HADAL_ISA avx2
#define HADAL_INLINE static inline __attribute__((always_inline))

namespace hadal::cpu::avx2 {

typedef __m256 VF;
typedef __m256i VI;

enum { kLanes = 8, kTileRows = 3, kTileCols = 4, kWide = 8 };

struct Bf16 {
  uint16_t bits;
};
struct F16 {
  uint16_t bits;
};

HADAL_INLINE VF zero() { return _mm256_setzero_ps(); }
HADAL_INLINE VF set1(float v) { return _mm256_set1_ps(v); }
HADAL_INLINE VI set1_int(int32_t v) { return _mm256_set1_epi32(v); }
HADAL_INLINE VI as_int(VF v) { return _mm256_castps_si256(v); }
HADAL_INLINE VF as_float(VI v) { return _mm256_castsi256_ps(v); }

HADAL_INLINE VF add(VF a, VF b) { return _mm256_add_ps(a, b); }
HADAL_INLINE VF sub(VF a, VF b) { return _mm256_sub_ps(a, b); }
HADAL_INLINE VF mul(VF a, VF b) { return _mm256_mul_ps(a, b); }
HADAL_INLINE VF div(VF a, VF b) { return _mm256_div_ps(a, b); }
HADAL_INLINE VF fma(VF a, VF b, VF c) { return _mm256_fmadd_ps(a, b, c); }
HADAL_INLINE VF max(VF a, VF b) { return _mm256_max_ps(a, b); }  // b if either is NaN
HADAL_INLINE VF min(VF a, VF b) { return _mm256_min_ps(a, b); }
HADAL_INLINE VI add(VI a, VI b) { return _mm256_add_epi32(a, b); }
HADAL_INLINE VI sub(VI a, VI b) { return _mm256_sub_epi32(a, b); }
HADAL_INLINE VI bit_and(VI a, VI b) { return _mm256_and_si256(a, b); }
HADAL_INLINE VI bit_or(VI a, VI b) { return _mm256_or_si256(a, b); }
HADAL_INLINE VF where_equal(VI a, VI b, VF yes, VF no) {
  return _mm256_blendv_ps(no, yes, as_float(_mm256_cmpeq_epi32(a, b)));
}
HADAL_INLINE VF to_float(VI a) { return _mm256_cvtepi32_ps(a); }
HADAL_INLINE VI shift_left(VI a, int bits) { return _mm256_slli_epi32(a, bits); }
HADAL_INLINE VI shift_right(VI a, int bits) { return _mm256_srai_epi32(a, bits); }
HADAL_INLINE VI lane_ids() { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }
/// v where first <= id < last, else `other`.
HADAL_INLINE VF keep_range(VF v, VI id, int32_t first, int32_t last, VF other) {
  const VI below = _mm256_cmpgt_epi32(set1_int(first), id);
  const VI inside = _mm256_andnot_si256(below, _mm256_cmpgt_epi32(set1_int(last), id));
  return _mm256_blendv_ps(other, v, as_float(inside));
}

HADAL_INLINE VI mask_n(int n) { return _mm256_cmpgt_epi32(set1_int(n), lane_ids()); }
HADAL_INLINE VF load(const float* p) { return _mm256_loadu_ps(p); }
HADAL_INLINE void store(float* p, VF v) { _mm256_storeu_ps(p, v); }
HADAL_INLINE VF load_n(const float* p, int n) { return _mm256_maskload_ps(p, mask_n(n)); }
HADAL_INLINE void store_n(float* p, VF v, int n) { _mm256_maskstore_ps(p, mask_n(n), v); }

HADAL_INLINE __m128i load_halves(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
HADAL_INLINE __m128i load_halves_n(const void* p, int n) {
  uint16_t buffer[kLanes] = {};
  memcpy(buffer, p, static_cast<size_t>(n) * 2);
  return load_halves(buffer);
}
HADAL_INLINE VF widen_bf16(__m128i h) { return as_float(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16)); }
HADAL_INLINE VF load(const Bf16* p) { return widen_bf16(load_halves(p)); }
HADAL_INLINE VF load_n(const Bf16* p, int n) { return widen_bf16(load_halves_n(p, n)); }
HADAL_INLINE VF load(const F16* p) { return _mm256_cvtph_ps(load_halves(p)); }
HADAL_INLINE VF load_n(const F16* p, int n) { return _mm256_cvtph_ps(load_halves_n(p, n)); }
HADAL_INLINE VI load_bytes(const uint8_t* p) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}

/// Bits of v rounded to bfloat16, in the upper half of each lane; the lower half is not cleared.
HADAL_INLINE VI round_bf16(VF v) {
  const VI bits = as_int(v);
  const VI odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), set1_int(1));
  const VI rounded = add(add(bits, set1_int(0x7FFF)), odd);
  const VI is_nan = as_int(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
  return _mm256_blendv_epi8(rounded, _mm256_or_si256(bits, set1_int(0x400000)), is_nan);
}
HADAL_INLINE void store_upper(Bf16* p, VI bits) {
  const VI upper = _mm256_srli_epi32(bits, 16);
  const __m128i packed = _mm_packus_epi32(_mm256_castsi256_si128(upper), _mm256_extracti128_si256(upper, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), packed);
}
HADAL_INLINE void store(Bf16* p, VF v) { store_upper(p, round_bf16(v)); }

/// kLanes rows of up to 8 words, `pitch` words apart: out[w] holds word w of each row.
HADAL_INLINE void load_transposed(const int32_t* p, int64_t pitch, int words, VI* out) {
  const VI mask = mask_n(words);
  VI r[8], t[8];
  for (int i = 0; i < 8; ++i) r[i] = _mm256_maskload_epi32(p + i * pitch, mask);
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm256_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int h = 0; h < 2; ++h) {  // rows 4h .. 4h + 3: r[4h + w] holds their words w and w + 4
    r[4 * h] = _mm256_unpacklo_epi64(t[4 * h], t[4 * h + 2]);
    r[4 * h + 1] = _mm256_unpackhi_epi64(t[4 * h], t[4 * h + 2]);
    r[4 * h + 2] = _mm256_unpacklo_epi64(t[4 * h + 1], t[4 * h + 3]);
    r[4 * h + 3] = _mm256_unpackhi_epi64(t[4 * h + 1], t[4 * h + 3]);
  }
  for (int w = 0; w < 4; ++w) {
    out[w] = _mm256_permute2x128_si256(r[w], r[4 + w], 0x20);
    out[w + 4] = _mm256_permute2x128_si256(r[w], r[4 + w], 0x31);
  }
}

/// The 16 values that a 4-bit code of one column can have.
struct Codebook {
  VF low;
  VF high;
};
HADAL_INLINE Codebook codebook(float zero_point, float factor) {
  const VF low = _mm256_cvtepi32_ps(lane_ids()), zeros = set1(zero_point), factors = set1(factor);
  return {mul(sub(low, zeros), factors), mul(sub(add(low, set1(8)), zeros), factors)};
}
HADAL_INLINE void round_to(const Bf16*, Codebook& book) {
  book.low = as_float(round_bf16(book.low));
  book.high = as_float(round_bf16(book.high));
}
HADAL_INLINE void round_to(const float*, Codebook&) {}
/// What decode() gives after round_to.
HADAL_INLINE void store_decoded(Bf16* p, VF v) { store_upper(p, as_int(v)); }
HADAL_INLINE void store_decoded(float* p, VF v) { store(p, v); }
/// Of the lowest four bits of each lane.
HADAL_INLINE VF decode(VI codes, const Codebook& book) {
  const VF low = _mm256_permutevar8x32_ps(book.low, codes);
  const VF high = _mm256_permutevar8x32_ps(book.high, codes);
  return _mm256_blendv_ps(low, high, as_float(_mm256_slli_epi32(codes, 28)));
}

/// Eight doubles from as many floats. gcc 12 converts such vectors element by element unless told how.
typedef double VD __attribute__((vector_size(64)));
HADAL_INLINE VD doubles(const float* p) {
  const __m256d halves[2] = {_mm256_cvtps_pd(_mm_loadu_ps(p)), _mm256_cvtps_pd(_mm_loadu_ps(p + 4))};
  VD v;
  memcpy(&v, halves, sizeof(v));
  return v;
}
HADAL_INLINE VD doubles(const double* p) {
  VD v;
  memcpy(&v, p, sizeof(v));
  return v;
}
HADAL_INLINE VD doubles(const Bf16* p) {
  float v[8];
  store(v, load(p));
  return doubles(v);
}
HADAL_INLINE VD doubles(const F16* p) {
  float v[8];
  store(v, load(p));
  return doubles(v);
}
HADAL_INLINE VD fma(VD a, VD b, VD c) { return a * b + c; }

/// Sums of four vectors, each by the same tree.
HADAL_INLINE void sum4(VF a, VF b, VF c, VF d, float* out) {
  const VF all = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
  _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1)));
}
HADAL_INLINE float sum(VF a) {
  float out[4];
  sum4(a, a, a, a, out);
  return out[0];
}
HADAL_INLINE float max_of(VF a) {
  __m128 m = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  m = _mm_max_ps(m, _mm_movehl_ps(m, m));
  return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

/// Into the second level, without displacing what the first holds.
HADAL_INLINE void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }

}  // namespace hadal::cpu::avx2
