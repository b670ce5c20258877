#include "kernels/cuda/linear.h"

#include <algorithm>
#include <array>

#include "kernels/cuda/alignment.h"
#include "kernels/cuda/kernels/linear_generic.h"
#include "kernels/cuda/kernels/linear_skinny.h"
#include "kernels/cuda/kernels/linear_tile.h"
#include "kernels/cuda/kernels/linear_wgmma.h"
#include "kernels/cuda/kernels/rows.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/prepared.h"

namespace hadal::cuda {
namespace {

static_assert(kMaxLinearOuts == kMaxLinearParts);

constexpr int64_t kGenericRows = 16;   // up to here a warp takes an output column
constexpr int32_t kStepsOfSplit = 4;   // a part of a split product is at least so long
constexpr int64_t kMaxRows = 1 << 21;  // grid and index arithmetic of the kernels
constexpr int64_t kMaxCols = 1 << 30;

int32_t ceil_div(int32_t value, int32_t by) { return (value + by - 1) / by; }

Status check_product(const Mat& x, const WeightRef& weight, const Mat* outs, int32_t count,
                     int32_t accumulate) {
  if (weight.format == WeightFormat::kAbsent) return invalid_argument("linear: the weight is absent");
  if (x.dtype != DType::kF32 && x.dtype != DType::kBF16)
    return unimplemented("linear: x in {}", dtype_name(x.dtype));
  if (count < 1 || count > kMaxLinearOuts) return invalid_argument("linear: {} outputs", count);
  int64_t columns = 0;
  for (int32_t i = 0; i < count; ++i) {
    const Mat& out = outs[i];
    columns += out.cols;
    if (out.rows != x.rows) {
      return invalid_argument("linear: out has {} rows and x {}", out.rows, x.rows);
    }
    if (out.dtype != DType::kF32 && out.dtype != DType::kBF16)
      return unimplemented("linear: out in {}", dtype_name(out.dtype));
    if (accumulate != 0 && out.dtype != DType::kF32)
      return invalid_argument("linear: accumulate needs out in F32");
  }
  if (x.cols != weight.cols || columns != weight.rows) {
    return invalid_argument("linear: x [{}, {}] times weight [{}, {}] does not give {} columns", x.rows,
                            x.cols, weight.rows, weight.cols, columns);
  }
  if (x.rows > kMaxRows || weight.rows > kMaxCols || weight.cols > kMaxCols) {
    return unimplemented("linear: [{}, {}] times [{}, {}] is too large", x.rows, x.cols, weight.rows,
                         weight.cols);
  }
  return OkStatus();
}

LinearParams params_of(const Mat& x, const WeightRef& weight, const Mat* outs, int32_t count,
                       int32_t accumulate) {
  LinearParams params{};
  params.x = x.data;
  params.x_stride = x.stride;
  params.x_dtype = x.dtype;
  params.rows = static_cast<int32_t>(x.rows);
  params.cols = static_cast<int32_t>(x.cols);
  params.outs = static_cast<int32_t>(weight.rows);
  params.weight = weight;
  params.accumulate = accumulate;
  params.pairs = 1;
  for (int32_t i = 0; i < count; ++i) {
    if (outs[i].cols == 0) continue;
    LinearPart& part = params.part[params.parts];
    part.begin = params.parts == 0 ? 0 : params.part[params.parts - 1].end;
    part.end = part.begin + static_cast<int32_t>(outs[i].cols);
    part.data = outs[i].data;
    part.stride = outs[i].stride;
    part.dtype = outs[i].dtype;
    const auto pair = static_cast<uint64_t>(2 * bytes_of(part.dtype));
    if (part.begin % 2 != 0 || part.stride % 2 != 0 || !is_aligned(part.data, pair)) params.pairs = 0;
    ++params.parts;
  }
  return params;
}

/// The fast kernels read the weight in pieces of 16 bytes; `run` columns must lie under one scale.
bool weight_fits(const WeightRef& w, int64_t granule, int32_t run) {
  if (!is_aligned(w.data, 16) || w.cols % granule != 0) return false;
  switch (w.format) {
    case WeightFormat::kDense:
      return w.dtype == DType::kBF16;
    case WeightFormat::kFp8Block:
      return w.block_cols % run == 0 || w.block_cols >= w.cols;
    case WeightFormat::kAwqGemm:
      return w.group % run == 0;
    default:
      return false;
  }
}

bool tile_fits(const WeightRef& w) { return weight_fits(w, tile_granule(w.format), 16); }
bool skinny_fits(const WeightRef& w) {
  const int32_t chunk = skinny_chunk(w.format);
  return weight_fits(w, chunk, chunk / 4);
}

/// The largest split (a power of two) with which `tiles` tiles still run side by side.
int32_t split_for(const CudaDevice& device, int64_t tiles, int32_t cols, int64_t slots) {
  if (device.major < 9 || !linear_tile_splits()) return 1;
  const int32_t steps = ceil_div(cols, kTileDepth);
  int32_t split = 1;
  while (split < kMaxTileSplit && tiles * split * 2 <= slots && steps >= kStepsOfSplit * split * 2)
    split *= 2;
  return split;
}

TilePlan tile_plan(const CudaDevice& device, const LinearParams& params) {
  TilePlan plan{};
  plan.rows = params.rows <= 32 ? 32 : params.rows <= 64 ? 64 : 128;
  while (plan.rows > 32 &&
         linear_tile_shared_bytes(params.weight.format, plan.rows) > device.shared_bytes_per_block) {
    plan.rows /= 2;
  }
  const int32_t out_tiles = ceil_div(params.outs, kTileOuts);
  if (device.batch_invariant) {  // whatever the rows: half of the device at one tile of them
    plan.split = split_for(device, out_tiles, params.cols, device.sm_count / 2);
  } else {
    const int64_t tiles = int64_t{ceil_div(params.rows, plan.rows)} * out_tiles;
    plan.split = split_for(device, tiles, params.cols, 2 * device.sm_count);
  }
  return plan;
}

bool wgmma_fits(const CudaDevice& device, const WeightRef& w) {
  return device.has_wgmma && w.format == WeightFormat::kDense && w.dtype == DType::kBF16 &&
         is_aligned(w.data, 16) && w.cols % 8 == 0;
}

/// The largest tiles that still occupy the device: of 256 rows one block a multiprocessor, of fewer two share
/// it.
int32_t wgmma_rows(const CudaDevice& device, int64_t rows, int64_t out_tiles) {
  if (rows <= 64) return rows <= 32 ? 32 : 64;
  if ((rows + 255) / 256 * out_tiles >= device.sm_count) return 256;
  return 2 * ((rows + 127) / 128 * out_tiles) >= 3 * device.sm_count ? 128 : 64;
}

/// `tile_outs`: columns of the product a tile.
WgmmaPlan wgmma_plan(const CudaDevice& device, const LinearParams& params, int32_t tile_outs,
                     int32_t least_rows) {
  WgmmaPlan plan{};
  const int32_t out_tiles = ceil_div(params.outs, tile_outs);
  plan.rows = std::max(least_rows, wgmma_rows(device, params.rows, out_tiles));
  plan.blocks = device.sm_count * wgmma_blocks_per_sm(plan.rows);
  // batch-invariant: whatever the rows, as if they were one tile
  const int64_t row_tiles = device.batch_invariant ? 1 : ceil_div(params.rows, plan.rows);
  const int64_t wanted = 3 * device.sm_count / 2;  // more blocks wait for each other longer than they gain
  const int32_t steps = ceil_div(params.cols, kWgmmaStep);
  plan.split = 1;
  while (plan.split < kMaxWgmmaSplit && 2 * plan.split * row_tiles * out_tiles <= wanted &&
         steps >= 2 * plan.split * kStepsOfSplit) {
    plan.split *= 2;
  }
  return plan;
}

const char* skinny_name(WeightFormat format) {
  return format == WeightFormat::kDense      ? "cuda.linear.skinny.bf16"
         : format == WeightFormat::kFp8Block ? "cuda.linear.skinny.fp8"
                                             : "cuda.linear.skinny.awq";
}
const char* tile_name(WeightFormat format) {
  return format == WeightFormat::kDense      ? "cuda.linear.tile.bf16"
         : format == WeightFormat::kFp8Block ? "cuda.linear.tile.fp8"
                                             : "cuda.linear.tile.awq";
}

Status launch_generic(CudaDevice& device, cudaStream_t stream, const LinearParams& params) {
  if (params.rows <= kGenericRows && !device.batch_invariant) {
    device.note("cuda.linear.generic.rows");
    return check(launch_linear_generic_rows(stream, params), "launching cuda.linear.generic.rows");
  }
  device.note("cuda.linear.generic.tile");
  return check(launch_linear_generic_tile(stream, params), "launching cuda.linear.generic.tile");
}

/// x with every row on 16 bytes: itself, or a copy in the workspace. False: the workspace is too small.
bool align_rows(cudaStream_t stream, const Mat& x, const Workspace& workspace, LinearParams& params) {
  if (rows_aligned(x)) return true;
  if (workspace.data == nullptr || workspace.bytes < launch_linear_workspace(x)) return false;
  const Mat copy{workspace.data, x.rows, x.cols, (x.cols + 7) / 8 * 8, x.dtype};
  launch_rows(stream, {RowOp::kCopy, x, {}, copy, nullptr, x.rows, false});
  params.x = copy.data;
  params.x_stride = copy.stride;
  return true;
}

Status launch(CudaDevice& device, cudaStream_t stream, const Mat& x, const WeightRef& weight, const Mat* outs,
              int32_t count, int32_t accumulate, const Workspace& workspace) {
  RETURN_IF_ERROR(check_product(x, weight, outs, count, accumulate));
  if (x.rows == 0) return OkStatus();
  LinearParams params = params_of(x, weight, outs, count, accumulate);
  const bool skinny = params.rows <= kSkinnyRows && !device.batch_invariant && skinny_fits(weight);
  const bool wgmma = !skinny && wgmma_fits(device, weight);
  const bool fast = x.dtype == DType::kBF16 && (skinny || wgmma || tile_fits(weight));
  if (!fast || !align_rows(stream, x, workspace, params)) return launch_generic(device, stream, params);
  if (skinny && weight.format == WeightFormat::kDense && params.rows <= kStreamRows &&
      linear_stream_shared_bytes() <= device.shared_bytes_per_block) {
    device.note("cuda.linear.stream.bf16");
    return check(launch_linear_stream(stream, params, device.sm_count), "cuda.linear.stream.bf16");
  }
  if (skinny) {
    device.note(skinny_name(weight.format));
    return check(launch_linear_skinny(stream, params, device.sm_count), skinny_name(weight.format));
  }
  if (wgmma) {
    device.note("cuda.linear.wgmma.bf16");
    return check(launch_linear_wgmma(stream, params, wgmma_plan(device, params, kWgmmaTileOuts, 32)),
                 "cuda.linear.wgmma.bf16");
  }
  device.note(tile_name(weight.format));
  return check(launch_linear_tile(stream, params, tile_plan(device, params)), tile_name(weight.format));
}

}  // namespace

uint64_t launch_linear_workspace(const Mat& x) {
  if (x.dtype != DType::kBF16 || rows_aligned(x)) return 0;
  return static_cast<uint64_t>(x.rows * ((x.cols + 7) / 8 * 8) * bytes_of(x.dtype));
}

Status launch_linear(CudaDevice& device, cudaStream_t stream, const Mat& x, const WeightRef& weight,
                     const Mat& out, int32_t accumulate, const Workspace& workspace) {
  return launch(device, stream, x, weight, &out, 1, accumulate, workspace);
}

Status launch_linear_split(CudaDevice& device, cudaStream_t stream, const Mat& x, const WeightRef& weight,
                           const Mat* outs, int32_t count, const Workspace& workspace) {
  return launch(device, stream, x, weight, outs, count, 0, workspace);
}

bool linear_silu_supports(const CudaDevice& device, const Mat& x, const WeightRef& gate_up, const Mat& out) {
  return wgmma_fits(device, gate_up) && gate_up.bias == nullptr && x.dtype == DType::kBF16 &&
         out.dtype == DType::kBF16;
}

Status launch_linear_silu(CudaDevice& device, cudaStream_t stream, const Mat& x, const WeightRef& gate_up,
                          const Mat& out, const Workspace& workspace) {
  WeightRef gate = gate_up;  // up lies behind it
  gate.rows /= 2;
  RETURN_IF_ERROR(check_product(x, gate, &out, 1, 0));
  if (x.rows == 0) return OkStatus();
  LinearParams params = params_of(x, gate, &out, 1, 0);
  if (gate_up.rows % 2 != 0 || !linear_silu_supports(device, x, gate_up, out) ||
      !align_rows(stream, x, workspace, params)) {
    return invalid_argument("linear_silu: not these shapes, dtypes and formats");
  }
  device.note("cuda.linear.wgmma.silu");
  return check(launch_linear_wgmma_silu(stream, params, wgmma_plan(device, params, kWgmmaTileOuts / 2, 64)),
               "cuda.linear.wgmma.silu");
}

Status linear(CudaDevice& device, cudaStream_t stream, const LinearArgs& args) {
  return launch_linear(device, stream, args.x, weight_of(args.weight), args.out, args.accumulate,
                       args.workspace);
}
uint64_t linear_workspace(const CudaDevice&, const LinearArgs& args) {
  return launch_linear_workspace(args.x);
}

}  // namespace hadal::cuda
