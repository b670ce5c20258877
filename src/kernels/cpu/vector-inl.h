// Body of the vector kernels (isa.h), for the instruction set that HADAL_SIMD_HEADER names.
#pragma once

#include HADAL_SIMD_HEADER

#include "kernels/cpu/fp8-inl.h"
#include "kernels/cpu/isa.h"

namespace hadal::cpu::HADAL_ISA {
namespace {

// ---- exp ----

/// e^x, at most about 1 unit in the last place off; the same in every lane. -inf gives 0, NaN stays. x = n
/// ln2 + r, a polynomial of degree 6 in r (coefficients: Cephes expf), then 2^n in two steps so that
/// subnormal results and overflow come out right.
HADAL_INLINE VF exp(VF x) {
  const VF magic = set1(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer, to nearest even
  x = max(set1(-110.0f), x);
  x = min(set1(100.0f), x);
  const VF shifted = add(mul(x, set1(1.44269504088896341f)), magic);
  const VF n = sub(shifted, magic);
  VF r = fma(n, set1(-0.693359375f), x);
  r = fma(n, set1(2.12194440e-4f), r);
  VF p = set1(1.9875691500e-4f);
  p = fma(p, r, set1(1.3981999507e-3f));
  p = fma(p, r, set1(8.3334519073e-3f));
  p = fma(p, r, set1(4.1665795894e-2f));
  p = fma(p, r, set1(1.6666665459e-1f));
  p = fma(p, r, set1(5.0000001201e-1f));
  p = add(fma(mul(p, r), r, r), set1(1.0f));
  const VI exponent = sub(as_int(shifted), as_int(magic));
  const VI half = shift_right(exponent, 1);
  const VI rest = sub(exponent, half);
  const VI bias = set1_int(127);
  p = mul(p, as_float(shift_left(add(half, bias), 23)));
  return mul(p, as_float(shift_left(add(rest, bias), 23)));
}

void exp_all(const float* v, float* out, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(out + i, exp(load(v + i)));
  if (const int rest = static_cast<int>(n - i); rest > 0) store_n(out + i, exp(load_n(v + i, rest)), rest);
}

float softmax(const SoftmaxArgs* a) {
  const VF minus_infinity = set1(-__builtin_inff());
  VF top = minus_infinity;
  VI id = lane_ids();
  for (int32_t i = 0; i < a->count; i += kLanes) {
    const VF scaled = mul(load(a->scores + i), set1(a->scale));
    const VF v = keep_range(scaled, id, a->first, a->last, minus_infinity);
    store(a->scores + i, v);
    top = max(v, top);
    id = add(id, set1_int(kLanes));
  }
  const float before = *a->maximum;
  const float tile_top = max_of(top);
  const float now = tile_top > before ? tile_top : before;
  VF total = zero();
  for (int32_t i = 0; i < a->count; i += kLanes) {
    const VF p = exp(sub(load(a->scores + i), set1(now)));
    store(a->scores + i, p);
    total = add(total, p);
  }
  float shrink[kLanes];
  store(shrink, exp(set1(before - now)));
  *a->maximum = now;
  *a->sum = *a->sum * shrink[0] + sum(total);
  return shrink[0];
}

/// By blocks, so that the place is looked for in one of them alone.
int64_t argmax(const float* v, int64_t n, float* largest) {
  constexpr int64_t kBlock = 64 * kLanes;
  const VF most = set1(__FLT_MAX__);
  VF tainted = zero();  // 0, or NaN once a NaN was seen
  float best = -__builtin_inff();
  int64_t best_block = 0;
  for (int64_t block = 0; block < n; block += kBlock) {
    const int64_t end = n - block < kBlock ? n : block + kBlock;
    VF top = set1(-__builtin_inff());
    for (int64_t i = block; i < end; i += kLanes) {
      // what a short vector lacks is filled with a value of the block
      VF x = end - i >= kLanes ? load(v + i)
                               : keep_range(load_n(v + i, static_cast<int>(end - i)), lane_ids(), 0,
                                            static_cast<int32_t>(end - i), set1(v[i]));
      x = min(most, x);
      tainted = fma(max(sub(zero(), most), x), zero(), tainted);
      top = max(x, top);
    }
    const float block_best = max_of(top);
    if (block_best > best) {
      best = block_best;
      best_block = block;
    }
  }
  const float taint = sum(tainted);
  if (taint != taint) return -1;
  *largest = best;
  int64_t at = best_block;
  while ((v[at] > __FLT_MAX__ ? __FLT_MAX__ : v[at]) != best) ++at;
  return at;
}

double sum_of_exp(const float* v, int64_t n, float largest, float unit) {
  const VF top = set1(largest), divisor = set1(unit);
  double sums[kLanes] = {};
  for (int64_t i = 0; i < n; i += kLanes) {
    const int32_t lanes = n - i < kLanes ? static_cast<int32_t>(n - i) : static_cast<int32_t>(kLanes);
    const VF x = lanes == kLanes ? load(v + i) : load_n(v + i, lanes);
    float e[kLanes];
    store(e, keep_range(exp(div(sub(x, top), divisor)), lane_ids(), 0, lanes, zero()));
    for (int l = 0; l < kLanes; ++l) sums[l] += static_cast<double>(e[l]);
  }
  double total = 0;
  for (double lane : sums) total += lane;
  return total;
}

/// Four pages side by side, with the next four called for.
int32_t read_all(const char* p, int64_t n) {
  constexpr int64_t kPage = 4096, kStreams = 4, kLine = 64, kVector = 4 * kLanes;
  VI sums[kStreams] = {set1_int(0), set1_int(0), set1_int(0), set1_int(0)};
  for (int64_t i = 0; i < n; i += kStreams * kPage) {
    for (int64_t k = 0; k < kPage; k += kLine) {
#pragma GCC unroll 4
      for (int s = 0; s < kStreams; ++s) {
        const char* line = p + i + s * kPage + k;
        prefetch(line + kStreams * kPage);
#pragma GCC unroll 4
        for (int64_t v = 0; v < kLine; v += kVector) {
          sums[s] = add(sums[s], as_int(load(reinterpret_cast<const float*>(line + v))));
        }
      }
    }
  }
  int32_t lanes[kLanes];
  const VI total = add(add(sums[0], sums[1]), add(sums[2], sums[3]));
  memcpy(lanes, &total, sizeof(lanes));
  uint32_t sum_of_lanes = 0;
  for (int l = 0; l < kLanes; ++l) sum_of_lanes += static_cast<uint32_t>(lanes[l]);
  return static_cast<int32_t>(sum_of_lanes);
}

// ---- rows ----

/// In double, where squares of float32 are exact: an error here would move every value of a row to the same
/// side, and with it many at once over the edge of a bfloat16 rounding. Also the same on all instruction
/// sets.
double sum_of_squares(const float* v, int64_t n) {
  enum { kSums = 16 };
  double sums[kSums] = {};
  int64_t i = 0;
  for (; i + kSums <= n; i += kSums) {
    for (int u = 0; u < kSums; ++u) sums[u] += static_cast<double>(v[i + u]) * static_cast<double>(v[i + u]);
  }
  for (int u = 0; i + u < n; ++u) sums[u] += static_cast<double>(v[i + u]) * static_cast<double>(v[i + u]);
  for (int half = kSums / 2; half > 0; half /= 2) {
    for (int u = 0; u < half; ++u) sums[u] += sums[u + half];
  }
  return sums[0];
}

void scale_by(const float* v, double factor, const float* weight, float* out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    out[i] = static_cast<float>(static_cast<double>(weight[i]) * (static_cast<double>(v[i]) * factor));
  }
}

HADAL_INLINE VF silu(VF g) { return div(g, add(set1(1.0f), exp(sub(zero(), g)))); }

void silu_mul(const float* gate, const float* up, float* out, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(out + i, mul(silu(load(gate + i)), load(up + i)));
  if (const int rest = static_cast<int>(n - i); rest > 0) {
    store_n(out + i, mul(silu(load_n(gate + i, rest)), load_n(up + i, rest)), rest);
  }
}

void add_all(const float* a, const float* b, float* out, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(out + i, add(load(a + i), load(b + i)));
  if (const int rest = static_cast<int>(n - i); rest > 0) {
    store_n(out + i, add(load_n(a + i, rest), load_n(b + i, rest)), rest);
  }
}

void add_scaled(float factor, const float* a, float* out, int64_t n) {
  const VF f = set1(factor);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(out + i, fma(f, load(a + i), load(out + i)));
  if (const int rest = static_cast<int>(n - i); rest > 0) {
    store_n(out + i, fma(f, load_n(a + i, rest), load_n(out + i, rest)), rest);
  }
}

// ---- conversion ----

template <typename From>
HADAL_INLINE void widen_all(const void* source, float scale, float* to, int64_t n) {
  const From* from = static_cast<const From*>(source);
  const VF f = set1(scale);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(to + i, mul(load(from + i), f));
  if (const int rest = static_cast<int>(n - i); rest > 0)
    store_n(to + i, mul(load_n(from + i, rest), f), rest);
}

void to_f32(int32_t elem, const void* from, float scale, float* to, int64_t n) {
  switch (elem) {
    case kElemF32:
      return widen_all<float>(from, scale, to, n);
    case kElemBF16:
      return widen_all<Bf16>(from, scale, to, n);
    case kElemF16:
      return widen_all<F16>(from, scale, to, n);
    case kElemE4M3:
      return widen_all<E4m3>(from, scale, to, n);
    case kElemE5M2:
      return widen_all<E5m2>(from, scale, to, n);
    default:
      return;
  }
}

/// A float32 to a half, to nearest even (subnormals and overflow by integer arithmetic: the same on every
/// machine).
HADAL_INLINE uint16_t half_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  const uint32_t sign = bits >> 16 & 0x8000u;
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return static_cast<uint16_t>(sign | 0x7E00u);
  if (magnitude >= 0x477FF000u) return static_cast<uint16_t>(sign | 0x7C00u);
  if (magnitude < 0x38800000u) {  // subnormal: adding 0.5 puts the units of 2^-24 at the end of the mantissa
    float shifted;
    memcpy(&shifted, &magnitude, sizeof(shifted));
    shifted += 0.5f;
    memcpy(&bits, &shifted, sizeof(bits));
    return static_cast<uint16_t>(sign | (bits - 0x3F000000u));
  }
  const uint32_t rounded = magnitude - 0x38000000u + 0xFFFu + (magnitude >> 13 & 1);
  return static_cast<uint16_t>(sign | rounded >> 13);
}

void to_bf16(const float* from, Bf16* to, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(to + i, load(from + i));
  if (const int rest = static_cast<int>(n - i); rest > 0) {
    Bf16 buffer[kLanes];
    store(buffer, load_n(from + i, rest));
    for (int j = 0; j < rest; ++j) to[i + j] = buffer[j];
  }
}

void from_f32(int32_t elem, const float* from, void* to, int64_t n) {
  if (elem == kElemF32) {
    memcpy(to, from, static_cast<size_t>(n) * sizeof(float));
  } else if (elem == kElemBF16) {
    to_bf16(from, static_cast<Bf16*>(to), n);
  } else if (elem == kElemF16) {
    uint16_t* halves = static_cast<uint16_t*>(to);
    for (int64_t i = 0; i < n; ++i) halves[i] = half_of(from[i]);
  }
}

// ---- axpy ----

template <typename B, int R, int V>
HADAL_INLINE void axpy_tile(const AxpyArgs* a, int64_t i0, int64_t j0, int lanes) {
  const B* b = static_cast<const B*>(a->b) + j0;
  const float* left = a->a + i0 * a->lda;
  float* out = a->out + i0 * a->ldo + j0;
  VF acc[R][V];
#pragma GCC unroll 8
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) {
      float* p = out + i * a->ldo + v * kLanes;
      acc[i][v] = a->carry == nullptr
                      ? zero()
                      : mul(set1(a->carry[i0 + i]), lanes == kLanes ? load(p) : load_n(p, lanes));
    }
  }
  for (int64_t k = 0; k < a->k; ++k) {
    if (R == 1) {
      const VF factor = set1(left[k]);
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v) {
        const B* p = b + k * a->ldb + v * kLanes;
        acc[0][v] = fma(factor, lanes == kLanes ? load(p) : load_n(p, lanes), acc[0][v]);
      }
      continue;
    }
    VF right[V];
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) {
      const B* p = b + k * a->ldb + v * kLanes;
      right[v] = lanes == kLanes ? load(p) : load_n(p, lanes);
    }
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) {
      const VF factor = set1(left[i * a->lda + k]);
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v) acc[i][v] = fma(factor, right[v], acc[i][v]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) {
      float* p = out + i * a->ldo + v * kLanes;
      if (lanes == kLanes) {
        store(p, acc[i][v]);
      } else {
        store_n(p, acc[i][v], lanes);
      }
    }
  }
}

