// Row and element ops: embed, gather, convert, add, silu_mul, rms_norm, rope, take_tokens.
#include <algorithm>
#include <cmath>

#include "kernels/ref/elements.h"
#include "kernels/ref/ref_ops.h"

namespace hadal::ref {
namespace {

Status same_shape(std::string_view op, const Mat& a, const Mat& b) {
  if (a.rows == b.rows && a.cols == b.cols) return OkStatus();
  return invalid_argument("{}: shapes [{}, {}] and [{}, {}] differ", op, a.rows, a.cols, b.rows, b.cols);
}

void copy_row(const Mat& from, int64_t from_row, const Mat& to, int64_t to_row) {
  for (int64_t c = 0; c < to.cols; ++c) set(to, to_row, c, get(from, from_row, c));
}

/// residual += x where both are given; returns the matrix to normalise.
const Mat& add_residual(const RmsNormArgs& args) {
  if (args.residual.data == nullptr) return args.x;
  if (args.x.data != nullptr) {
    for (int64_t r = 0; r < args.x.rows; ++r) {
      for (int64_t c = 0; c < args.x.cols; ++c) {
        set(args.residual, r, c, get(args.residual, r, c) + get(args.x, r, c));
      }
    }
  }
  return args.residual;
}

}  // namespace

Status embed(const EmbedArgs& args) {
  if (args.table.cols != args.out.cols) {
    return invalid_argument("embed: table has {} columns, out {}", args.table.cols, args.out.cols);
  }
  for (int64_t r = 0; r < args.out.rows; ++r) copy_row(args.table, args.ids[r], args.out, r);
  return OkStatus();
}

Status gather(const GatherArgs& args) {
  if (args.x.cols != args.out.cols || args.out.rows < args.count) {
    return invalid_argument("gather: {} rows of {} columns do not fit [{}, {}]", args.count, args.x.cols,
                            args.out.rows, args.out.cols);
  }
  for (int64_t i = 0; i < args.count; ++i) copy_row(args.x, args.rows[i], args.out, i);
  return OkStatus();
}

Status convert(const ConvertArgs& args) {
  RETURN_IF_ERROR(same_shape("convert", args.x, args.out));
  for (int64_t r = 0; r < args.out.rows; ++r) copy_row(args.x, r, args.out, r);
  return OkStatus();
}

Status add(const AddArgs& args) {
  RETURN_IF_ERROR(same_shape("add", args.a, args.b));
  RETURN_IF_ERROR(same_shape("add", args.a, args.out));
  for (int64_t r = 0; r < args.out.rows; ++r) {
    for (int64_t c = 0; c < args.out.cols; ++c) set(args.out, r, c, get(args.a, r, c) + get(args.b, r, c));
  }
  return OkStatus();
}

Status silu_mul(const SiluMulArgs& args) {
  RETURN_IF_ERROR(same_shape("silu_mul", args.gate, args.up));
  RETURN_IF_ERROR(same_shape("silu_mul", args.gate, args.out));
  for (int64_t r = 0; r < args.out.rows; ++r) {
    for (int64_t c = 0; c < args.out.cols; ++c) {
      set(args.out, r, c, static_cast<float>(silu(get(args.gate, r, c)) * get(args.up, r, c)));
    }
  }
  return OkStatus();
}

Status rms_norm(const RmsNormArgs& args) {
  if (args.x.data == nullptr && args.residual.data == nullptr) {
    return invalid_argument("rms_norm: neither x nor residual is given");
  }
  if (args.x.data != nullptr && args.residual.data != nullptr) {
    RETURN_IF_ERROR(same_shape("rms_norm", args.x, args.residual));
  }
  const Mat& v = add_residual(args);
  RETURN_IF_ERROR(same_shape("rms_norm", v, args.out));
  for (int64_t r = 0; r < v.rows; ++r) {
    double squares = 0;
    for (int64_t c = 0; c < v.cols; ++c) squares += double{get(v, r, c)} * get(v, r, c);
    const double inverse = 1.0 / std::sqrt(squares / static_cast<double>(v.cols) + double{args.eps});
    for (int64_t c = 0; c < v.cols; ++c) {
      const double weight = load(args.weight_dtype, args.weight, c);
      set(args.out, r, c, static_cast<float>(weight * (get(v, r, c) * inverse)));
    }
  }
  return OkStatus();
}

Status rope(const RopeArgs& args) {
  const int64_t last = int64_t{args.heads - 1} * args.head_stride + args.offset + args.dim;
  if (args.x.dtype != DType::kF32) return invalid_argument("rope: x must be F32");
  if (args.dim % 2 != 0 || last > args.x.cols) {
    return invalid_argument("rope: {} heads of {} values from {} do not fit {} columns", args.heads, args.dim,
                            args.offset, args.x.cols);
  }
  const int64_t half = args.dim / 2;
  const bool interleaved = args.layout == RopeLayout::kInterleaved;
  for (int64_t r = 0; r < args.x.rows; ++r) {
    const float* angles = args.table + int64_t{args.positions[r]} * args.dim;
    for (int64_t h = 0; h < args.heads; ++h) {
      const int64_t first = h * args.head_stride + args.offset;
      for (int64_t i = 0; i < half; ++i) {
        const int64_t ia = first + (interleaved ? 2 * i : i);
        const int64_t ib = interleaved ? ia + 1 : ia + half;
        const double a = get(args.x, r, ia), b = get(args.x, r, ib);
        const double cosine = angles[i], sine = angles[half + i];
        set(args.x, r, ia, static_cast<float>(a * cosine - b * sine));
        set(args.x, r, ib, static_cast<float>(b * cosine + a * sine));
      }
    }
  }
  return OkStatus();
}

Status take_tokens(const TakeTokensArgs& args) {
  for (int64_t i = 0; i < args.rows; ++i) {
    if (args.from[i] >= 0) args.token_ids[i] = std::max(args.sampled[args.from[i]], 0);
  }
  return OkStatus();
}

}  // namespace hadal::ref
