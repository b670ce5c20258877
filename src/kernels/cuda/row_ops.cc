// Row and element ops: embed, rms_norm, rope, silu_mul, add, convert, gather, take_tokens.
#include "kernels/cuda/alignment.h"
#include "kernels/cuda/kernels/rows.h"
#include "kernels/cuda/ops.h"

namespace hadal::cuda {
namespace {

Status same_shape(std::string_view op, const Mat& a, const Mat& b) {
  if (a.rows == b.rows && a.cols == b.cols) return OkStatus();
  return invalid_argument("{}: shapes [{}, {}] and [{}, {}] differ", op, a.rows, a.cols, b.rows, b.cols);
}

Status takes(std::string_view op, const Mat& mat) {
  if (is_activation(mat.dtype)) return OkStatus();
  return unimplemented("{}: {} is not a dtype it takes", op, dtype_name(mat.dtype));
}

Status run_rows(cudaStream_t stream, std::string_view op, RowsLaunch launch) {
  RETURN_IF_ERROR(takes(op, launch.a));
  if (launch.b.data != nullptr) RETURN_IF_ERROR(takes(op, launch.b));
  RETURN_IF_ERROR(takes(op, launch.out));
  if (launch.rows == 0 || launch.out.cols == 0) return OkStatus();
  launch.vector = rows_aligned(launch.a) && rows_aligned(launch.b) && rows_aligned(launch.out);
  launch_rows(stream, launch);
  return OkStatus();
}

}  // namespace

Status embed(CudaDevice& device, cudaStream_t stream, const EmbedArgs& args) {
  if (args.table.cols != args.out.cols) {
    return invalid_argument("embed: table has {} columns, out {}", args.table.cols, args.out.cols);
  }
  device.note("cuda.embed");
  return run_rows(stream, "embed", {RowOp::kCopy, args.table, {}, args.out, args.ids, args.out.rows, false});
}

Status gather(CudaDevice& device, cudaStream_t stream, const GatherArgs& args) {
  if (args.x.cols != args.out.cols || args.out.rows < args.count) {
    return invalid_argument("gather: {} rows of {} columns do not fit [{}, {}]", args.count, args.x.cols,
                            args.out.rows, args.out.cols);
  }
  device.note("cuda.gather");
  return run_rows(stream, "gather", {RowOp::kCopy, args.x, {}, args.out, args.rows, args.count, false});
}

Status convert(CudaDevice& device, cudaStream_t stream, const ConvertArgs& args) {
  RETURN_IF_ERROR(same_shape("convert", args.x, args.out));
  device.note("cuda.convert");
  return run_rows(stream, "convert", {RowOp::kCopy, args.x, {}, args.out, nullptr, args.out.rows, false});
}

Status add(CudaDevice& device, cudaStream_t stream, const AddArgs& args) {
  RETURN_IF_ERROR(same_shape("add", args.a, args.b));
  RETURN_IF_ERROR(same_shape("add", args.a, args.out));
  device.note("cuda.add");
  return run_rows(stream, "add", {RowOp::kAdd, args.a, args.b, args.out, nullptr, args.out.rows, false});
}

Status silu_mul(CudaDevice& device, cudaStream_t stream, const SiluMulArgs& args) {
  RETURN_IF_ERROR(same_shape("silu_mul", args.gate, args.up));
  RETURN_IF_ERROR(same_shape("silu_mul", args.gate, args.out));
  device.note("cuda.silu_mul");
  return run_rows(stream, "silu_mul",
                  {RowOp::kSiluMul, args.gate, args.up, args.out, nullptr, args.out.rows, false});
}

Status rms_norm(CudaDevice& device, cudaStream_t stream, const RmsNormArgs& args) {
  const bool has_x = args.x.data != nullptr, has_residual = args.residual.data != nullptr;
  if (!has_x && !has_residual) return invalid_argument("rms_norm: neither x nor residual is given");
  for (const Mat* mat : {&args.x, &args.residual}) {
    if (mat->data == nullptr) continue;
    RETURN_IF_ERROR(same_shape("rms_norm", *mat, args.out));
    RETURN_IF_ERROR(takes("rms_norm", *mat));
  }
  RETURN_IF_ERROR(takes("rms_norm", args.out));
  if (!is_activation(args.weight_dtype))
    return unimplemented("rms_norm: weights in {}", dtype_name(args.weight_dtype));
  if (args.out.cols > kMaxNormCols)
    return unimplemented("rms_norm: rows of {} are longer than {}", args.out.cols, kMaxNormCols);
  if (args.out.rows == 0) return OkStatus();
  const bool vector = (!has_x || rows_aligned(args.x)) && (!has_residual || rows_aligned(args.residual)) &&
                      rows_aligned(args.out) && is_aligned(args.weight, 16);
  launch_rms_norm(stream, args, vector);
  device.note("cuda.rms_norm");
  return OkStatus();
}

Status rope(CudaDevice& device, cudaStream_t stream, const RopeArgs& args) {
  const int64_t last = int64_t{args.heads - 1} * args.head_stride + args.offset + args.dim;
  if (args.x.dtype != DType::kF32) return invalid_argument("rope: x must be F32");
  if (args.dim % 2 != 0 || last > args.x.cols) {
    return invalid_argument("rope: {} heads of {} values from {} do not fit {} columns", args.heads, args.dim,
                            args.offset, args.x.cols);
  }
  if (args.x.rows == 0 || args.dim == 0) return OkStatus();
  launch_rope(stream, args);
  device.note("cuda.rope");
  return OkStatus();
}

Status take_tokens(CudaDevice& device, cudaStream_t stream, const TakeTokensArgs& args) {
  if (args.rows == 0) return OkStatus();
  launch_take_tokens(stream, args);
  device.note("cuda.take_tokens");
  return OkStatus();
}

}  // namespace hadal::cuda
