#include <cuda_bf16.h>

#include "kernels/cuda/kernels/launch.cuh"
#include "kernels/cuda/kernels/moe_items.cuh"
#include "kernels/cuda/kernels/route.h"
#include "kernels/cuda/kernels/route_row.cuh"

namespace hadal::cuda {
namespace {

constexpr int kRouteWarps = 4;
constexpr int kFewest = 2, kFew = 8, kMany = 32;  // experts a lane: up to 64, 256, 1,024

template <int kPerLane>
__global__ void __launch_bounds__(kRouteWarps * 32)
    route_kernel(const __grid_constant__ RouteExpertsArgs args) {
  __shared__ RouteScratch<kPerLane> scratch[kRouteWarps];
  const int warp = threadIdx.x / 32;
  const auto row = static_cast<int32_t>(blockIdx.x) * kRouteWarps + warp;
  let_next_start();
  wait_for_previous();
  if (row >= live_of(args.live_rows, static_cast<int32_t>(args.logits.rows))) return;
  float logits[kPerLane];
  load_logits(args, row, logits);
  route_row(args, row, logits, scratch[warp]);
}

// ---- logits ----

constexpr int kWarps = 8;                 // they split the inner length
constexpr int kTokens = 4, kExperts = 8;  // of a block
constexpr int kFusedTokens = 256;         // above, the choice is a kernel of its own
constexpr unsigned kClusterBlocks = 8;    // as many as any GPU with clusters takes

/// Who chooses when a group of tokens has its logits.
enum class Choice : int32_t {
  kKernel,   // a kernel of its own
  kLast,     // the last of the group's blocks
  kCluster,  // the group's blocks are a cluster: its first block, which gets the logits in its shared memory
};
static_assert(kTokens == kRouteWarps && kTokens * kExperts == 32);

/// Blocks of a group of tokens that are done; each count is back at 0 when the last one is.
__device__ unsigned int arrivals[kFusedTokens / kTokens];

__device__ __forceinline__ void widen(const uint4& bits, float (&out)[8]) {
  const uint32_t words[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    out[2 * i] = __uint_as_float(words[i] << 16);
    out[2 * i + 1] = __uint_as_float(words[i] & 0xFFFF0000u);
  }
}

/// Eight values of a row of the gate, as they are stored.
template <typename Gate>
struct GatePiece;
template <>
struct GatePiece<__nv_bfloat16> {
  uint4 bits;
  __device__ __forceinline__ void load(const __nv_bfloat16* from) {
    bits = __ldg(reinterpret_cast<const uint4*>(from));
  }
  __device__ __forceinline__ void values(float (&out)[8]) const { widen(bits, out); }
};
template <>
struct GatePiece<float> {
  float4 a, b;
  __device__ __forceinline__ void load(const float* from) {
    a = __ldg(reinterpret_cast<const float4*>(from));
    b = __ldg(reinterpret_cast<const float4*>(from) + 1);
  }
  __device__ __forceinline__ void values(float (&out)[8]) const {
    out[0] = a.x, out[1] = a.y, out[2] = a.z, out[3] = a.w;
    out[4] = b.x, out[5] = b.y, out[6] = b.z, out[7] = b.w;
  }
};

/// The block's rows of the gate into L2, from column `first` on and 16 KiB at most: a row a warp. Both
/// columns are multiples of 8.
template <typename Gate>
__device__ __forceinline__ void prefetch_gate(const Gate* gate, int32_t expert, int32_t experts,
                                              int32_t first, int32_t cols) {
  static_assert(kWarps == kExperts);
  constexpr int64_t kMostBytes = 16384;
  if (threadIdx.x % 32 != 0 || expert >= experts || first >= cols) return;
  prefetch_l2(gate + int64_t{expert} * cols + first,
              static_cast<uint32_t>(min(kMostBytes, int64_t{cols - first} * int64_t{sizeof(Gate)})));
}

/// Lane l ends with the sum over lanes of values[l].
__device__ __forceinline__ float transposed_sum(float (&values)[32]) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int half = 16; half > 0; half /= 2) {
    const bool upper = (lane & half) != 0;
#pragma unroll
    for (int i = 0; i < half; ++i) {
      const float away = upper ? values[i] : values[i + half];
      const float kept = upper ? values[i + half] : values[i];
      values[i] = kept + __shfl_xor_sync(0xffffffffu, away, half);
    }
  }
  return values[0];
}

