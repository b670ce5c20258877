// Down and the sum over slots for a handful of tokens: a block takes 8 columns of one token's output and runs
// through all of the token's experts, so that the memory always has something under way. So few columns that
// a single token's blocks fill every multiprocessor twice; the other half of a product's 16 rows is zeros.
//
// All weights are known before the kernel before this one (gate and up) is done, so that the first stages are
// on their way by then: slices without the router, and the router's choice since gate and up waited for it.
// Slices come first. What a slot gives is put aside, and the slots are summed in their own order.
#include <algorithm>

#include "kernels/cuda/kernels/launch.cuh"
#include "kernels/cuda/kernels/moe_fragments.cuh"
#include "kernels/cuda/kernels/moe_skinny.h"

namespace hadal::cuda {
namespace {

constexpr int kRows = 8;
constexpr int kSpans = 2;  // of a step: side by side they are whole lines of the L2

template <WeightFormat kFormat>
inline constexpr int kTokenBytes = kSpans* kTokenPieces<kFormat> * 4 * 16;  // of a warp and step
template <WeightFormat kFormat>
inline constexpr int kStageBytes = kSpans * 16 * kSkinnyThreads + kSkinnyWarps* kTokenBytes<kFormat>;
/// As many stages as 96 KiB hold: two blocks fit a multiprocessor of Hopper.
template <WeightFormat kFormat>
inline constexpr int kStages = 96 * 1024 / kStageBytes<kFormat>;
template <WeightFormat kFormat>
inline constexpr int kBytes = kStages<kFormat>* kStageBytes<kFormat>;
static_assert(kStages<WeightFormat::kAwqGemm> > 1);

/// Partial sums of the slots, and what is known of them.
struct Slots {
  float sums[kMoeTinySlots][kSkinnyWarps][kRows];
  float weights[kMoeTinySlots];
  int32_t experts[kMoeTinySlots];
  bool none[kMoeTinySlots];  // the router's id is none: expert 0 is read in its place, and left out
};

/// Before the kernel before this one is done: see launch_moe_tiny_gate_up.
__device__ __forceinline__ void load_slots(const MoeParams& p, int32_t token, Slots& slots) {
  const auto slot = static_cast<int32_t>(threadIdx.x);
  if (slot < p.slots) {
    const int32_t expert = expert_of(p, token, slot);
    slots.experts[slot] = max(expert, 0);
    slots.none[slot] = expert < 0;
    slots.weights[slot] = slot < p.top_k ? __ldcg(p.weights + token * p.top_k + slot) : 1.0f;
  }
  __syncthreads();
}

/// A place in the run through slots (slices first) and, within each, through the warp's spans.
template <WeightFormat kFormat>
struct Place {
  const MoeParams& p;
  const Slots& slots;
  const RowFacts routed, shared;
  const WarpSteps spans;
  const int32_t first_row, pair;  // the token's first pair
  int32_t order = 0, slot = 0, span = 0;
  LaneRows rows[1] = {};
  const char* token = nullptr;
  bool is_shared = false;

  __device__ __forceinline__ const RowFacts& facts() const { return is_shared ? shared : routed; }
  __device__ __forceinline__ bool is_pair() const { return span + 1 < spans.begin + spans.count; }

