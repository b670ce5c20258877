// Down and the sum over slots for a handful of tokens: a block takes 16 columns of one token's output and
// runs through all of the token's experts, so that the memory always has something under way.
#include <algorithm>

#include "kernels/cuda/kernels/launch.cuh"
#include "kernels/cuda/kernels/moe_fragments.cuh"
#include "kernels/cuda/kernels/moe_skinny.h"

namespace hadal::cuda {
namespace {

constexpr int kRows = 16;

/// As many stages as 96 KiB hold: two blocks fit a multiprocessor of Hopper.
template <WeightFormat kFormat>
inline constexpr int kLoads = 2 + kTokenPieces<kFormat>;
template <WeightFormat kFormat>
inline constexpr int kStages = 24 / kLoads<kFormat>;
template <WeightFormat kFormat>
inline constexpr int kBytes = kStages<kFormat>* kLoads<kFormat> * 16 * kSkinnyThreads;

/// Partial sums of the slots, and what is known of them.
struct Slots {
  float sums[kMoeTinySlots][kSkinnyWarps][kRows];
  float weights[kMoeTinySlots];
  int32_t experts[kMoeTinySlots + 1];  // one more, which is looked at but not used
};

/// A place in the run through slots and, within each, through the warp's steps.
template <WeightFormat kFormat>
struct Place {
  const MoeParams& p;
  const Slots& slots;
  const RowFacts routed, shared;
  const WarpSteps steps;
  const int32_t first_row, pair;
  int32_t slot = 0, step = 0;
  LaneRows rows[1] = {};
  const char* token = nullptr;
  bool is_shared = false;

  __device__ __forceinline__ const RowFacts& facts() const { return is_shared ? shared : routed; }

