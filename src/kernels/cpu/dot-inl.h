// Body of the dot kernels (isa.h), for the instruction set that HADAL_SIMD_HEADER names. An output's
// value: per chunk of k one vector accumulator in steps of kStep, a zero-filled tail, then the lanes by one
// tree; the chunks' sums are added in turn. Tiles only decide which outputs are in flight together.
#pragma once

#include HADAL_SIMD_HEADER

#include "kernels/cpu/isa.h"

namespace hadal::cpu::HADAL_ISA {
namespace {

/// Both sides widened to float32 lanes.
template <typename X, typename W>
struct Step {
  typedef VF Left;
  typedef VF Right;
  enum { kStep = kLanes };
  HADAL_INLINE Left left(const X* p) { return load(p); }
  HADAL_INLINE Right right(const W* p) { return load(p); }
  HADAL_INLINE Left left_n(const X* p, int n) { return load_n(p, n); }
  HADAL_INLINE Right right_n(const W* p, int n) { return load_n(p, n); }
  HADAL_INLINE VF step(Left a, Right b, VF c) { return fma(a, b, c); }
};

#ifdef HADAL_HAS_DPBF16
/// Pairs of bfloat16 products, added into float32 by one instruction.
template <>
struct Step<Bf16, Bf16> {
  typedef __m512bh Left;
  typedef __m512bh Right;
  enum { kStep = 32 };
  HADAL_INLINE __m512bh cast(__m512i v) {
    __m512bh r;
    memcpy(&r, &v, sizeof(r));
    return r;
  }
  HADAL_INLINE Left left(const Bf16* p) { return cast(_mm512_loadu_si512(p)); }
  HADAL_INLINE Right right(const Bf16* p) { return cast(_mm512_loadu_si512(p)); }
  HADAL_INLINE Left left_n(const Bf16* p, int n) { return cast(_mm512_maskz_loadu_epi16((1u << n) - 1, p)); }
  HADAL_INLINE Right right_n(const Bf16* p, int n) { return left_n(p, n); }
  HADAL_INLINE VF step(Left a, Right b, VF c) { return _mm512_dpbf16_ps(c, a, b); }
};
#endif

HADAL_INLINE void put(float* out, float value, int32_t add_to) { *out = add_to != 0 ? *out + value : value; }

/// The tile of R rows of x from i0 and C rows of w from j0.
template <typename X, typename W, int R, int C>
HADAL_INLINE void tile(const DotArgs* a, int64_t i0, int64_t j0) {
  typedef Step<X, W> S;
  const X* x[R];
  const W* w[C];
  VF acc[R][C];
#pragma GCC unroll 8
  for (int i = 0; i < R; ++i) {
    const int64_t row = a->x_rows != nullptr ? a->x_rows[i0 + i] : i0 + i;
    x[i] = static_cast<const X*>(a->x) + row * a->ldx;
  }
#pragma GCC unroll 8
  for (int j = 0; j < C; ++j) w[j] = static_cast<const W*>(a->w) + (j0 + j) * a->ldw;
  // The first rows of x meet weights that may lie in memory: the next tile's are called for, line by line (a
  // fifth to a half faster than the hardware's own prefetch, which stops at pages). Later rows find them in
  // the cache, and a fetch of what is being read costs next to nothing.
  const int64_t ahead = i0 == 0 ? C * a->ldw : 0;
  for (int64_t k0 = 0; k0 < a->k; k0 += a->chunk) {
    const int64_t k1 = a->k - k0 < a->chunk ? a->k : k0 + a->chunk;
    const int32_t add_to = k0 > 0 ? 1 : a->add;
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < C; ++j) acc[i][j] = zero();
    }
    int64_t k = k0;
    for (; k + S::kStep <= k1; k += S::kStep) {
      typename S::Right right[C];
#pragma GCC unroll 8
      for (int j = 0; j < C; ++j) {
        right[j] = S::right(w[j] + k);
        prefetch(w[j] + k + ahead);
      }
#pragma GCC unroll 8
      for (int i = 0; i < R; ++i) {
        const typename S::Left left = S::left(x[i] + k);
#pragma GCC unroll 8
        for (int j = 0; j < C; ++j) acc[i][j] = S::step(left, right[j], acc[i][j]);
      }
    }
    if (const int rest = static_cast<int>(k1 - k); rest > 0) {
#pragma GCC unroll 8
      for (int i = 0; i < R; ++i) {
        const typename S::Left left = S::left_n(x[i] + k, rest);
#pragma GCC unroll 8
        for (int j = 0; j < C; ++j) acc[i][j] = S::step(left, S::right_n(w[j] + k, rest), acc[i][j]);
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) {
      const int64_t row = a->out_rows != nullptr ? a->out_rows[i0 + i] : i0 + i;
      float* out = a->out + row * a->ldo + j0;
#pragma GCC unroll 8
      for (int j = 0; j < C; j += 4) {
        float sums[4];
        sum4(acc[i][j], acc[i][j + 1 < C ? j + 1 : j], acc[i][j + 2 < C ? j + 2 : j],
             acc[i][j + 3 < C ? j + 3 : j], sums);
        for (int u = 0; u < (C < 4 ? C : 4); ++u) put(out + j + u, sums[u], add_to);
      }
    }
  }
}

template <typename X, typename W, int R>
void rows(const DotArgs* a, int64_t i0) {
  int64_t j = 0;
  if (R == 1) {
    for (; j + 2 * kTileCols <= a->n; j += 2 * kTileCols) tile<X, W, R, 2 * kTileCols>(a, i0, j);
  }
  for (; j + kTileCols <= a->n; j += kTileCols) tile<X, W, R, kTileCols>(a, i0, j);
  for (; j < a->n; ++j) tile<X, W, R, 1>(a, i0, j);
}

/// Sums of few bfloat16 products, in double and rounded once. What a float32 sum loses sends an activation
/// that lies at the edge of a bfloat16 rounding to the other side, and in small models (no published one has
/// so short a linear) that is what chooses another expert than the twin does. Also the same on all
/// instruction sets.
enum { kShort = 96, kDoubles = 8, kShortRows = 16, kShortCols = 4 };

/// With zeros up to a multiple of kDoubles.
template <typename T>
HADAL_INLINE void widen_row(const T* from, int n, double* to) {
  float values[kShort];
  int k = 0;
  for (; k + kLanes <= n; k += kLanes) store(values + k, load(from + k));
  if (k < n) store_n(values + k, load_n(from + k, n - k), n - k);
  for (k = n; k % kDoubles != 0; ++k) values[k] = 0;
  for (k = 0; k < n; k += kDoubles) {
    const VD wide = doubles(values + k);
    memcpy(to + k, &wide, sizeof(wide));
  }
}

/// Sums of n products for R rows of x (kShort apart) and kShortCols rows of w (`pitch` apart, widened
/// before or here). Products of two bfloat16 are exact, so it does not matter whether they are fused.
template <int R, typename T>
HADAL_INLINE void short_sums(const double* x, const T* w, int64_t pitch, int n, float out[][kShortCols]) {
  VD s[R][kShortCols];
  const VD none = {};
#pragma GCC unroll 4
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kShortCols; ++j) s[i][j] = none;
  }
  for (int k = 0; k < n; k += kDoubles) {
    VD right[kShortCols];
#pragma GCC unroll 4
    for (int j = 0; j < kShortCols; ++j) right[j] = doubles(w + j * pitch + k);
#pragma GCC unroll 4
    for (int i = 0; i < R; ++i) {
      const VD left = doubles(x + i * kShort + k);
#pragma GCC unroll 4
      for (int j = 0; j < kShortCols; ++j) s[i][j] = fma(left, right[j], s[i][j]);
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < R; ++i) {
    const VD ab = __builtin_shufflevector(s[i][0], s[i][1], 0, 8, 2, 10, 4, 12, 6, 14) +
                  __builtin_shufflevector(s[i][0], s[i][1], 1, 9, 3, 11, 5, 13, 7, 15);
    const VD cd = __builtin_shufflevector(s[i][2], s[i][3], 0, 8, 2, 10, 4, 12, 6, 14) +
                  __builtin_shufflevector(s[i][2], s[i][3], 1, 9, 3, 11, 5, 13, 7, 15);
    const VD all = __builtin_shufflevector(ab, cd, 0, 1, 8, 9, 4, 5, 12, 13) +
                   __builtin_shufflevector(ab, cd, 2, 3, 10, 11, 6, 7, 14, 15);
    for (int j = 0; j < kShortCols; ++j) out[i][j] = static_cast<float>(all[j] + all[j + kShortCols]);
  }
}

