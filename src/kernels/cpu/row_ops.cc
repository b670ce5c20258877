#include "kernels/cpu/row_ops.h"

#include <cmath>
#include <cstring>

namespace hadal::cpu {
namespace {

constexpr int64_t kPiece = 4096;  // elements that pass through a thread's scratch at a time

Status same_shape(std::string_view op, const Mat& a, const Mat& b) {
  if (a.rows == b.rows && a.cols == b.cols) return OkStatus();
  return internal_error("{}: shapes [{}, {}] and [{}, {}] differ", op, a.rows, a.cols, b.rows, b.cols);
}

Status floats(std::string_view op, const Mat& mat) {
  if (is_dense_weight(mat.dtype)) return OkStatus();
  return internal_error("{}: {} is not a dtype it takes", op, dtype_name(mat.dtype));
}

/// Rows a task: a few thousand elements, so that a small op stays on one thread.
int64_t rows_per_task(int64_t cols) { return std::max<int64_t>(1, 16384 / std::max<int64_t>(cols, 1)); }

template <typename Body>
void for_rows(CpuDevice& device, int64_t rows, int64_t cols, const Body& body) {
  const int64_t step = rows_per_task(cols);
  device.pool.run(ceil_div(rows, step), [&](int64_t task, int thread) {
    for (int64_t r = task * step; r < std::min(rows, (task + 1) * step); ++r) body(r, thread);
  });
}

/// A piece of a row as float32: in place where it is float32 already, else widened into `buffer`.
const float* widened(const CpuDevice& device, const Mat& mat, int64_t row, int64_t col, int64_t n,
                     float* buffer) {
  const char* p = at(mat, row, col);
  if (mat.dtype == DType::kF32) return reinterpret_cast<const float*>(p);
  device.kernels.vector->to_f32(elem_of(mat.dtype), p, 1.0f, buffer, n);
  return buffer;
}

/// Calls body(a, b, out, n) over the pieces of a row, then rounds to out's dtype.
template <typename Body>
void binary_row(CpuDevice& device, const Mat& a, const Mat& b, const Mat& out, int64_t row, int thread,
                const Body& body) {
  float* buffers = reinterpret_cast<float*>(device.thread_scratch(thread));
  for (int64_t col = 0; col < out.cols; col += kPiece) {
    const int64_t n = std::min(kPiece, out.cols - col);
    const float* left = widened(device, a, row, col, n, buffers);
    const float* right = widened(device, b, row, col, n, buffers + kPiece);
    if (out.dtype == DType::kF32) {
      body(left, right, reinterpret_cast<float*>(at(out, row, col)), n);
    } else {
      body(left, right, buffers + 2 * kPiece, n);
      device.kernels.vector->from_f32(elem_of(out.dtype), buffers + 2 * kPiece, at(out, row, col), n);
    }
  }
}

void copy_row(CpuDevice& device, const Mat& from, int64_t from_row, const Mat& to, int64_t to_row,
              int thread) {
  if (from.dtype == to.dtype) {
    std::memcpy(at(to, to_row), at(from, from_row), static_cast<size_t>(to.cols * bytes_of(to.dtype)));
    return;
  }
  float* buffer = reinterpret_cast<float*>(device.thread_scratch(thread));
  for (int64_t col = 0; col < to.cols; col += kPiece) {
    const int64_t n = std::min(kPiece, to.cols - col);
    const float* v = widened(device, from, from_row, col, n, buffer);
    device.kernels.vector->from_f32(elem_of(to.dtype), v, at(to, to_row, col), n);
  }
}

}  // namespace

Status embed(CpuDevice& device, const EmbedArgs& args) {
  RETURN_IF_ERROR(floats("embed", args.table));
  RETURN_IF_ERROR(floats("embed", args.out));
  if (args.table.cols != args.out.cols) return internal_error("embed: widths differ");
  for_rows(device, args.out.rows, args.out.cols,
           [&](int64_t r, int thread) { copy_row(device, args.table, args.ids[r], args.out, r, thread); });
  device.note(Used::kEmbed);
  return OkStatus();
}

Status gather(CpuDevice& device, const GatherArgs& args) {
  RETURN_IF_ERROR(floats("gather", args.x));
  RETURN_IF_ERROR(floats("gather", args.out));
  if (args.x.cols != args.out.cols || args.out.rows < args.count)
    return internal_error("gather: shapes do not fit");
  for_rows(device, args.count, args.out.cols,
           [&](int64_t r, int thread) { copy_row(device, args.x, args.rows[r], args.out, r, thread); });
  device.note(Used::kGather);
  return OkStatus();
}

Status convert(CpuDevice& device, const ConvertArgs& args) {
  RETURN_IF_ERROR(floats("convert", args.x));
  RETURN_IF_ERROR(floats("convert", args.out));
  RETURN_IF_ERROR(same_shape("convert", args.x, args.out));
  for_rows(device, args.out.rows, args.out.cols,
           [&](int64_t r, int thread) { copy_row(device, args.x, r, args.out, r, thread); });
  device.note(Used::kConvert);
  return OkStatus();
}

Status add(CpuDevice& device, const AddArgs& args) {
  RETURN_IF_ERROR(same_shape("add", args.a, args.b));
  RETURN_IF_ERROR(same_shape("add", args.a, args.out));
  for_rows(device, args.out.rows, args.out.cols, [&](int64_t r, int thread) {
    binary_row(device, args.a, args.b, args.out, r, thread, device.kernels.vector->add);
  });
  device.note(Used::kAdd);
  return OkStatus();
}

Status silu_mul(CpuDevice& device, const SiluMulArgs& args) {
  RETURN_IF_ERROR(same_shape("silu_mul", args.gate, args.up));
  RETURN_IF_ERROR(same_shape("silu_mul", args.gate, args.out));
  for_rows(device, args.out.rows, args.out.cols, [&](int64_t r, int thread) {
    binary_row(device, args.gate, args.up, args.out, r, thread, device.kernels.vector->silu_mul);
  });
  device.note(Used::kSiluMul);
  return OkStatus();
}

namespace {

/// One row: pieces are summed piece by piece, so the order depends on the width alone.
void norm_row(CpuDevice& device, const RmsNormArgs& args, int64_t r, int thread) {
  const VectorKernels& k = *device.kernels.vector;
  float* buffer = reinterpret_cast<float*>(device.thread_scratch(thread));
  float* weights = buffer + kPiece;
  float* rounded = weights + kPiece;
  const bool has_residual = args.residual.data != nullptr;
  if (has_residual && args.x.data != nullptr)
    binary_row(device, args.residual, args.x, args.residual, r, thread, k.add);
  const Mat& v = has_residual ? args.residual : args.x;
  double squares = 0;
  for (int64_t col = 0; col < v.cols; col += kPiece) {
    const int64_t n = std::min(kPiece, v.cols - col);
    squares += k.sum_of_squares(widened(device, v, r, col, n, buffer), n);
  }
  const double inverse = 1.0 / std::sqrt(squares / static_cast<double>(v.cols) + double{args.eps});
  const Mat weight{const_cast<void*>(args.weight), 1, v.cols, v.cols, args.weight_dtype};
  for (int64_t col = 0; col < v.cols; col += kPiece) {
    const int64_t n = std::min(kPiece, v.cols - col);
    const float* from = widened(device, v, r, col, n, buffer);
    const float* w = widened(device, weight, 0, col, n, weights);
    if (args.out.dtype == DType::kF32) {
      k.scale_by(from, inverse, w, reinterpret_cast<float*>(at(args.out, r, col)), n);
    } else {
      k.scale_by(from, inverse, w, rounded, n);
      k.from_f32(elem_of(args.out.dtype), rounded, at(args.out, r, col), n);
    }
  }
}

void rotate(float* x, const RopeArgs& args, const float* cosine, const float* sine) {
  const int32_t half = args.dim / 2;
  if (args.layout == RopeLayout::kInterleaved) {
    for (int32_t i = 0; i < half; ++i) {
      const float a = x[2 * i], b = x[2 * i + 1];
      x[2 * i] = a * cosine[i] - b * sine[i];
      x[2 * i + 1] = b * cosine[i] + a * sine[i];
    }
    return;
  }
  for (int32_t i = 0; i < half; ++i) {
    const float a = x[i], b = x[i + half];
    x[i] = a * cosine[i] - b * sine[i];
    x[i + half] = b * cosine[i] + a * sine[i];
  }
}

}  // namespace

Status rms_norm(CpuDevice& device, const RmsNormArgs& args) {
  const Mat& v = args.residual.data != nullptr ? args.residual : args.x;
  if (v.data == nullptr) return internal_error("rms_norm: neither x nor residual is given");
  RETURN_IF_ERROR(same_shape("rms_norm", v, args.out));
  RETURN_IF_ERROR(floats("rms_norm", v));
  RETURN_IF_ERROR(floats("rms_norm", args.out));
  for_rows(device, v.rows, v.cols, [&](int64_t r, int thread) { norm_row(device, args, r, thread); });
  device.note(Used::kRmsNorm);
  return OkStatus();
}

Status rope(CpuDevice& device, const RopeArgs& args) {
  if (args.x.dtype != DType::kF32) return internal_error("rope: x must be F32");
  for_rows(device, args.x.rows, int64_t{args.heads} * args.dim, [&](int64_t r, int) {
    const float* cosine = args.table + int64_t{args.positions[r]} * args.dim;
    for (int32_t h = 0; h < args.heads; ++h) {
      rotate(row_of<float>(args.x, r) + int64_t{h} * args.head_stride + args.offset, args, cosine,
             cosine + args.dim / 2);
    }
  });
  device.note(Used::kRope);
  return OkStatus();
}

}  // namespace hadal::cpu