  /// Slices need nothing of `slots`. Behind the last slot: the last once more, which is looked at but not
  /// used.
  __device__ __forceinline__ void enter(int32_t next) {
    order = next;
    span = spans.begin;
    const int32_t slices = p.shared.count, at = min(next, p.slots - 1);
    is_shared = at < slices;
    slot = is_shared ? at + p.top_k : at - slices;
    const WeightRef w =
        is_shared ? matrix_of(p.shared.down, at) : matrix_of(p.routed.down, slots.experts[slot]);
    rows[0] = lane_rows<kFormat>(w, facts(), first_row);
    token = static_cast<const char*>(p.hidden) +
            2 * (int64_t{pair + slot} * p.inner + threadIdx.x % 4 * kPieceValues<kFormat>);
  }
  __device__ __forceinline__ void advance() {
    span += kSpans;
    if (span >= spans.begin + spans.count) enter(order + 1);
  }
  /// To step `step` of the run, of which each slot has `steps`.
  __device__ __forceinline__ void jump(int32_t step, int32_t steps) {
    enter(step / steps);
    span += kSpans * (step % steps);
  }
};

template <WeightFormat kFormat>
__device__ __forceinline__ char* weights_piece(char* shared, int stage, int span) {
  return shared + stage * kStageBytes<kFormat> + (span * kSkinnyThreads + static_cast<int>(threadIdx.x)) * 16;
}
/// Of lane t < 4: one token is column 0 of a product alone.
template <WeightFormat kFormat>
__device__ __forceinline__ char* token_piece(char* shared, int stage, int span, int piece) {
  const int warp = threadIdx.x / 32, t = threadIdx.x % 4;
  return shared + stage * kStageBytes<kFormat> + kSpans * 16 * kSkinnyThreads + warp * kTokenBytes<kFormat> +
         ((span * kTokenPieces<kFormat> + piece) * 4 + t) * 16;
}

template <WeightFormat kFormat>
__device__ __forceinline__ void issue_weights(char* shared, int stage, const Place<kFormat>& place) {
  const char* from = place.rows[0].values + int64_t{place.span} * 64;
  copy_weights16(weights_piece<kFormat>(shared, stage, 0), from);
  if (place.is_pair()) copy_weights16(weights_piece<kFormat>(shared, stage, 1), from + 64);
}

template <WeightFormat kFormat>
__device__ __forceinline__ void issue_token(char* shared, int stage, const Place<kFormat>& place) {
  if (threadIdx.x % 32 >= 4) return;
#pragma unroll
  for (int i = 0; i < kSpans; ++i) {
    if (i > 0 && !place.is_pair()) break;
#pragma unroll
    for (int j = 0; j < kTokenPieces<kFormat>; ++j) {
      copy_async16(token_piece<kFormat>(shared, stage, i, j),
                   place.token + int64_t{place.span + i} * (kSpanValues<kFormat> * 2) + 16 * j);
    }
  }
}

/// The tokens' pieces of the first kStages steps, by all lanes at once and not among the copies: the weights
/// of those steps may be waited for one by one.
template <WeightFormat kFormat>
__device__ __forceinline__ void load_first_tokens(char* shared, Place<kFormat> place, int32_t steps,
                                                  int32_t total) {
  constexpr int kRounds = (kStages<kFormat> + 7) / 8, kPieces = kSpans * kTokenPieces<kFormat>;
  const int32_t mine = static_cast<int32_t>(threadIdx.x) % 32 / 4;  // a stage of each round
  uint4 bits[kRounds][kPieces];
#pragma unroll
  for (int r = 0; r < kRounds; ++r) {
    const int32_t step = 8 * r + mine;
    if (step >= min(total, kStages<kFormat>)) break;
    place.jump(step, steps);
#pragma unroll
    for (int i = 0; i < kPieces; ++i) {
      const int span = i / kTokenPieces<kFormat>, piece = i % kTokenPieces<kFormat>;
      if (span > 0 && !place.is_pair()) break;
      bits[r][i] = __ldcg(reinterpret_cast<const uint4*>(
          place.token + int64_t{place.span + span} * (kSpanValues<kFormat> * 2) + 16 * piece));
    }
  }
#pragma unroll
  for (int r = 0; r < kRounds; ++r) {
    const int32_t step = 8 * r + mine;
    if (step >= min(total, kStages<kFormat>)) break;
#pragma unroll
    for (int i = 0; i < kPieces; ++i) {  // behind the last span: anything, which is not used
      *reinterpret_cast<uint4*>(token_piece<kFormat>(shared, step, i / kTokenPieces<kFormat>,
                                                     i % kTokenPieces<kFormat>)) = bits[r][i];
    }
  }
  __syncwarp();
}

template <WeightFormat kFormat>
using Scales = SpanScales<kFormat, 1, 1, 1>;

template <WeightFormat kFormat>
__device__ __forceinline__ void load_scales(const Place<kFormat>& place, Scales<kFormat> (&scales)[kSpans]) {
  scales[0].load(place.rows, place.facts(), place.span);
  scales[1].load(place.rows, place.facts(), place.is_pair() ? place.span + 1 : place.span);
}

/// Span by span, as moe_skinny.cu does it: the same bits.
template <WeightFormat kFormat>
__device__ __forceinline__ void multiply(char* shared, int stage, int count,
                                         const Scales<kFormat> (&scales)[kSpans], float (&sums)[4]) {
#pragma unroll
  for (int i = 0; i < kSpans; ++i) {
    if (i >= count) break;
    const uint4 bits = *reinterpret_cast<const uint4*>(weights_piece<kFormat>(shared, stage, i));
#pragma unroll
    for (int j = 0; j < kTokenPieces<kFormat>; ++j) {
      uint4 x = make_uint4(0, 0, 0, 0);
      if (threadIdx.x % 32 < 4)
        x = *reinterpret_cast<const uint4*>(token_piece<kFormat>(shared, stage, i, j));
      uint32_t row[4];
      scales[i].decode(bits, 0, 0, j, row);
      const uint32_t first[4] = {row[0], 0, row[1], 0}, second[4] = {row[2], 0, row[3], 0};
      mma_bf16(sums, first, x.x, x.y);
      mma_bf16(sums, second, x.z, x.w);
    }
  }
}

/// Fills slots.sums. Waits for the kernel before this one.
template <WeightFormat kFormat>
__device__ __forceinline__ void run_slots(char* shared, Slots& slots, const MoeParams& p, int32_t token) {
  constexpr int kDepth = kStages<kFormat>;
  const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4;
  const WarpSteps spans = warp_steps(p.inner / kSpanValues<kFormat>, warp);
  const int32_t first_row = static_cast<int32_t>(blockIdx.x) * kRows;
  const RowFacts routed = row_facts<kFormat>(p.routed.count > 0 ? p.routed.down.first : p.shared.down.first);
  const RowFacts slices = row_facts<kFormat>(p.shared.count > 0 ? p.shared.down.first : p.routed.down.first);
  Place<kFormat> now{p, slots, routed, slices, spans, first_row, token * p.slots};
  const int32_t steps = (spans.count + kSpans - 1) / kSpans, total = p.slots * steps;
  const int32_t slices_steps = min(p.shared.count * steps, kDepth);

  Place<kFormat> ahead = now;
  if (slices_steps > 0) ahead.enter(0);
#pragma unroll 1
  for (int s = 0; s < slices_steps; ++s) {
    issue_weights<kFormat>(shared, s, ahead);
    copy_async_commit();
    if (s + 1 < slices_steps) ahead.advance();
  }
  load_slots(p, token, slots);
  now.enter(0);
  if (slices_steps > 0) {
    ahead.advance();
  } else {
    ahead.enter(0);
  }
#pragma unroll 1
  for (int s = slices_steps; s < kDepth; ++s) {
    if (s < total) {
      issue_weights<kFormat>(shared, s, ahead);
      ahead.advance();
    }
    copy_async_commit();
  }
  wait_for_previous();
  load_first_tokens<kFormat>(shared, now, steps, total);
  Scales<kFormat> scales[kSpans], next[kSpans];
  if (total > 0) load_scales<kFormat>(now, scales);
  float sums[4] = {0, 0, 0, 0};
  int stage = 0;
#pragma unroll 1
  for (int32_t i = 0; i < total; ++i) {
    copy_async_wait<kDepth - 1>();
    const int32_t slot = now.slot, order = now.order, count = now.is_pair() ? 2 : 1;
    now.advance();
    load_scales<kFormat>(now, next);
    multiply<kFormat>(shared, stage, count, scales, sums);
    // behind the products in program order: they have read the pieces that are filled again
    if (i + kDepth < total) {
      issue_weights<kFormat>(shared, stage, ahead);
      issue_token<kFormat>(shared, stage, ahead);
      ahead.advance();
    } else if (i + kDepth == total) {
      let_next_start();
    }
    copy_async_commit();
    if (now.order != order) {  // the slot is done
      if (threadIdx.x % 4 == 0) slots.sums[slot][warp][g] = sums[0];
      sums[0] = sums[1] = sums[2] = sums[3] = 0;
    }
#pragma unroll
    for (int k = 0; k < kSpans; ++k) scales[k] = next[k];
    stage = stage + 1 == kDepth ? 0 : stage + 1;
  }
  copy_async_wait<0>();
  if (total == 0 && threadIdx.x % 32 < kRows) {  // an inner length of fewer spans than warps
    for (int32_t slot = 0; slot < p.slots; ++slot) slots.sums[slot][warp][threadIdx.x % 32] = 0;
  }
}

template <WeightFormat kFormat>
__global__ void __launch_bounds__(kSkinnyThreads, 2) down_kernel(const __grid_constant__ MoeParams p) {
  extern __shared__ __align__(16) char shared[];
  __shared__ Slots slots;
  const auto token = static_cast<int32_t>(blockIdx.y);
  const int thread = threadIdx.x;
  float* out = p.out + token * p.out_stride + blockIdx.x * kRows;
  if (token >= live_of(p.live, p.tokens)) {
    wait_for_previous();
    if (thread < kRows && p.accumulate == 0) out[thread] = 0;
    return;
  }
  run_slots<kFormat>(shared, slots, p, token);
  __syncthreads();
  const int row = thread % kRows;
  for (int32_t slot = thread / kRows; slot < p.slots; slot += kSkinnyThreads / kRows) {
    float sum = slots.sums[slot][0][row];
#pragma unroll
    for (int w = 1; w < kSkinnyWarps; ++w) sum += slots.sums[slot][w][row];
    slots.sums[slot][0][row] = sum;
  }
  __syncthreads();
  if (thread >= kRows) return;
  float sum = p.accumulate != 0 ? out[row] : 0.0f;
  for (int32_t slot = 0; slot < p.slots; ++slot) {
    if (!slots.none[slot]) sum = fmaf(slots.weights[slot], slots.sums[slot][0][row], sum);
  }
  out[row] = sum;
}

template <WeightFormat kFormat>
cudaError_t run_down(cudaStream_t stream, const MoeParams& p) {
  static const cudaError_t allowed = cudaFuncSetAttribute(
      down_kernel<kFormat>, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes<kFormat>);
  if (allowed != cudaSuccess) return allowed;
  const LaunchShape shape{dim3(p.width / kRows, p.tokens), kSkinnyThreads, kBytes<kFormat>};
  return launch_kernel<down_kernel<kFormat>>(stream, shape, p);
}

}  // namespace

int32_t moe_tiny_shared_bytes() {
  return std::max({kBytes<WeightFormat::kDense>, kBytes<WeightFormat::kFp8Block>,
                   kBytes<WeightFormat::kAwqGemm>}) +
         static_cast<int32_t>(sizeof(Slots)) + 1024;  // what the system keeps of a block's
}

cudaError_t launch_moe_tiny_down(cudaStream_t stream, const MoeParams& params) {
  const ExpertSet& set = params.routed.count > 0 ? params.routed : params.shared;
  switch (set.down.first.format) {
    case WeightFormat::kFp8Block:
      return run_down<WeightFormat::kFp8Block>(stream, params);
    case WeightFormat::kAwqGemm:
      return run_down<WeightFormat::kAwqGemm>(stream, params);
    default:
      return run_down<WeightFormat::kDense>(stream, params);
  }
}

}  // namespace hadal::cuda