/// Neither this nor long_dot is inlined: together they are compiled worse (measured, 5% to 9% of the long
/// sums).
template <typename X, typename W>
__attribute__((noinline)) void short_dot(const DotArgs* a) {
  const int n = static_cast<int>(a->k);
  double x[kShortRows * kShort], w[kShortCols * kShort];
  for (int64_t i0 = 0; i0 < a->m; i0 += kShortRows) {
    const int block = static_cast<int>(a->m - i0 < kShortRows ? a->m - i0 : static_cast<int64_t>(kShortRows));
    for (int i = 0; i < block; ++i) {
      const int64_t row = a->x_rows != nullptr ? a->x_rows[i0 + i] : i0 + i;
      widen_row(static_cast<const X*>(a->x) + row * a->ldx, n, x + i * kShort);
    }
    for (int64_t j0 = 0; j0 < a->n; j0 += kShortCols) {
      const int64_t left = a->n - j0;
      const int cols = static_cast<int>(left < kShortCols ? left : static_cast<int64_t>(kShortCols));
      const W* from = static_cast<const W*>(a->w) + j0 * a->ldw;
      float sums[kShortRows][kShortCols];
      int i = 0;
      if (block == 1 && cols == kShortCols && n % kDoubles == 0) {
        short_sums<1>(x, from, a->ldw, n, sums);
      } else {
        for (int j = 0; j < kShortCols; ++j) {  // past the end the last one again
          widen_row(from + (j < cols ? j : cols - 1) * a->ldw, n, w + j * kShort);
        }
        for (; i + 4 <= block; i += 4) short_sums<4>(x + i * kShort, w, kShort, n, sums + i);
        for (; i < block; ++i) short_sums<1>(x + i * kShort, w, kShort, n, sums + i);
      }
      for (i = 0; i < block; ++i) {
        const int64_t row = a->out_rows != nullptr ? a->out_rows[i0 + i] : i0 + i;
        for (int j = 0; j < cols; ++j) a->out[row * a->ldo + j0 + j] = sums[i][j];
      }
    }
  }
}

