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

template <typename X, typename W>
void dot(const DotArgs* a) {
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

}  // namespace
}  // namespace hadal::cpu::HADAL_ISA

#define HADAL_DOT_TABLE(isa, name)                                                                    \
  {                                                                                                   \
    {{&isa::dot<float, float>, &isa::dot<float, isa::Bf16>, &isa::dot<float, isa::F16>},              \
     {&isa::dot<isa::Bf16, float>, &isa::dot<isa::Bf16, isa::Bf16>, &isa::dot<isa::Bf16, isa::F16>}}, \
        name                                                                                          \
  }
