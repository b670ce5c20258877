// Finding one's way among tokens, slots, pairs, positions and items (moe_params.h) on the device.
#pragma once

#include "kernels/cuda/kernels/moe_params.h"

namespace hadal::cuda {

__device__ __forceinline__ int32_t live_of(const int32_t* live, int32_t rows) {
  return live == nullptr ? rows : min(rows, max(0, *live));
}

/// The expert of a slot of a token; -1 where the router's id is none.
__device__ __forceinline__ int32_t expert_of(const MoeParams& p, int32_t token, int32_t slot) {
  if (slot >= p.top_k) return p.routed.count + slot - p.top_k;
  const int32_t id = __ldcg(p.ids + token * p.top_k + slot);
  return id >= 0 && id < p.routed.count ? id : -1;
}

__device__ __forceinline__ MoeItem item_at(const MoeParams& p, int32_t index) {
  if (p.order == MoeOrder::kSorted) {
    const int4 raw = reinterpret_cast<const int4*>(p.items)[index];
    return {raw.x, raw.y, raw.z, 0};
  }
  if (p.order == MoeOrder::kPairs) {
    const int32_t token = index / p.slots;
    if (token >= live_of(p.live, p.tokens)) return {0, 0, 0, 0};
    const int32_t expert = expert_of(p, token, index % p.slots);
    return {max(expert, 0), index, expert < 0 ? 0 : 1, 0};
  }
  const int32_t slices = p.shared.count;
  const int32_t first = index / slices * p.chunk;
  return {p.routed.count + index % slices, index % slices * p.tokens + first, min(p.chunk, p.tokens - first),
          0};
}

/// Whether an item and its expert can be told before the kernel before this one is done: slices can, the
/// router's choice and its order cannot.
__device__ __forceinline__ bool is_known(const MoeParams& p, int32_t index) {
  return p.order == MoeOrder::kSlices || (p.order == MoeOrder::kPairs && index % p.slots >= p.top_k);
}

/// kPairs: the place-th pair to work on, of a token's those of slices first, which may begin early.
__device__ __forceinline__ int32_t known_first(const MoeParams& p, int32_t place) {
  const int32_t slot = place % p.slots;
  return place - slot + (slot + p.top_k) % p.slots;
}

/// The pair at a position.
__device__ __forceinline__ int32_t pair_at(const MoeParams& p, int32_t position) {
  if (p.order == MoeOrder::kSorted) return p.list[position];
  if (p.order == MoeOrder::kPairs) return position;
  return position % p.tokens * p.slots + position / p.tokens;
}

/// A matrix of expert `expert`, routed or shared.
__device__ __forceinline__ WeightRef matrix_of(const ExpertMatrix& matrix, int32_t expert) {
  WeightRef w = matrix.first;
  w.data = static_cast<const char*>(w.data) + expert * matrix.stride;
  w.scales = static_cast<const char*>(w.scales) + expert * matrix.scale_stride;
  w.zeros = static_cast<const char*>(w.zeros) + expert * matrix.zero_stride;
  return w;
}

__device__ __forceinline__ float silu(float value) { return value / (1.0f + expf(-value)); }

}  // namespace hadal::cuda
