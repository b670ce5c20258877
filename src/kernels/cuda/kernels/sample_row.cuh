// A row of logits as the sampler sees it: order of floats as integers, bias, penalties and mask, weights.
#pragma once

#include <cfloat>
#include <cmath>
#include <cstdint>

#include "kernels/api/ops.h"
#include "kernels/cuda/kernels/sample.h"

namespace hadal::cuda {

inline constexpr int kSampleThreads = 512;
inline constexpr int kSampleWarps = kSampleThreads / 32;
inline constexpr int kSampleChunk = 4096;  // logits whose marks fit in shared memory
inline constexpr uint32_t kAllLanes = 0xffffffffu;

// ---- order ----

/// Unsigned integers in the order of floats (no NaN); -0 is 0.
__device__ __forceinline__ uint32_t order_of(float value) {
  const uint32_t bits = __float_as_uint(value + 0.0f);
  return bits ^ ((bits >> 31) != 0 ? 0xffffffffu : 0x80000000u);
}
__device__ __forceinline__ float value_of(uint32_t order) {
  return __uint_as_float(order ^ ((order >> 31) != 0 ? 0x80000000u : 0xffffffffu));
}
/// The larger, the earlier in (value falling, id rising). Never 0.
__device__ __forceinline__ uint64_t place_of(float value, int32_t id) {
  return uint64_t{order_of(value)} << 32 | (0xffffffffu - static_cast<uint32_t>(id));
}
__device__ __forceinline__ int32_t id_at(uint64_t place) {
  return static_cast<int32_t>(0xffffffffu - static_cast<uint32_t>(place));
}
__device__ __forceinline__ float value_at(uint64_t place) {
  return value_of(static_cast<uint32_t>(place >> 32));
}

// ---- reductions and scans over the block: fixed order, the same result in every thread ----

struct BlockScratch {
  uint64_t words[kSampleWarps];
};

template <typename T, typename Combine>
__device__ __forceinline__ T block_reduce(T value, BlockScratch& scratch, Combine combine) {
  static_assert(sizeof(T) <= 8);
#pragma unroll
  for (int lane = 16; lane > 0; lane /= 2) value = combine(value, __shfl_xor_sync(kAllLanes, value, lane));
  T* words = reinterpret_cast<T*>(scratch.words);
  __syncthreads();  // whoever read the scratch before is done
  if (threadIdx.x % 32 == 0) words[threadIdx.x / 32] = value;
  __syncthreads();
  value = words[0];
#pragma unroll
  for (int w = 1; w < kSampleWarps; ++w) value = combine(value, words[w]);
  return value;
}

/// Sum of the values of the threads before this one.
template <typename T>
__device__ __forceinline__ T block_prefix(T value, BlockScratch& scratch) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  T inclusive = value;
#pragma unroll
  for (int step = 1; step < 32; step *= 2) {
    const T other = __shfl_up_sync(kAllLanes, inclusive, step);
    if (lane >= step) inclusive += other;
  }
  T* words = reinterpret_cast<T*>(scratch.words);
  __syncthreads();
  if (lane == 31) words[warp] = inclusive;
  __syncthreads();
  T before = inclusive - value;
  for (int w = 0; w < warp; ++w) before += words[w];
  return before;
}

// ---- logits ----

__device__ __forceinline__ bool has_penalties(const SampleRow& row) {
  return (row.repetition_penalty != 1.0f || row.frequency_penalty != 0.0f || row.presence_penalty != 0.0f) &&
         (row.prompt_count > 0 || row.output_count > 0 || row.pending_output != nullptr);
}
__device__ __forceinline__ bool is_adjusted(const SampleRow& row) {
  return row.bias_count > 0 || row.allowed_mask != nullptr || has_penalties(row);
}

// A token's mark: how often it is in the output, and whether it is in the prompt or has a bias.
inline constexpr uint32_t kInPrompt = 1u << 31, kHasBias = 1u << 30, kCountMask = kHasBias - 1;

/// Marks of the tokens [first, first + kSampleChunk). Ends synchronised.
__device__ inline void mark_tokens(const SampleRow& row, int32_t first, uint32_t* marks) {
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < kSampleChunk; i += kSampleThreads) marks[i] = 0;
  __syncthreads();
  const auto slot = [&](int32_t id) { return static_cast<uint32_t>(id - first); };
  const int thread = static_cast<int>(threadIdx.x);
  for (int32_t i = thread; i < row.bias_count; i += kSampleThreads) {
    if (const uint32_t at = slot(row.bias_ids[i]); at < kSampleChunk) atomicOr(&marks[at], kHasBias);
  }
  if (has_penalties(row)) {
    for (int32_t i = thread; i < row.prompt_count; i += kSampleThreads) {
      if (const uint32_t at = slot(row.prompt_ids[i]); at < kSampleChunk) atomicOr(&marks[at], kInPrompt);
    }
    for (int32_t i = thread; i < row.output_count; i += kSampleThreads) {
      if (const uint32_t at = slot(row.output_ids[i]); at < kSampleChunk) atomicAdd(&marks[at], 1u);
    }
    if (thread == 0 && row.pending_output != nullptr && *row.pending_output >= 0) {
      if (const uint32_t at = slot(*row.pending_output); at < kSampleChunk) atomicAdd(&marks[at], 1u);
    }
  }
  __syncthreads();
}

