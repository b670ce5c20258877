// Grouped-query attention: which kernel runs.
#include <algorithm>

#include "kernels/cuda/kernels/attention_flash.h"
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

bool is_fast(const CudaDevice& device, const GqaAttentionArgs& args) {
  return args.out.dtype == DType::kBF16 && flash_gqa_takes(args.cache, args.head_dim) &&
         2 * flash_gqa_stage_bytes(args.head_dim) <= static_cast<size_t>(device.shared_bytes_per_block);
}

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// Blocks that the splits of a step may come to together: two for each multiprocessor. As splits multiply
/// blocks of 16 rows, it bounds the partial results too, whatever the batch.
int64_t target_blocks(const CudaDevice& device) { return 2 * int64_t{device.sm_count}; }

/// By numbers that a captured step keeps. Without splits under batch_invariant: a row's sums then run over
/// its keys in one order.
int32_t splits_of(const CudaDevice& device, const GqaAttentionArgs& args, int64_t row_tiles) {
  if (device.batch_invariant) return 1;
  constexpr int64_t kSplitTokens = 128;
  const int64_t blocks = std::max<int64_t>(1, row_tiles * args.batch->num_output_segments * args.kv_heads);
  const int64_t useful = ceil_div(std::max(1, args.batch->max_context), kSplitTokens);
  const int64_t most = std::min<int64_t>(useful, kMaxGqaSplits);
  return static_cast<int32_t>(std::clamp<int64_t>(target_blocks(device) / blocks, 1, most));
}

Status run_fast(CudaDevice& device, cudaStream_t stream, const GqaAttentionArgs& args) {
  const BatchMeta& batch = *args.batch;
  const bool fp8 = args.cache.dtype != DType::kBF16;
  const int64_t group_rows = int64_t{batch.max_query_len} * (args.heads / args.kv_heads);
  FlashGqa params{attention_batch(batch, *args.group),
                  args.cache,
                  args.q,
                  args.out,
                  args.heads,
                  args.kv_heads,
                  args.head_dim,
                  args.window,
                  args.scale};
  if (batch.num_output_segments > 0) {
    device.note(fp8 ? "cuda.gqa.decode.fp8" : "cuda.gqa.decode.bf16");
    params.segments = batch.num_output_segments;
    // the longest segment may be a prompt's: host mirrors, where there are any, say how long these are
    int64_t longest = group_rows;
    if (batch.host_query_start != nullptr) {
      longest = 0;
      for (int32_t s = 0; s < batch.num_output_segments; ++s)
        longest = std::max<int64_t>(longest, batch.host_query_start[s + 1] - batch.host_query_start[s]);
      longest *= args.heads / args.kv_heads;
    }
    params.row_tiles = static_cast<int32_t>(std::max<int64_t>(1, ceil_div(longest, 16)));
    params.splits = splits_of(device, args, params.row_tiles);
    // three stages where two blocks of a multiprocessor still fit
    const size_t stage = flash_gqa_stage_bytes(args.head_dim);
    params.stages = 6 * stage <= static_cast<size_t>(device.shared_bytes_per_block) ? 3 : 2;
    params.partial = static_cast<float*>(args.workspace.data);
    params.partial_rows = static_cast<int32_t>(std::min<int64_t>(
        args.q.rows,
        int64_t{params.row_tiles} * 16 / (args.heads / args.kv_heads) * batch.num_output_segments));
    RETURN_IF_ERROR(check(launch_flash_gqa_decode(stream, params), "gqa_attention"));
  }
  if (batch.num_segments > batch.num_output_segments) {
    device.note(fp8 ? "cuda.gqa.prefill.fp8" : "cuda.gqa.prefill.bf16");
    params.first_segment = batch.num_output_segments;
    params.segments = batch.num_segments - batch.num_output_segments;
    params.row_tiles = static_cast<int32_t>(std::max<int64_t>(1, ceil_div(group_rows, 64)));
    params.splits = 1;
    RETURN_IF_ERROR(check(launch_flash_gqa_prefill(stream, params), "gqa_attention"));
  }
  return OkStatus();
}

}  // namespace

uint64_t gqa_attention_workspace(const CudaDevice& device, const GqaAttentionArgs& args) {
  if (!is_fast(device, args) || device.batch_invariant) return 0;
  const int64_t rows = target_blocks(device) * 16;
  return static_cast<uint64_t>(rows * (args.head_dim + 2)) * sizeof(float);
}

Status gqa_attention(CudaDevice& device, cudaStream_t stream, const GqaAttentionArgs& args) {
  RETURN_IF_ERROR(check_args(device, args));
  if (is_fast(device, args)) return run_fast(device, stream, args);
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
