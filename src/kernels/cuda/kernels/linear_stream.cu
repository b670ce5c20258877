// Dense weights for at most 8 rows of x: as linear_skinny.cu, of which the order of the sums is, but what is
// under way lies in shared memory in place of registers. A block so has up to 12 chunks of each warp on their
// way before the kernel before it is done: where that one leaves the memory idle (attention, norms), most of
// a product of 4,096 columns is there when its x is.
#include <algorithm>

#include "kernels/cuda/kernels/launch.cuh"
#include "kernels/cuda/kernels/linear_skinny.h"
#include "kernels/cuda/kernels/linear_store.cuh"
#include "kernels/cuda/kernels/moe_fragments.cuh"

namespace hadal::cuda {
namespace {

constexpr int kWarps = 8, kThreads = kWarps * 32;
constexpr int kRows = 16, kTokens = 8;
constexpr int kChunk = skinny_chunk(WeightFormat::kDense);  // columns a warp takes at a time
constexpr int kStageBytes = 2 * 16 * kThreads;              // a chunk of each warp: two pieces a lane
constexpr int kHeld = 8;                                    // chunks of x under way, in registers

/// Two or three blocks a multiprocessor of Hopper, with as many stages as then fit.
constexpr int kDeep = 12, kFlat = 8;

template <int kStages>
__global__ void __launch_bounds__(kThreads, kStages == kDeep ? 2 : 3)
    stream_kernel(const __grid_constant__ LinearParams p) {
  constexpr int kPitch = kRows + 4;  // lanes of a warp store to 32 different banks
  extern __shared__ __align__(16) char ring[];
  __shared__ float partial[kWarps][kTokens][kPitch];
  const auto thread = static_cast<int32_t>(threadIdx.x);
  const int32_t warp = thread / 32, g = thread % 32 / 4, t = thread % 4;
  const int32_t row0 = static_cast<int32_t>(blockIdx.x) * kRows;
  const int32_t chunks = p.cols / kChunk;
  const int32_t begin = chunks * warp / kWarps, end = chunks * (warp + 1) / kWarps;

  const auto* weights = static_cast<const __nv_bfloat16*>(p.weight.data) + t * 8;
  const __nv_bfloat16* from[2];  // rows g and g + 8; those behind the last one are not stored
#pragma unroll
  for (int h = 0; h < 2; ++h) from[h] = weights + int64_t{min(row0 + 8 * h + g, p.outs - 1)} * p.cols;
  const auto* x = static_cast<const __nv_bfloat16*>(p.x) + g * p.x_stride + t * 8;
  const bool is_token = g < p.rows;

  const auto slot = [&](int stage, int h) {
    return ring + stage * kStageBytes + (h * kThreads + thread) * 16;
  };
  const auto issue = [&](int stage, int32_t chunk) {
#pragma unroll
    for (int h = 0; h < 2; ++h) copy_weights16(slot(stage, h), from[h] + chunk * kChunk);
  };
  const auto load_x = [&](int32_t chunk) {
    return is_token ? *reinterpret_cast<const uint4*>(x + chunk * kChunk) : make_uint4(0, 0, 0, 0);
  };

#pragma unroll
  for (int s = 0; s < kStages; ++s) {
    if (begin + s < end) issue(s, begin + s);
    copy_async_commit();
  }
  wait_for_previous();
  if (end - begin <= kStages) let_next_start();
  uint4 held[kHeld];
#pragma unroll
  for (int u = 0; u < kHeld; ++u) {
    if (begin + u < end) held[u] = load_x(begin + u);
  }
  float sum[4] = {};
  int stage = 0;
  for (int32_t first = begin; first < end; first += kHeld) {
#pragma unroll
    for (int u = 0; u < kHeld; ++u) {
      const int32_t chunk = first + u;
      if (chunk >= end) break;
      copy_async_wait<kStages - 1>();
      const uint4 upper = *reinterpret_cast<const uint4*>(slot(stage, 0));
      const uint4 lower = *reinterpret_cast<const uint4*>(slot(stage, 1));
      const uint32_t a0[4] = {upper.x, lower.x, upper.y, lower.y};
      const uint32_t a1[4] = {upper.z, lower.z, upper.w, lower.w};
      mma_bf16(sum, a0, held[u].x, held[u].y);
      mma_bf16(sum, a1, held[u].z, held[u].w);
      // behind the products in program order: they have read the slots that are filled again
      if (chunk + kStages < end) {
        issue(stage, chunk + kStages);
      } else if (chunk + kStages == end) {
        let_next_start();
      }
      copy_async_commit();
      if (chunk + kHeld < end) held[u] = load_x(chunk + kHeld);
      stage = stage + 1 == kStages ? 0 : stage + 1;
    }
  }
  copy_async_wait<0>();

#pragma unroll
  for (int i = 0; i < 4; ++i) partial[warp][2 * t + i % 2][8 * (i / 2) + g] = sum[i];
  __syncthreads();
  if (thread >= kRows * kTokens) return;
  const int32_t token = thread / kRows, row = thread % kRows;
  if (token >= p.rows || row0 + row >= p.outs) return;
  float total = partial[0][token][row];
#pragma unroll
  for (int w = 1; w < kWarps; ++w) total += partial[w][token][row];
  store_product(p, token, row0 + row, total);
}

template <int kStages>
cudaError_t run(cudaStream_t stream, unsigned blocks, const LinearParams& p) {
  constexpr int kBytes = kStages * kStageBytes;
  static const cudaError_t kAllowed =
      cudaFuncSetAttribute(stream_kernel<kStages>, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes);
  if (kAllowed != cudaSuccess) return kAllowed;
  return launch_kernel<stream_kernel<kStages>>(stream, {blocks, kThreads, kBytes}, p);
}

}  // namespace

int32_t linear_stream_shared_bytes() {
  return kDeep * kStageBytes + kWarps * kTokens * (kRows + 4) * static_cast<int32_t>(sizeof(float));
}

cudaError_t launch_linear_stream(cudaStream_t stream, const LinearParams& params, int32_t sm_count) {
  const auto blocks = static_cast<unsigned>((params.outs + kRows - 1) / kRows);
  return static_cast<int32_t>(blocks) <= 2 * sm_count ? run<kDeep>(stream, blocks, params)
                                                      : run<kFlat>(stream, blocks, params);
}

}  // namespace hadal::cuda
