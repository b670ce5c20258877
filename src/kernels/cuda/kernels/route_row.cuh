// A warp chooses the experts of a token (kernels/ref/route.cc in float32).
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/api/ops.h"
#include "kernels/cuda/kernels/ptx.cuh"

namespace hadal::cuda {

/// Rises with the value; a NaN lies below everything, and 0 is left for "taken".
__device__ __forceinline__ uint32_t rank_of(float value) {
  if (value != value) return 1;
  const uint32_t bits = __float_as_uint(value + 0.0f);  // -0 becomes 0
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

/// Takes the entry of the largest rank out, of several the lowest; entry i * 32 + lane is ranks[i].
template <int kPerLane>
__device__ __forceinline__ int32_t take_largest(uint32_t (&ranks)[kPerLane]) {
  const int lane = threadIdx.x % 32;
  uint32_t best = 0;
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) best = max(best, ranks[i]);
  best = __reduce_max_sync(0xffffffffu, best);
  uint32_t lowest = 0xffffffffu;
#pragma unroll
  for (int i = kPerLane - 1; i >= 0; --i) {
    if (ranks[i] == best) lowest = static_cast<uint32_t>(i * 32 + lane);
  }
  lowest = __reduce_min_sync(0xffffffffu, lowest);
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    if (lowest == static_cast<uint32_t>(i * 32 + lane)) ranks[i] = 0;
  }
  return static_cast<int32_t>(lowest);
}

/// Shared memory of a warp. Scores are padded so that lanes that walk groups of 32 fall on different banks.
template <int kPerLane>
struct RouteScratch {
  float choice[kPerLane * 33];
  uint8_t kept[kPerLane * 32];
};

/// Largest score of the group, or (noaux_tc) the sum of its two largest.
__device__ __forceinline__ float group_score(const float* choice, int32_t first, int32_t size,
                                             TopkMethod method) {
  float largest = -INFINITY, second = -INFINITY;
  for (int32_t e = first; e < first + size; ++e) {
    const float value = choice[e + e / 32];
    if (value > largest) {
      second = largest;
      largest = value;
    } else if (value > second) {
      second = value;
    }
  }
  return method == TopkMethod::kNoauxTc && size > 1 ? largest + second : largest;
}

template <int kPerLane>
__device__ void mask_groups(const RouteExpertsArgs& args, int32_t experts, RouteScratch<kPerLane>& scratch,
                            float (&choice)[kPerLane]) {
  const int lane = threadIdx.x % 32;
  const int32_t size = experts / args.n_group;
  __syncwarp();
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    const int32_t e = i * 32 + lane;
    if (e < experts) scratch.choice[e + e / 32] = choice[i];
    scratch.kept[e] = 0;
  }
  __syncwarp();
  uint32_t ranks[kPerLane];
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    const int32_t group = i * 32 + lane;
    ranks[i] =
        group < args.n_group ? rank_of(group_score(scratch.choice, group * size, size, args.method)) : 0;
  }
  for (int32_t k = 0; k < args.topk_group; ++k) {
    const int32_t group = take_largest(ranks);
    if (lane == 0) scratch.kept[group] = 1;
  }
  __syncwarp();
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    const int32_t e = i * 32 + lane;
    if (e < experts && scratch.kept[e / size] == 0) choice[i] = -INFINITY;
  }
}

/// A lane's logits of a row. They may have been written by other blocks of this launch: read past L1.
template <int kPerLane>
__device__ __forceinline__ void load_logits(const RouteExpertsArgs& args, int64_t row,
                                            float (&logits)[kPerLane]) {
  const auto experts = static_cast<int32_t>(args.logits.cols);
  const float* from = static_cast<const float*>(args.logits.data) + row * args.logits.stride;
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    const int32_t e = i * 32 + static_cast<int32_t>(threadIdx.x) % 32;
    logits[i] = e < experts ? __ldcg(from + e) : -INFINITY;
  }
}

/// `scores`: the lane's logits, -infinity behind the last expert.
template <int kPerLane>
__device__ void route_row(const RouteExpertsArgs& args, int64_t row, float (&scores)[kPerLane],
                          RouteScratch<kPerLane>& scratch) {
  const int lane = threadIdx.x % 32;
  const auto experts = static_cast<int32_t>(args.logits.cols);
  if (args.scoring == ScoringFunc::kSigmoid) {
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) scores[i] = 1.0f / (1.0f + expf(-scores[i]));
  } else {
    float largest = -INFINITY, sum = 0;
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) largest = fmaxf(largest, scores[i]);
    largest = warp_max(largest);
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) {
      scores[i] = i * 32 + lane < experts ? expf(scores[i] - largest) : 0.0f;
      sum += scores[i];
    }
    sum = warp_sum(sum);
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) scores[i] /= sum;
  }

  float choice[kPerLane];
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    const int32_t e = i * 32 + lane;
    choice[i] = e < experts && args.bias != nullptr ? scores[i] + args.bias[e] : scores[i];
  }
  if (args.method != TopkMethod::kGreedy) mask_groups(args, experts, scratch, choice);
  uint32_t ranks[kPerLane];
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) ranks[i] = i * 32 + lane < experts ? rank_of(choice[i]) : 0;

  int32_t* ids = args.ids + row * args.top_k;
  float* weights = args.weights + row * args.top_k;
  float sum = 0;
  for (int32_t k = 0; k < args.top_k; ++k) {
    const int32_t id = take_largest(ranks);
    float score = 0;
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) {
      if (i == id / 32) score = scores[i];
    }
    score = __shfl_sync(0xffffffffu, score, id % 32);
    sum += score;
    if (lane == k % 32) {  // the same lane takes it up again below
      ids[k] = id;
      weights[k] = score;
      if (args.expert_load != nullptr) atomicAdd(args.expert_load + id, 1u);
    }
  }
  // The V2 gate (softmax) leaves a single expert as it is and scales only what it does not normalise; the V3
  // gate (sigmoid) normalises whatever top_k is, and always scales.
  const bool v3 = args.scoring == ScoringFunc::kSigmoid;
  const bool normalise = args.norm_topk_prob != 0 && (v3 || args.top_k > 1);
  const bool scale = !normalise || v3;
  for (int32_t k = lane; k < args.top_k; k += 32) {
    float weight = weights[k];
    if (normalise) weight /= sum + 1e-20f;
    if (scale) weight *= args.routed_scaling_factor;
    weights[k] = weight;
  }
}

}  // namespace hadal::cuda
