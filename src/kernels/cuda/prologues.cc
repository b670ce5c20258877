// The prologues of attention layers: the projections of x, then all that is done to each row of them in one
// kernel.
#include <algorithm>

#include "kernels/cuda/alignment.h"
#include "kernels/cuda/kernels/prologue.h"
#include "kernels/cuda/kernels/rows.h"
#include "kernels/cuda/linear.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/prepared.h"

namespace hadal::cuda {
namespace {

bool records_aligned(const CacheLayer& cache) {
  const uint64_t alignment = group_alignment(cache.dtype);
  return is_aligned(cache.base, alignment) && static_cast<uint64_t>(cache.token_bytes) % alignment == 0 &&
         static_cast<uint64_t>(cache.block_stride) % alignment == 0;
}

}  // namespace

bool mla_prologue_supports(const CudaDevice&, const MlaPrologueArgs& args) {
  const bool query_fits =
      args.q_lora == 0 || (args.q_lora <= kMaxPrologueNormCols && args.q_latent.dtype == DType::kF32 &&
                           is_activation(args.q_normed.dtype));
  return group_of(args.mla).fused.format != WeightFormat::kAbsent && query_fits &&
         args.shape.kv_lora <= kMaxPrologueNormCols && args.shape.rope % 2 == 0 &&
         args.q.dtype == DType::kF32 && args.kv.dtype == DType::kF32 && is_activation(args.norm_dtype) &&
         is_cached(args.cache.dtype) && is_cached(args.cache.rope_dtype);
}

uint64_t mla_prologue_workspace(const CudaDevice&, const MlaPrologueArgs& args) {
  const uint64_t first = launch_linear_workspace(args.x);
  return args.q_lora > 0 ? std::max(first, launch_linear_workspace(args.q_normed)) : first;
}

Status mla_prologue(CudaDevice& device, cudaStream_t stream, const MlaPrologueArgs& args) {
  const MlaShape& shape = args.shape;
  const int64_t record_bytes =
      shape.kv_lora * bytes_of(args.cache.dtype) + shape.rope * bytes_of(args.cache.rope_dtype);
  if (record_bytes > args.cache.token_bytes) {
    return invalid_argument("mla_prologue: a record of {} bytes does not fit {}", record_bytes,
                            args.cache.token_bytes);
  }
  if (args.x.rows == 0) return OkStatus();
  const Mat outs[] = {args.q_lora > 0 ? args.q_latent : args.q, args.kv};  // q (or q_a) | kv_a as one product
  RETURN_IF_ERROR(
      launch_linear_split(device, stream, args.x, group_of(args.mla).fused, outs, 2, args.workspace));
  const bool vector_latent =
      rows_aligned(args.kv) && is_aligned(args.kv_a_norm, 16) && records_aligned(args.cache);
  const bool vector_query = args.q_lora > 0 && rows_aligned(args.q_latent) && rows_aligned(args.q_normed) &&
                            is_aligned(args.q_a_norm, 16);
  launch_mla_prologue(stream, args, vector_latent, vector_query);
  device.note("cuda.mla_prologue");
  if (args.q_lora == 0) return OkStatus();
  RETURN_IF_ERROR(
      launch_linear(device, stream, args.q_normed, weight_of({args.mla, kMlaQB}), args.q, 0, args.workspace));
  launch_rope(stream, {.x = args.q,
                       .heads = shape.heads,
                       .head_stride = shape.nope + shape.rope,
                       .offset = shape.nope,
                       .dim = shape.rope,
                       .layout = args.rope_layout,
                       .positions = args.positions,
                       .table = args.rope_table});
  return OkStatus();
}

bool gqa_prologue_supports(const CudaDevice&, const GqaPrologueArgs& args) {
  return group_of(args.gqa).fused.format != WeightFormat::kAbsent && args.head_dim % 2 == 0 &&
         args.q.dtype == DType::kF32 && args.k.dtype == DType::kF32 && args.v.dtype == DType::kF32 &&
         is_cached(args.cache.dtype);
}

uint64_t gqa_prologue_workspace(const CudaDevice&, const GqaPrologueArgs& args) {
  return launch_linear_workspace(args.x);
}

Status gqa_prologue(CudaDevice& device, cudaStream_t stream, const GqaPrologueArgs& args) {
  const int64_t record_bytes = int64_t{2} * args.kv_heads * args.head_dim * bytes_of(args.cache.dtype);
  if (record_bytes > args.cache.token_bytes) {
    return invalid_argument("gqa_prologue: a record of {} bytes does not fit {}", record_bytes,
                            args.cache.token_bytes);
  }
  if (args.x.rows == 0) return OkStatus();
  const Mat outs[] = {args.q, args.k, args.v};
  RETURN_IF_ERROR(
      launch_linear_split(device, stream, args.x, group_of(args.gqa).fused, outs, 3, args.workspace));
  launch_gqa_prologue(stream, args);
  device.note("cuda.gqa_prologue");
  return OkStatus();
}

}  // namespace hadal::cuda