/// Bias (in the order it is given: an id may come twice), penalties, mask; each operation rounded by itself,
/// as the oracle's, never fused.
__device__ __forceinline__ float adjusted(const SampleRow& row, int32_t id, float logit, uint32_t mark) {
  if ((mark & kHasBias) != 0) {
    for (int32_t i = 0; i < row.bias_count; ++i) {
      if (row.bias_ids[i] == id) logit = __fadd_rn(logit, row.bias_values[i]);
    }
  }
  const uint32_t count = mark & kCountMask;
  if ((mark & kInPrompt) != 0 || count != 0) {
    logit = logit > 0 ? __fdiv_rn(logit, row.repetition_penalty) : __fmul_rn(logit, row.repetition_penalty);
  }
  if (count != 0) {
    logit = __fsub_rn(logit, __fmul_rn(row.frequency_penalty, static_cast<float>(count)));
    logit = __fsub_rn(logit, row.presence_penalty);
  }
  if (row.allowed_mask != nullptr && (row.allowed_mask[id / 32] >> (id % 32) & 1u) == 0) return -INFINITY;
  return fminf(logit, FLT_MAX);
}

/// Raw logits [begin, end), `begin` a multiple of 4: calls visit(id, raw) in rising order within a thread.
template <typename Visit>
__device__ __forceinline__ void for_each_raw(const float* logits, int32_t begin, int32_t end, Visit visit) {
  constexpr int kUnroll = 4;
  constexpr int kStep = 4 * kSampleThreads;
  const bool vector = reinterpret_cast<uint64_t>(logits) % 16 == 0;
  for (int32_t base = begin + 4 * static_cast<int32_t>(threadIdx.x); base < end; base += kUnroll * kStep) {
    float values[kUnroll][4];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const int32_t at = base + u * kStep;
      if (vector && at + 4 <= end) {
        const float4 piece = *reinterpret_cast<const float4*>(logits + at);
        values[u][0] = piece.x, values[u][1] = piece.y, values[u][2] = piece.z, values[u][3] = piece.w;
      } else {
#pragma unroll
        for (int i = 0; i < 4; ++i) values[u][i] = at + i < end ? logits[at + i] : 0.0f;
      }
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const int32_t at = base + u * kStep;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if (at + i < end) visit(at + i, values[u][i]);
      }
    }
  }
}

/// The same with what bias, penalties and mask make of them: visit(id, raw, score). The whole block calls it;
/// `visit` must not synchronise. `marks`: kSampleChunk words of shared memory.
template <typename Visit>
__device__ __forceinline__ void for_each_score(const SampleRow& row, const float* logits, int32_t begin,
                                               int32_t end, uint32_t* marks, Visit visit) {
  if (!is_adjusted(row)) {
    for_each_raw(logits, begin, end, [&](int32_t id, float raw) { visit(id, raw, fminf(raw, FLT_MAX)); });
    return;
  }
  for (int32_t first = begin; first < end; first += kSampleChunk) {
    mark_tokens(row, first, marks);
    const int32_t last = min(end, first + kSampleChunk);
    for (int32_t id = first + static_cast<int32_t>(threadIdx.x); id < last; id += kSampleThreads) {
      const float raw = logits[id];
      visit(id, raw, adjusted(row, id, fminf(raw, FLT_MAX), marks[id - first]));
    }
  }
}

// ---- weights ----

/// exp((score - largest) / temperature) in units of 2^-45, and bins of scores in falling order. What is below
/// half a unit weighs nothing: with at most 2^18 candidates that is less than a draw's 2^-32 can tell.
struct SampleWeights {
  float largest;
  float temperature;
  double min_p;
  float bins_per_unit;

  __device__ SampleWeights(const SampleRow& row, float largest_score, float lowest_score)
      : largest(largest_score), temperature(row.temperature), min_p(row.min_p) {
    const float span = fminf(kReach, __fdiv_rn(__fsub_rn(largest_score, lowest_score), row.temperature));
    bins_per_unit = span > 1e-30f ? kSampleBins / span : 0.0f;
  }
  __device__ __forceinline__ float scaled(float score) const {
    return __fdiv_rn(__fsub_rn(score, largest), temperature);
  }
  __device__ __forceinline__ uint64_t of(float score) const {
    const float exponent = scaled(score);
    if (!(exponent >= -kReach)) return 0;
    const double weight = exp(static_cast<double>(exponent));
    return weight < min_p && score < largest ? 0 : __double2ull_rn(weight * 0x1p45);
  }
  __device__ __forceinline__ int bin(float score) const {
    return static_cast<int>(fminf(-scaled(score) * bins_per_unit, static_cast<float>(kSampleBins - 1)));
  }

  static constexpr float kReach = 32.0f;
};

}  // namespace hadal::cuda
