// Four float lanes by the compilers' vector extension: SSE2 on x86-64, NEON on AArch64. No fused
// multiply-add. Included by the portable kernels alone; see isa.h for why everything is inside the namespace.
#pragma once

#include <stdint.h>
#include <string.h>

#define HADAL_ISA portable
#define HADAL_INLINE static inline __attribute__((always_inline))

namespace hadal::cpu::portable {

typedef float VF __attribute__((vector_size(16)));
typedef int32_t VI __attribute__((vector_size(16)));
typedef uint16_t VH __attribute__((vector_size(8)));
typedef uint32_t VU __attribute__((vector_size(16)));

enum { kLanes = 4, kTileRows = 3, kTileCols = 4, kWide = 4 };

struct Bf16 {
  uint16_t bits;
};
struct F16 {
  uint16_t bits;
};

HADAL_INLINE VF zero() { return VF{0, 0, 0, 0}; }
HADAL_INLINE VF set1(float v) { return VF{v, v, v, v}; }
HADAL_INLINE VI set1_int(int32_t v) { return VI{v, v, v, v}; }
HADAL_INLINE VI as_int(VF v) { return reinterpret_cast<VI>(v); }
HADAL_INLINE VF as_float(VI v) { return reinterpret_cast<VF>(v); }

HADAL_INLINE VF add(VF a, VF b) { return a + b; }
HADAL_INLINE VF sub(VF a, VF b) { return a - b; }
HADAL_INLINE VF mul(VF a, VF b) { return a * b; }
HADAL_INLINE VF div(VF a, VF b) { return a / b; }
HADAL_INLINE VF fma(VF a, VF b, VF c) { return a * b + c; }
HADAL_INLINE VF select(VI mask, VF yes, VF no) {
  return as_float((mask & as_int(yes)) | (~mask & as_int(no)));
}
HADAL_INLINE VF max(VF a, VF b) { return select(a > b, a, b); }  // b if either is NaN, as x86 has it
HADAL_INLINE VF min(VF a, VF b) { return select(a < b, a, b); }
HADAL_INLINE VI add(VI a, VI b) { return a + b; }
HADAL_INLINE VI sub(VI a, VI b) { return a - b; }
HADAL_INLINE VI bit_and(VI a, VI b) { return a & b; }
HADAL_INLINE VI bit_or(VI a, VI b) { return a | b; }
HADAL_INLINE VF where_equal(VI a, VI b, VF yes, VF no) { return select(a == b, yes, no); }
HADAL_INLINE VF to_float(VI a) { return __builtin_convertvector(a, VF); }
HADAL_INLINE VI shift_left(VI a, int bits) { return a << bits; }
HADAL_INLINE VI shift_right(VI a, int bits) { return a >> bits; }  // arithmetic
HADAL_INLINE VI lane_ids() { return VI{0, 1, 2, 3}; }
/// v where first <= id < last, else `other`.
HADAL_INLINE VF keep_range(VF v, VI id, int32_t first, int32_t last, VF other) {
  return select((id >= set1_int(first)) & (id < set1_int(last)), v, other);
}

HADAL_INLINE VF load(const float* p) {
  VF v;
  memcpy(&v, p, sizeof(v));
  return v;
}
HADAL_INLINE void store(float* p, VF v) { memcpy(p, &v, sizeof(v)); }
HADAL_INLINE VF load_n(const float* p, int n) {
  VF v = zero();
  for (int i = 0; i < n; ++i) v[i] = p[i];
  return v;
}
HADAL_INLINE void store_n(float* p, VF v, int n) {
  for (int i = 0; i < n; ++i) p[i] = v[i];
}

HADAL_INLINE VF load(const Bf16* p) {
  VH h;
  memcpy(&h, p, sizeof(h));
  return reinterpret_cast<VF>(__builtin_convertvector(h, VU) << 16);
}
HADAL_INLINE VF load_n(const Bf16* p, int n) {
  Bf16 buffer[kLanes] = {};
  for (int i = 0; i < n; ++i) buffer[i] = p[i];
  return load(buffer);
}

HADAL_INLINE VF load(const F16* p) {
  VH h;
  memcpy(&h, p, sizeof(h));
  // exponent and mantissa moved into place, times 2^112: subnormals come out right too; then infinity and NaN
  const VU u = __builtin_convertvector(h, VU);
  const VU magnitude = (u & 0x7FFFu) << 13;
  const VF value = reinterpret_cast<VF>(magnitude) * set1(5.192296858534828e33f);
  const VI special = reinterpret_cast<VI>(magnitude) >= set1_int(0x0F800000);
  const VI quiet = (reinterpret_cast<VI>(magnitude) > set1_int(0x0F800000)) & set1_int(0x00400000);
  const VI bits = as_int(
      select(special, as_float(reinterpret_cast<VI>(magnitude) | set1_int(0x7F800000) | quiet), value));
  return as_float(bits | reinterpret_cast<VI>((u & 0x8000u) << 16));
}
HADAL_INLINE VF load_n(const F16* p, int n) {
  F16 buffer[kLanes] = {};
  for (int i = 0; i < n; ++i) buffer[i] = p[i];
  return load(buffer);
}

HADAL_INLINE VI load_bytes(const uint8_t* p) { return VI{p[0], p[1], p[2], p[3]}; }

HADAL_INLINE void store(Bf16* p, VF v) {
  const VU bits = reinterpret_cast<VU>(v);
  const VU rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
  const VU nan = (bits >> 16) | 0x40u;
  const VI is_nan = v != v;
  const VI chosen = (is_nan & reinterpret_cast<VI>(nan)) | (~is_nan & reinterpret_cast<VI>(rounded));
  for (int i = 0; i < kLanes; ++i) p[i].bits = static_cast<uint16_t>(chosen[i]);
}

/// kLanes rows of up to 8 words, `pitch` words apart: out[w] holds word w of each row. out[words ...] is left
/// as it is.
HADAL_INLINE void load_transposed(const int32_t* p, int64_t pitch, int words, VI* out) {
  for (int w = 0; w < words; ++w) out[w] = VI{p[w], p[pitch + w], p[2 * pitch + w], p[3 * pitch + w]};
}

/// The 16 values that a 4-bit code of one column can have: here computed, elsewhere looked up.
struct Codebook {
  VF zero;
  VF scale;
};
HADAL_INLINE Codebook codebook(float zero_point, float factor) { return {set1(zero_point), set1(factor)}; }
HADAL_INLINE void round_to(const Bf16*, Codebook&) {}
HADAL_INLINE void round_to(const float*, Codebook&) {}
HADAL_INLINE void store_decoded(Bf16* p, VF v) { store(p, v); }
HADAL_INLINE void store_decoded(float* p, VF v) { store(p, v); }
/// Of the lowest four bits of each lane.
HADAL_INLINE VF decode(VI codes, const Codebook& book) {
  return mul(sub(to_float(bit_and(codes, set1_int(15))), book.zero), book.scale);
}

/// Eight doubles from as many floats.
typedef double VD __attribute__((vector_size(64)));
HADAL_INLINE VD doubles(const float* p) {
  VD v;
  for (int i = 0; i < 8; ++i) v[i] = static_cast<double>(p[i]);
  return v;
}
HADAL_INLINE VD doubles(const double* p) {
  VD v;
  memcpy(&v, p, sizeof(v));
  return v;
}
template <typename T>
HADAL_INLINE VD doubles(const T* p) {
  float v[8];
  store(v, load(p));
  store(v + 4, load(p + 4));
  return doubles(v);
}
HADAL_INLINE VD fma(VD a, VD b, VD c) { return a * b + c; }

/// Sums of four vectors, one after the other, each by the same tree.
HADAL_INLINE void sum4(VF a, VF b, VF c, VF d, float* out) {
  out[0] = (a[0] + a[2]) + (a[1] + a[3]);
  out[1] = (b[0] + b[2]) + (b[1] + b[3]);
  out[2] = (c[0] + c[2]) + (c[1] + c[3]);
  out[3] = (d[0] + d[2]) + (d[1] + d[3]);
}
HADAL_INLINE float sum(VF a) { return (a[0] + a[2]) + (a[1] + a[3]); }
HADAL_INLINE float max_of(VF a) {
  float m = a[0];
  for (int i = 1; i < kLanes; ++i) m = a[i] > m ? a[i] : m;
  return m;
}

/// Into the second level, without displacing what the first holds.
HADAL_INLINE void prefetch(const void* p) { __builtin_prefetch(p, 0, 2); }

}  // namespace hadal::cpu::portable
