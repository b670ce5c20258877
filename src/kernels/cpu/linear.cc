#include "kernels/cpu/linear.h"

#include <cstring>

#include "tensor/convert.h"

namespace hadal::cpu {
namespace {

/// How an op's outputs are cut into tasks. Values do not depend on it.
struct Grid {
  int64_t block_rows;  // of W
  int64_t row_blocks;
  int64_t block_m;
  int64_t m_blocks;
};

constexpr int64_t kStreamRows = 6;  // rows of x up to which rows of W are read from end to end
constexpr int64_t kBlockM = 240;    // rows of x a task: a multiple of every kernel's tile

Grid grid_of(const WeightRef& w, int64_t m, int threads) {
  Grid grid;
  grid.block_rows = kBlockRows;
  // AWQ words of 64 rows lie side by side; narrower blocks would fetch the same lines again and again
  const bool narrow = w.format != WeightFormat::kAwqGemm;
  if (narrow && ceil_div(w.rows, grid.block_rows) < 4 * threads) grid.block_rows = kBlockRows / 4;
  grid.row_blocks = ceil_div(w.rows, grid.block_rows);
  grid.block_m = kBlockM;
  grid.m_blocks = ceil_div(m, grid.block_m);
  return grid;
}

float bias_at(const WeightRef& w, int64_t n) {
  switch (w.bias_dtype) {
    case DType::kBF16:
      return to_float(static_cast<const BFloat16*>(w.bias)[n]);
    case DType::kF16:
      return to_float(static_cast<const Float16*>(w.bias)[n]);
    default:
      return static_cast<const float*>(w.bias)[n];
  }
}

void add_bias(const WeightRef& w, int64_t n0, int64_t n, float* out, int64_t m, int64_t ldo) {
  float bias[kBlockRows];
  for (int64_t j = 0; j < n; ++j) bias[j] = bias_at(w, n0 + j);
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) out[i * ldo + j] += bias[j];
  }
}

/// From a float32 tile to the op's output: added to it, or rounded to its dtype.
void put_tile(const CpuDevice& device, const LinearArgs& args, const float* tile, int64_t m0, int64_t m,
              int64_t n0, int64_t n) {
  for (int64_t i = 0; i < m; ++i) {
    char* out = at(args.out, m0 + i, n0);
    const float* row = tile + i * n;
    if (args.accumulate != 0) {
      float* sum = reinterpret_cast<float*>(out);
      device.kernels.vector->add(sum, row, sum, n);
    } else {
      device.kernels.vector->from_f32(elem_of(args.out.dtype), row, out, n);
    }
  }
}

void linear_task(CpuDevice& device, const LinearArgs& args, const WeightRef& w, const Grid& grid,
                 int64_t task, int thread) {
  const int64_t n0 = task % grid.row_blocks * grid.block_rows;
  const int64_t n = std::min(grid.block_rows, w.rows - n0);
  const int64_t m0 = task / grid.row_blocks * grid.block_m;
  const int64_t m = std::min(grid.block_m, args.x.rows - m0);
  char* decode = device.thread_scratch(thread);
  const bool direct = args.out.dtype == DType::kF32 && args.accumulate == 0;
  float* tile = reinterpret_cast<float*>(decode + kDecodeScratch);
  DotRows rows{at(args.x, m0), args.x.dtype, args.x.stride, nullptr, m, tile, n, nullptr};
  if (direct) {
    rows.out = reinterpret_cast<float*>(at(args.out, m0, n0));
    rows.ldo = args.out.stride;
  }
  dot_rows(device.kernels, w, rows, n0, n, decode);
  if (w.bias != nullptr) add_bias(w, n0, n, rows.out, m, rows.ldo);
  if (!direct) put_tile(device, args, tile, m0, m, n0, n);
}
static_assert(kDecodeScratch + kBlockM * kBlockRows * 4 <= kThreadScratch);

Status check(const LinearArgs& args, const WeightRef& w) {
  if (w.format == WeightFormat::kAbsent) return internal_error("linear: the weight is absent");
  if (args.x.cols != w.cols || args.out.cols != w.rows || args.x.rows != args.out.rows) {
    return internal_error("linear: x [{}, {}], W [{}, {}], out [{}, {}] do not fit", args.x.rows, args.x.cols,
                          w.rows, w.cols, args.out.rows, args.out.cols);
  }
  if (!is_activation(args.x.dtype) || !is_activation(args.out.dtype))
    return internal_error("linear: x and out must be F32 or BF16");
  if (args.accumulate != 0 && args.out.dtype != DType::kF32)
    return internal_error("linear: accumulates into F32 alone");
  return OkStatus();
}

}  // namespace

void dot_rows(const IsaKernels& kernels, const WeightRef& w, const DotRows& rows, int64_t n0, int64_t n,
              char* decode) {
  const bool dense = w.format == WeightFormat::kDense;
  const DType w_dtype = dense ? w.dtype : rows.x_dtype;
  const DotFn dot = kernels.dot->dot[elem_of(rows.x_dtype)][elem_of(w_dtype)];
  DotArgs args;
  args.ldx = rows.ldx;
  args.x_rows = rows.x_rows;
  const int64_t chunk = chunk_of(rows.x_dtype);
  const int64_t decode_pitch = kDecodeRowBytes / bytes_of(rows.x_dtype);
  args.ldw = dense ? w.cols : decode_pitch;
  args.m = rows.m;
  args.n = n;
  args.out = rows.out;
  args.ldo = rows.ldo;
  args.out_rows = rows.out_rows;
  args.chunk = chunk;
  // Few rows of x stay in the cache whole: each row of W is then read from end to end, as memory likes it.
  const int64_t pass = dense && rows.m <= kStreamRows ? w.cols : chunk;
  for (int64_t k0 = 0; k0 < w.cols; k0 += pass) {
    args.k = std::min(pass, w.cols - k0);
    args.x = static_cast<const char*>(rows.x) + k0 * bytes_of(rows.x_dtype);
    args.add = k0 > 0 ? 1 : 0;
    if (dense) {
      args.w = static_cast<const char*>(w.data) + (n0 * w.cols + k0) * bytes_of(w.dtype);
    } else {
      decode_tile(kernels, w, n0, n, k0, args.k, decode, decode_pitch, w_dtype);
      args.w = decode;
    }
    dot(&args);
  }
}

Status linear(CpuDevice& device, const LinearArgs& args) {
  const WeightRef& w = weight_of(args.weight);
  RETURN_IF_ERROR(check(args, w));
  if (args.x.rows == 0) return OkStatus();
  const Grid grid = grid_of(w, args.x.rows, device.pool.threads());
  device.pool.run(grid.row_blocks * grid.m_blocks,
                  [&](int64_t task, int thread) { linear_task(device, args, w, grid, task, thread); });
  device.note(
      static_cast<Used>(static_cast<int32_t>(Used::kLinear) + 5 * elem_of(args.x.dtype) + weight_kind(w)));
  return OkStatus();
}

}  // namespace hadal::cpu
