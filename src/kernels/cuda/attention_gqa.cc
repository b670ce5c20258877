// Grouped-query attention: which kernel runs.
#include "kernels/cuda/kernels/attention_generic.h"
#include "kernels/cuda/ops.h"

namespace hadal::cuda {
namespace {

Status check_args(const CudaDevice& device, const GqaAttentionArgs& args) {
  if (args.kv_heads <= 0 || args.heads % args.kv_heads != 0) {
    return invalid_argument("gqa_attention: {} heads over {} kv heads", args.heads, args.kv_heads);
  }
  const int64_t width = int64_t{args.heads} * args.head_dim;
  if (args.q.cols != width || args.out.cols != width || args.out.rows != args.q.rows) {
    return invalid_argument("gqa_attention: q and out must have {} columns and the same rows", width);
  }
  const int64_t record = 2 * int64_t{args.kv_heads} * args.head_dim * bytes_of(args.cache.dtype);
  if (record > args.cache.token_bytes) {
    return invalid_argument("gqa_attention: a record of {} bytes does not fit {}", record,
                            args.cache.token_bytes);
  }
  if (generic_gqa_shared(args.head_dim) > static_cast<size_t>(device.shared_bytes_per_block)) {
    return unimplemented("gqa_attention: heads of {} do not fit the shared memory", args.head_dim);
  }
  return OkStatus();
}

}  // namespace

uint64_t gqa_attention_workspace(const CudaDevice& /*device*/, const GqaAttentionArgs& /*args*/) { return 0; }

Status gqa_attention(CudaDevice& device, cudaStream_t stream, const GqaAttentionArgs& args) {
  RETURN_IF_ERROR(check_args(device, args));
  device.note("cuda.gqa.generic");
  const GenericGqa params{attention_batch(*args.batch, *args.group),
                          args.cache,
                          args.q,
                          args.out,
                          args.heads,
                          args.kv_heads,
                          args.head_dim,
                          args.window,
                          args.scale};
  return check(launch_generic_gqa(stream, params, 0, static_cast<int32_t>(args.q.rows)), "gqa_attention");
}

}  // namespace hadal::cuda
