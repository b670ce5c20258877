#include "kernels/cuda/kernels/launch.cuh"
#include "kernels/cuda/kernels/moe_fragments.cuh"
#include "kernels/cuda/kernels/moe_skinny.h"

namespace hadal::cuda {
namespace {

constexpr int kDownTiles = 4;  // tiles of 16 rows a block
constexpr int kStages = 2;
constexpr int kTinyStages = 3;

template <WeightFormat kFormat, int kGateTiles, int kColumns, int kDepth>
using GateUp = SkinnyProduct<kFormat, 2 * kGateTiles, 2, kColumns, kDepth>;
template <WeightFormat kFormat, int kColumns>
using Down = SkinnyProduct<kFormat, kDownTiles, 1, kColumns, kStages>;

/// Blocks that fit a multiprocessor of Hopper with that much shared memory each; bounds the registers.
constexpr int blocks_for(int bytes) { return bytes <= 73 * 1024 ? 3 : bytes <= 113 * 1024 ? 2 : 1; }

/// 16 * kGateTiles rows of gate and the same rows of up, for one item.
template <WeightFormat kFormat, int kGateTiles, int kColumns, int kDepth>
__global__ void __launch_bounds__(kSkinnyThreads,
                                  blocks_for(GateUp<kFormat, kGateTiles, kColumns, kDepth>::kSharedBytes))
    gate_up_kernel(const __grid_constant__ MoeParams p) {
  extern __shared__ __align__(16) char shared[];
  const bool tiny = p.order == MoeOrder::kPairs;  // rows run along x there, since y is short
  const int32_t index = tiny ? known_first(p, blockIdx.y) : blockIdx.x;
  const bool known = is_known(p, index);
  if (!known) wait_for_previous();
  const MoeItem item = item_at(p, index);
  if (item.count == 0) {
    wait_for_previous();
    return;
  }
  const int32_t first_row = static_cast<int32_t>(tiny ? blockIdx.x : blockIdx.y) * 16 * kGateTiles;
  const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;

  const ExpertSet& set = item.expert < p.routed.count ? p.routed : p.shared;
  const int32_t expert = item.expert < p.routed.count ? item.expert : item.expert - p.routed.count;
  const WeightRef gate = matrix_of(set.gate, expert), up = matrix_of(set.up, expert);
  const RowFacts facts = row_facts<kFormat>(gate);
  const LaneRows rows[2] = {lane_rows<kFormat>(gate, facts, first_row),
                            lane_rows<kFormat>(up, facts, first_row)};
  const char* token[kColumns];
  int32_t row[kColumns];
  uint32_t valid = 0;
#pragma unroll
  for (int n = 0; n < kColumns; ++n) {
    const bool mine = 8 * n + g < item.count;
    row[n] = mine ? pair_at(p, item.first + 8 * n + g) / p.slots : 0;
    valid |= uint32_t{mine} << n;
  }
  const GateUp<kFormat, kGateTiles, kColumns, kDepth> product{
      rows, facts, token, valid, (item.count + 7) / 8, shared};
  const WarpSteps steps = warp_steps(p.width / kSpanValues<kFormat>, threadIdx.x / 32);
  product.begin(steps);
  if (known) wait_for_previous();
#pragma unroll
  for (int n = 0; n < kColumns; ++n) {
    const int64_t at = row[n] * p.x_stride + t * kPieceValues<kFormat>;
    token[n] = static_cast<const char*>(p.x) + 2 * at;
  }
  float sums[2 * kGateTiles][kColumns][4] = {};
  product.run(steps, sums);
  __syncthreads();
  product.put_sums(sums);
  __syncthreads();

  auto* hidden = static_cast<__nv_bfloat16*>(p.hidden) + int64_t{item.first} * p.inner + first_row;
  for (int unit = threadIdx.x; unit < kGateTiles * product.columns * 32; unit += kSkinnyThreads) {
    const int lane = unit % 32, n = unit / 32 % product.columns, m = unit / 32 / product.columns;
    const float4 gates = product.all_warps(m, n, lane), ups = product.all_warps(kGateTiles + m, n, lane);
    const int column = 8 * n + 2 * (lane % 4), row = 16 * m + lane / 4;
    if (column < item.count) {
      hidden[int64_t{column} * p.inner + row] = __float2bfloat16_rn(silu(gates.x) * ups.x);
      hidden[int64_t{column} * p.inner + row + 8] = __float2bfloat16_rn(silu(gates.z) * ups.z);
    }
    if (column + 1 < item.count) {
      hidden[int64_t{column + 1} * p.inner + row] = __float2bfloat16_rn(silu(gates.y) * ups.y);
      hidden[int64_t{column + 1} * p.inner + row + 8] = __float2bfloat16_rn(silu(gates.w) * ups.w);
    }
  }
}

/// 64 rows of down for one item.
template <WeightFormat kFormat, int kColumns>
__global__ void __launch_bounds__(kSkinnyThreads, blocks_for(Down<kFormat, kColumns>::kSharedBytes))
    down_kernel(const __grid_constant__ MoeParams p) {
  extern __shared__ __align__(16) char shared[];
  const bool known = is_known(p, blockIdx.x);
  if (!known) wait_for_previous();
  const MoeItem item = item_at(p, blockIdx.x);
  if (item.count == 0) {
    wait_for_previous();
    return;
  }
  const int32_t first_column = static_cast<int32_t>(blockIdx.y) * 16 * kDownTiles;  // of `rows`
  const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;

  const ExpertSet& set = item.expert < p.routed.count ? p.routed : p.shared;
  const int32_t expert = item.expert < p.routed.count ? item.expert : item.expert - p.routed.count;
  const WeightRef down = matrix_of(set.down, expert);
  const RowFacts facts = row_facts<kFormat>(down);
  const LaneRows rows[1] = {lane_rows<kFormat>(down, facts, p.rows_first + first_column)};
  const char* token[kColumns];
  uint32_t valid = 0;
#pragma unroll
  for (int n = 0; n < kColumns; ++n) {
    const bool mine = 8 * n + g < item.count;
    const int64_t row = item.first + (mine ? 8 * n + g : 0);
    token[n] = static_cast<const char*>(p.hidden) + 2 * (row * p.inner + t * kPieceValues<kFormat>);
    valid |= uint32_t{mine} << n;
  }
  const Down<kFormat, kColumns> product{rows, facts, token, valid, (item.count + 7) / 8, shared};
  float sums[kDownTiles][kColumns][4] = {};
  const WarpSteps steps = warp_steps(p.inner / kSpanValues<kFormat>, threadIdx.x / 32);
  product.begin(steps);
  if (known) wait_for_previous();
  product.run(steps, sums);
  __syncthreads();
  product.put_sums(sums);
  __syncthreads();

  float* out = p.rows + first_column;
  for (int unit = threadIdx.x; unit < kDownTiles * product.columns * 32; unit += kSkinnyThreads) {
    const int lane = unit % 32, n = unit / 32 % product.columns, m = unit / 32 / product.columns;
    const float4 sum = product.all_warps(m, n, lane);
    const int column = 8 * n + 2 * (lane % 4), row = 16 * m + lane / 4;
    if (column < item.count) {
      float* to = out + int64_t{pair_at(p, item.first + column)} * p.rows_cols + row;
      to[0] = sum.x;
      to[8] = sum.z;
    }
    if (column + 1 < item.count) {
      float* to = out + int64_t{pair_at(p, item.first + column + 1)} * p.rows_cols + row;
      to[0] = sum.y;
      to[8] = sum.w;
    }
  }
}

template <typename Kernel>
cudaError_t allow_shared(Kernel kernel, int bytes) {
  return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
}

template <WeightFormat kFormat, int kGateTiles, int kColumns, int kDepth>
cudaError_t run_gate_up(cudaStream_t stream, const MoeParams& p) {
  constexpr int kBytes = GateUp<kFormat, kGateTiles, kColumns, kDepth>::kSharedBytes;
  static const cudaError_t allowed =
      allow_shared(gate_up_kernel<kFormat, kGateTiles, kColumns, kDepth>, kBytes);
  if (allowed != cudaSuccess) return allowed;
  const unsigned tiles = static_cast<unsigned>(p.inner / (16 * kGateTiles)), items = p.max_items;
  const dim3 grid = p.order == MoeOrder::kPairs ? dim3(tiles, items) : dim3(items, tiles);
  const LaunchShape shape{grid, kSkinnyThreads, kBytes};
  return launch_kernel<gate_up_kernel<kFormat, kGateTiles, kColumns, kDepth>>(stream, shape, p);
}

template <WeightFormat kFormat, int kColumns>
cudaError_t run_down(cudaStream_t stream, const MoeParams& p) {
  constexpr int kBytes = Down<kFormat, kColumns>::kSharedBytes;
  static const cudaError_t allowed = allow_shared(down_kernel<kFormat, kColumns>, kBytes);
  if (allowed != cudaSuccess) return allowed;
  const dim3 grid(p.max_items, p.rows_cols / (16 * kDownTiles));
  return launch_kernel<down_kernel<kFormat, kColumns>>(stream, {grid, kSkinnyThreads, kBytes}, p);
}

/// Calls body.operator()<format>().
template <typename Body>
cudaError_t by_format(const MoeParams& p, const Body& body) {
  const ExpertSet& set = p.routed.count > 0 ? p.routed : p.shared;
  switch (set.gate.first.format) {
    case WeightFormat::kFp8Block:
      return body.template operator()<WeightFormat::kFp8Block>();
    case WeightFormat::kAwqGemm:
      return body.template operator()<WeightFormat::kAwqGemm>();
    default:
      return body.template operator()<WeightFormat::kDense>();
  }
}

/// Shared memory of the larger of the two kernels.
template <WeightFormat kFormat>
int32_t bytes_of_columns(int32_t columns) {
  return columns == 1   ? Down<kFormat, 1>::kSharedBytes
         : columns == 2 ? Down<kFormat, 2>::kSharedBytes
                        : Down<kFormat, 4>::kSharedBytes;
}
static_assert(GateUp<WeightFormat::kDense, 2, 4, kStages>::kSharedBytes ==
              Down<WeightFormat::kDense, 4>::kSharedBytes);

}  // namespace

int32_t moe_skinny_columns(WeightFormat format, int32_t wanted, int32_t shared_bytes) {
  const auto bytes = [format](int32_t columns) {
    return format == WeightFormat::kAwqGemm    ? bytes_of_columns<WeightFormat::kAwqGemm>(columns)
           : format == WeightFormat::kFp8Block ? bytes_of_columns<WeightFormat::kFp8Block>(columns)
                                               : bytes_of_columns<WeightFormat::kDense>(columns);
  };
  int32_t columns = wanted >= 4 ? 4 : wanted >= 2 ? 2 : 1;
  while (columns > 1 && bytes(columns) > shared_bytes) columns /= 2;
  return columns;
}

cudaError_t launch_moe_skinny_gate_up(cudaStream_t stream, const MoeParams& params, int32_t columns) {
  return by_format(params, [&]<WeightFormat kFormat>() {
    return columns == 1   ? run_gate_up<kFormat, 2, 1, kStages>(stream, params)
           : columns == 2 ? run_gate_up<kFormat, 2, 2, kStages>(stream, params)
                          : run_gate_up<kFormat, 2, 4, kStages>(stream, params);
  });
}

cudaError_t launch_moe_skinny_down(cudaStream_t stream, const MoeParams& params, int32_t columns) {
  return by_format(params, [&]<WeightFormat kFormat>() {
    return columns == 1   ? run_down<kFormat, 1>(stream, params)
           : columns == 2 ? run_down<kFormat, 2>(stream, params)
                          : run_down<kFormat, 4>(stream, params);
  });
}

cudaError_t launch_moe_tiny_gate_up(cudaStream_t stream, const MoeParams& params) {
  return by_format(params, [&]<WeightFormat kFormat>() {
    return run_gate_up<kFormat, 1, 1, kTinyStages>(stream, params);
  });
}

}  // namespace hadal::cuda