template <typename X>
struct TakesShort {
  enum { kValue = 0 };
};
template <>
struct TakesShort<Bf16> {
  enum { kValue = 1 };
};

template <typename X, typename W>
__attribute__((noinline)) void long_dot(const DotArgs* a) {
  int64_t i = 0;
  for (; i + kTileRows <= a->m; i += kTileRows) rows<X, W, kTileRows>(a, i);
  switch (a->m - i) {
    case 1:
      rows<X, W, 1>(a, i);
      break;
    case 2:
      rows<X, W, 2>(a, i);
      break;
    case 3:
      rows<X, W, 3 < kTileRows ? 3 : 1>(a, i);
      break;
    case 4:
      rows<X, W, 4 < kTileRows ? 4 : 1>(a, i);
      break;
    case 5:
      rows<X, W, 5 < kTileRows ? 5 : 1>(a, i);
      break;
    default:
      break;
  }
}

template <typename X, typename W>
void dot(const DotArgs* a) {
  // a piece of a longer sum is either longer or added to what is there
  if (TakesShort<X>::kValue != 0 && a->k <= kShort && a->add == 0) return short_dot<X, W>(a);
  long_dot<X, W>(a);
}

}  // namespace
}  // namespace hadal::cpu::HADAL_ISA

#define HADAL_DOT_TABLE(isa, name)                                                                    \
  {                                                                                                   \
    {{&isa::dot<float, float>, &isa::dot<float, isa::Bf16>, &isa::dot<float, isa::F16>},              \
     {&isa::dot<isa::Bf16, float>, &isa::dot<isa::Bf16, isa::Bf16>, &isa::dot<isa::Bf16, isa::F16>}}, \
        name                                                                                          \
  }
