// One warp's step of flash attention: 16 rows against the keys of a tile in shared memory. Keys lie as
// [keys][kQk + 8], values as [keys][kV + 8] bfloat16. Scores are in units of log2. Device code.
#pragma once

#include "kernels/cuda/kernels/ptx.cuh"

namespace hadal::cuda {

/// What a lane holds of its warp's 16 rows: rows g and g + 8 (lane = 4 g + t).
template <int kV>
struct Rows {
  float sums[kV / 8][4] = {};  // columns 8 n + 2 t, + 1; [0], [1] of row g, [2], [3] of row g + 8
  float max[2] = {-INFINITY, -INFINITY};
  float weight[2] = {0, 0};  // this lane's share until it is summed over the four lanes of a row
};

/// Takes kKeys keys from `key` on (a row of the tile) into `rows`.
template <int kQk, int kV, int kKeys>
__device__ __forceinline__ void attend(const uint32_t (&q)[kQk / 16][4], const __nv_bfloat16* keys,
                                       const __nv_bfloat16* values, int position, const int (&oldest)[2],
                                       const int (&newest)[2], float scale, Rows<kV>& rows) {
  constexpr int kKeyPitch = kQk + 8, kValuePitch = kV + 8;
  const int lane = threadIdx.x % 32;
  float s[kKeys / 8][4] = {};
#pragma unroll
  for (int k = 0; k < kQk / 16; ++k) {
#pragma unroll
    for (int n = 0; n < kKeys / 16; ++n) {
      uint32_t b[4];
      load_matrix4(b, keys + (n * 16 + lane / 16 * 8 + lane % 8) * kKeyPitch + k * 16 + lane / 8 % 2 * 8);
      mma_bf16(s[2 * n], q[k], b[0], b[1]);
      mma_bf16(s[2 * n + 1], q[k], b[2], b[3]);
    }
  }
  float raised[2] = {rows.max[0], rows.max[1]};
#pragma unroll
  for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const int at = position + n * 8 + lane % 4 * 2 + e % 2, r = e / 2;
      s[n][e] = at >= oldest[r] && at <= newest[r] ? s[n][e] * scale : -INFINITY;
      raised[r] = fmaxf(raised[r], s[n][e]);
    }
  }
  float base[2], shrink[2];
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    raised[r] = fmaxf(raised[r], __shfl_xor_sync(0xffffffffu, raised[r], 1));
    raised[r] = fmaxf(raised[r], __shfl_xor_sync(0xffffffffu, raised[r], 2));
    base[r] = raised[r] == -INFINITY ? 0.0f : raised[r];  // nothing seen yet: all weights are 0
    shrink[r] = exp2f(rows.max[r] - base[r]);
    rows.max[r] = raised[r];
    rows.weight[r] *= shrink[r];
  }
#pragma unroll
  for (int n = 0; n < kV / 8; ++n) {
#pragma unroll
    for (int e = 0; e < 4; ++e) rows.sums[n][e] *= shrink[e / 2];
  }
#pragma unroll
  for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      s[n][e] = exp2f(s[n][e] - base[e / 2]);
      rows.weight[e / 2] += s[n][e];
    }
  }
#pragma unroll
  for (int k = 0; k < kKeys / 16; ++k) {
    const uint32_t a[4] = {pack_bf16(s[2 * k][0], s[2 * k][1]), pack_bf16(s[2 * k][2], s[2 * k][3]),
                           pack_bf16(s[2 * k + 1][0], s[2 * k + 1][1]),
                           pack_bf16(s[2 * k + 1][2], s[2 * k + 1][3])};
#pragma unroll
    for (int n = 0; n < kV / 16; ++n) {
      uint32_t b[4];
      load_matrix4_transposed(b, values + (k * 16 + lane % 16) * kValuePitch + n * 16 + lane / 16 * 8);
      mma_bf16(rows.sums[2 * n], a, b[0], b[1]);
      mma_bf16(rows.sums[2 * n + 1], a, b[2], b[3]);
    }
  }
}

}  // namespace hadal::cuda