  __device__ __forceinline__ void enter(int32_t next) {
    slot = next;
    step = steps.begin;
    const int32_t expert = slots.experts[slot];
    is_shared = expert >= p.routed.count;
    const WeightRef w =
        is_shared ? matrix_of(p.shared.down, expert - p.routed.count) : matrix_of(p.routed.down, expert);
    rows[0] = lane_rows<kFormat>(w, facts(), first_row);
    const int64_t at =
        int64_t{pair + min(slot, p.slots - 1)} * p.inner + threadIdx.x % 4 * kPieceValues<kFormat>;
    token = static_cast<const char*>(p.hidden) + 2 * at;
  }
  __device__ __forceinline__ void advance() {
    if (++step == steps.begin + steps.count) enter(slot + 1);
  }
};

template <WeightFormat kFormat>
__device__ __forceinline__ char* piece_of(char* shared, int stage, int load) {
  return shared + ((stage * kLoads<kFormat> + load) * kSkinnyThreads + threadIdx.x) * 16;
}

template <WeightFormat kFormat>
__device__ __forceinline__ void issue(char* shared, int stage, const Place<kFormat>& place) {
  const char* from = place.rows[0].values + int64_t{place.step} * 64;
  copy_weights16(piece_of<kFormat>(shared, stage, 0), from);
  copy_weights16(piece_of<kFormat>(shared, stage, 1), from + 8 * place.facts().row_bytes);
  if (threadIdx.x % 32 >= 4) return;  // one token: column 0 alone
#pragma unroll
  for (int j = 0; j < kTokenPieces<kFormat>; ++j) {
    copy_async16(piece_of<kFormat>(shared, stage, 2 + j),
                 place.token + int64_t{place.step} * (kSpanValues<kFormat> * 2) + 16 * j);
  }
}

template <WeightFormat kFormat>
__device__ __forceinline__ void multiply(char* shared, int stage, const SpanScales<kFormat, 1, 1>& scales,
                                         float (&sums)[4]) {
  const uint4 bits[2] = {*reinterpret_cast<const uint4*>(piece_of<kFormat>(shared, stage, 0)),
                         *reinterpret_cast<const uint4*>(piece_of<kFormat>(shared, stage, 1))};
#pragma unroll
  for (int j = 0; j < kTokenPieces<kFormat>; ++j) {
    uint4 x = make_uint4(0, 0, 0, 0);
    if (threadIdx.x % 32 < 4) x = *reinterpret_cast<const uint4*>(piece_of<kFormat>(shared, stage, 2 + j));
    uint32_t upper[4], lower[4];
    scales.decode(bits[0], 0, 0, j, upper);
    scales.decode(bits[1], 0, 1, j, lower);
    const uint32_t first[4] = {upper[0], lower[0], upper[1], lower[1]};
    const uint32_t second[4] = {upper[2], lower[2], upper[3], lower[3]};
    mma_bf16(sums, first, x.x, x.y);
    mma_bf16(sums, second, x.z, x.w);
  }
}

template <WeightFormat kFormat>
__device__ __forceinline__ void run_slots(char* shared, Slots& slots, const MoeParams& p, int32_t token) {
  const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4;
  const WarpSteps steps = warp_steps(p.inner / kSpanValues<kFormat>, warp);
  const int32_t first_row = static_cast<int32_t>(blockIdx.x) * kRows;
  const RowFacts routed = row_facts<kFormat>(p.routed.count > 0 ? p.routed.down.first : p.shared.down.first);
  const RowFacts slices = row_facts<kFormat>(p.shared.count > 0 ? p.shared.down.first : p.routed.down.first);
  Place<kFormat> now{p, slots, routed, slices, steps, first_row, token * p.slots};
  now.enter(0);
  Place<kFormat> ahead = now;
  const int32_t total = p.slots * steps.count;
#pragma unroll 1
  for (int s = 0; s < kStages<kFormat>; ++s) {
    if (s < total) {
      issue<kFormat>(shared, s, ahead);
      if (s + 1 < total) ahead.advance();
    }
    copy_async_commit();
  }
  SpanScales<kFormat, 1, 1> scales, next;
  if (total > 0) scales.load(now.rows, now.facts(), now.step);
  float sums[4] = {0, 0, 0, 0};
  int stage = 0;
#pragma unroll 1
  for (int32_t i = 0; i < total; ++i) {
    copy_async_wait<kStages<kFormat> - 1>();
    const int32_t slot = now.slot;
    now.advance();
    next.load(now.rows, now.facts(), now.step);
    multiply<kFormat>(shared, stage, scales, sums);
    // behind the products in program order: they have read the piece that is filled again
    if (i + kStages<kFormat> < total) {
      issue<kFormat>(shared, stage, ahead);
      if (i + kStages<kFormat> + 1 < total) ahead.advance();
    }
    copy_async_commit();
    if (now.slot != slot) {  // the slot is done
      if (threadIdx.x % 4 == 0) {
        slots.sums[slot][warp][g] = sums[0];
        slots.sums[slot][warp][g + 8] = sums[2];
      }
      sums[0] = sums[1] = sums[2] = sums[3] = 0;
    }
    scales = next;
    stage = stage + 1 == kStages<kFormat> ? 0 : stage + 1;
  }
  copy_async_wait<0>();
  if (total == 0 && threadIdx.x % 32 < kRows) {  // an inner length of fewer steps than warps
    for (int32_t slot = 0; slot < p.slots; ++slot) slots.sums[slot][warp][threadIdx.x % 32] = 0;
  }
}

/// The block's rows of the slices, whose weights are known without the router, into L2: as many slices as
/// fit.
template <WeightFormat kFormat>
__device__ __forceinline__ void prefetch_slices(const MoeParams& p) {
  constexpr int32_t kMostBytes = 96 << 10;
  const int32_t row_bytes = p.inner / kSpanValues<kFormat> * 64;
  const int32_t slices = min(p.shared.count, max(1, kMostBytes / (kRows * row_bytes)));
  const RowFacts facts = row_facts<kFormat>(p.shared.down.first);
  for (int32_t i = threadIdx.x; i < slices * kRows; i += kSkinnyThreads) {
    const int64_t row = int64_t{blockIdx.x} * kRows + i % kRows;
    prefetch_l2(static_cast<const char*>(matrix_of(p.shared.down, i / kRows).data) + row * facts.row_bytes,
                static_cast<uint32_t>(row_bytes));
  }
}

template <WeightFormat kFormat>
__global__ void __launch_bounds__(kSkinnyThreads, 2) down_kernel(const __grid_constant__ MoeParams p) {
  extern __shared__ __align__(16) char shared[];
  __shared__ Slots slots;
  const auto token = static_cast<int32_t>(blockIdx.y);
  const int thread = threadIdx.x;
  float* out = p.out + token * p.out_stride + blockIdx.x * kRows;
  if (token == 0 && p.shared.count > 0) prefetch_slices<kFormat>(p);
  wait_for_previous();
  if (token >= live_of(p.live, p.tokens)) {
    if (thread < kRows && p.accumulate == 0) out[thread] = 0;
    return;
  }
  if (thread <= p.slots) {
    const bool real = thread < p.slots;
    slots.experts[thread] = real ? expert_of(p, token, thread) : p.routed.count > 0 ? 0 : p.routed.count;
    if (real) slots.weights[thread] = thread < p.top_k ? p.weights[token * p.top_k + thread] : 1.0f;
  }
  __syncthreads();
  // an id that is none: its weight is left out below, and expert 0 read in its place
  const bool none = thread < p.slots && slots.experts[thread] < 0;
  const bool any_none = __syncthreads_or(none) != 0;
  if (any_none && none) slots.experts[thread] = 0;
  if (any_none) __syncthreads();

  run_slots<kFormat>(shared, slots, p, token);
  let_next_start();
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
    if (expert_of(p, token, slot) >= 0) sum = fmaf(slots.weights[slot], slots.sums[slot][0][row], sum);
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
