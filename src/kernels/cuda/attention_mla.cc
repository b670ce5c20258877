// Multi-head latent attention: which kernel runs.
#include "kernels/cuda/kernels/attention_generic.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/prepared.h"

namespace hadal::cuda {
namespace {

Status check_args(const CudaDevice& device, const MlaAttentionArgs& args, const WeightRef& kv_b) {
  const MlaShape& shape = args.shape;
  if (kv_b.rows != int64_t{shape.heads} * (shape.nope + shape.v) || kv_b.cols != shape.kv_lora) {
    return invalid_argument("mla_attention: kv_b [{}, {}] does not fit {} heads of {} + {} and latents of {}",
                            kv_b.rows, kv_b.cols, shape.heads, shape.nope, shape.v, shape.kv_lora);
  }
  if (args.q.cols != int64_t{shape.heads} * (shape.nope + shape.rope) ||
      args.out.cols != int64_t{shape.heads} * shape.v || args.out.rows != args.q.rows) {
    return invalid_argument("mla_attention: q [{}, {}] and out [{}, {}] do not fit the heads", args.q.rows,
                            args.q.cols, args.out.rows, args.out.cols);
  }
  const int64_t record =
      shape.kv_lora * bytes_of(args.cache.dtype) + shape.rope * bytes_of(args.cache.rope_dtype);
  if (record > args.cache.token_bytes) {
    return invalid_argument("mla_attention: a record of {} bytes does not fit {}", record,
                            args.cache.token_bytes);
  }
  if (shape.kv_lora * bytes_of(args.cache.dtype) % bytes_of(args.cache.rope_dtype) != 0) {
    return unimplemented("mla_attention: latents of {} bytes leave the rotary keys unaligned",
                         shape.kv_lora * bytes_of(args.cache.dtype));
  }
  if (generic_mla_shared(shape) > static_cast<size_t>(device.shared_bytes_per_block)) {
    return unimplemented("mla_attention: latents of {} do not fit the shared memory", shape.kv_lora);
  }
  return OkStatus();
}

}  // namespace

uint64_t mla_attention_workspace(const CudaDevice& /*device*/, const MlaAttentionArgs& /*args*/) { return 0; }

Status mla_attention(CudaDevice& device, cudaStream_t stream, const MlaAttentionArgs& args) {
  const WeightRef& kv_b = weight_of(args.kv_b);
  RETURN_IF_ERROR(check_args(device, args, kv_b));
  device.note("cuda.mla.generic");
  const GenericMla params{
      attention_batch(*args.batch, *args.group),         args.cache, args.q, args.out, kv_b, args.shape,
      group_of(args.kv_b.group).compute == DType::kBF16, args.scale};
  return check(launch_generic_mla(stream, params, 0, static_cast<int32_t>(args.q.rows)), "mla_attention");
}

}  // namespace hadal::cuda