/// All rows against V vectors of columns, which stay in the cache meanwhile.
template <typename B, int V>
void axpy_columns(const AxpyArgs* a, int64_t j, int lanes) {
  int64_t i = 0;
  for (; i + kTileRows <= a->m; i += kTileRows) axpy_tile<B, kTileRows, V>(a, i, j, lanes);
  for (; i + 2 <= a->m; i += 2) axpy_tile<B, 2, V>(a, i, j, lanes);
  if (i < a->m) axpy_tile<B, 1, V>(a, i, j, lanes);
}

template <typename B>
void axpy(const AxpyArgs* a) {
  int64_t j = 0;
  if (a->m == 1) {  // one row: long pieces of each row of b, as memory likes it
    for (; j + kWide * kLanes <= a->n; j += kWide * kLanes) axpy_tile<B, 1, kWide>(a, 0, j, kLanes);
  }
  for (; j + 4 * kLanes <= a->n; j += 4 * kLanes) axpy_columns<B, 4>(a, j, kLanes);
  for (; j + kLanes <= a->n; j += kLanes) axpy_columns<B, 1>(a, j, kLanes);
  if (j < a->n) axpy_columns<B, 1>(a, j, static_cast<int>(a->n - j));
}

}  // namespace
}  // namespace hadal::cpu::HADAL_ISA

#define HADAL_VECTOR_TABLE(isa)                                                                    \
  {                                                                                                \
    {&isa::axpy<float>, &isa::axpy<isa::Bf16>, &isa::axpy<isa::F16>}, &isa::softmax, &isa::to_f32, \
        &isa::from_f32, &isa::sum_of_squares, &isa::scale_by, &isa::silu_mul, &isa::add_all,       \
        &isa::add_scaled, &isa::exp_all, &isa::argmax, &isa::sum_of_exp, &isa::read_all            \
  }