/// Logits of four tokens and eight experts (blockIdx.y, x), and the choice.
template <typename Gate, int kPerLane>
__global__ void __launch_bounds__(kWarps * 32)
    router_kernel(const __nv_bfloat16* x, int64_t x_stride, const Gate* gate, int32_t cols, Choice choice,
                  const __grid_constant__ RouteExpertsArgs args) {
  __shared__ float parts[kWarps][32];
  __shared__ RouteScratch<kPerLane> scratch[kRouteWarps];
  __shared__ float cluster_logits[kTokens][kClusterBlocks * kExperts];
  __shared__ bool is_last;
  const auto first_token = static_cast<int32_t>(blockIdx.y) * kTokens;
  const auto first_expert = static_cast<int32_t>(blockIdx.x) * kExperts;
  const auto experts = static_cast<int32_t>(args.logits.cols);
  const int32_t tokens = live_of(args.live_rows, static_cast<int32_t>(args.logits.rows)) - first_token;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  GatePiece<Gate> pieces[kExperts];
  const auto load = [&](int32_t k) {
#pragma unroll
    for (int e = 0; e < kExperts; ++e)
      pieces[e].load(gate + int64_t{min(first_expert + e, experts - 1)} * cols + k);
  };
  const int32_t begin = static_cast<int32_t>(threadIdx.x) * 8;
  constexpr bool kAhead = sizeof(Gate) == 2;  // float32 rows are too many registers to hold
  if (kAhead && begin < cols) load(begin);
  prefetch_gate(gate, first_expert + warp, experts, kAhead ? kWarps * 32 * 8 : 0, cols);
  let_next_start();
  if (choice == Choice::kCluster) cluster_arrive();  // the first block must run before others write to it
  wait_for_previous();
  if (tokens <= 0) return;  // the same for all blocks of the group

  float sums[32] = {};  // [token][expert]
  for (int32_t k = begin; k < cols; k += kWarps * 32 * 8) {
    if (!kAhead || k > begin) load(k);
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      if (t >= tokens) break;
      float values[8];
      widen(*reinterpret_cast<const uint4*>(x + (first_token + t) * x_stride + k), values);
#pragma unroll
      for (int e = 0; e < kExperts; ++e) {
        float w[8];
        pieces[e].values(w);
#pragma unroll
        for (int i = 0; i < 8; ++i) sums[t * kExperts + e] = fmaf(w[i], values[i], sums[t * kExperts + e]);
      }
    }
  }
  parts[warp][lane] = transposed_sum(sums);
  __syncthreads();
  if (warp == 0) {
    float sum = parts[0][lane];
#pragma unroll
    for (int w = 1; w < kWarps; ++w) sum += parts[w][lane];
    const int32_t token = lane / kExperts, expert = first_expert + lane % kExperts;
    if (choice == Choice::kCluster) {
      cluster_wait();
      store_peer(peer_address(&cluster_logits[token][expert], 0), sum);
    }
    if (token < tokens && expert < experts)
      static_cast<float*>(args.logits.data)[(first_token + token) * args.logits.stride + expert] = sum;
  } else if (choice == Choice::kCluster) {
    cluster_wait();
  }
  if (choice == Choice::kKernel) return;
  float logits[kPerLane];
  if (choice == Choice::kCluster) {
    cluster_arrive();
    if (blockIdx.x != 0) return;
    cluster_wait();
    if (warp >= min(tokens, kTokens)) return;
#pragma unroll
    for (int i = 0; i < kPerLane; ++i)
      logits[i] = i * 32 + lane < experts ? cluster_logits[warp][i * 32 + lane] : -INFINITY;
  } else {
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) is_last = atomicInc(&arrivals[blockIdx.y], gridDim.x - 1) == gridDim.x - 1;
    __syncthreads();
    if (!is_last) return;
    __threadfence();
    if (warp >= min(tokens, kTokens)) return;
    load_logits(args, first_token + warp, logits);
  }
  route_row(args, first_token + warp, logits, scratch[warp]);
}

template <typename Gate, int kPerLane>
cudaError_t run_router(cudaStream_t stream, const Mat& x, const WeightRef& gate,
                       const RouteExpertsArgs& args) {
  const auto tokens = static_cast<unsigned>(x.rows), experts = static_cast<unsigned>(args.logits.cols);
  const dim3 grid((experts + kExperts - 1) / kExperts, (tokens + kTokens - 1) / kTokens);
  const bool clusters = grid.x <= kClusterBlocks && overlaps_previous<router_kernel<Gate, kPerLane>>();
  const Choice choice = x.rows > kFusedTokens ? Choice::kKernel : clusters ? Choice::kCluster : Choice::kLast;
  LaunchShape shape{grid, kWarps * 32};
  if (choice == Choice::kCluster) shape.cluster = grid.x;
  const cudaError_t error = launch_kernel<router_kernel<Gate, kPerLane>>(
      stream, shape, static_cast<const __nv_bfloat16*>(x.data), x.stride, static_cast<const Gate*>(gate.data),
      static_cast<int32_t>(x.cols), choice, args);
  return choice != Choice::kKernel || error != cudaSuccess ? error : launch_route(stream, args);
}

template <typename Gate>
cudaError_t router_by_size(cudaStream_t stream, const Mat& x, const WeightRef& gate,
                           const RouteExpertsArgs& args) {
  if (args.logits.cols <= kFewest * 32) return run_router<Gate, kFewest>(stream, x, gate, args);
  if (args.logits.cols <= kFew * 32) return run_router<Gate, kFew>(stream, x, gate, args);
  return run_router<Gate, kMany>(stream, x, gate, args);
}

}  // namespace

cudaError_t launch_route(cudaStream_t stream, const RouteExpertsArgs& args) {
  const auto blocks = static_cast<unsigned>((args.logits.rows + kRouteWarps - 1) / kRouteWarps);
  const LaunchShape shape{blocks, kRouteWarps * 32};
  if (args.logits.cols <= kFewest * 32) return launch_kernel<route_kernel<kFewest>>(stream, shape, args);
  if (args.logits.cols <= kFew * 32) return launch_kernel<route_kernel<kFew>>(stream, shape, args);
  return launch_kernel<route_kernel<kMany>>(stream, shape, args);
}

cudaError_t launch_router(cudaStream_t stream, const Mat& x, const WeightRef& gate,
                          const RouteExpertsArgs& args) {
  return gate.dtype == DType::kBF16 ? router_by_size<__nv_bfloat16>(stream, x, gate, args)
                                    : router_by_size<float>(stream, x, gate, args);
}

}  // namespace hadal::cuda
