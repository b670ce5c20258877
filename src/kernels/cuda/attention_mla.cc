// Multi-head latent attention: which kernel runs.
#include <algorithm>

#include "kernels/cuda/attention_mla_prefill.h"
#include "kernels/cuda/kernels/attention_generic.h"
#include "kernels/cuda/kernels/attention_mla_decode.h"
#include "kernels/cuda/kernels/attention_mla_hopper.h"
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

bool is_fast(const CudaDevice& device, const MlaAttentionArgs& args) {
  return args.out.dtype == DType::kBF16 && group_of(args.kv_b.group).compute == DType::kBF16 &&
         mla_decode_takes(args.cache, args.shape) &&
         mla_decode_shared(1) <= static_cast<size_t>(device.shared_bytes_per_block);
}

/// Scratch of the decode kernels, in bytes from its begin. Of a size that does not depend on the batch: rows
/// are taken in pieces, and splits multiply blocks of 16 heads up to a fixed number only.
struct DecodePlan {
  int64_t blocks;  // that splits may come to
  int64_t rows;    // of a piece
  uint64_t queries, sums, states, bytes;
  bool decode_weight;
};

DecodePlan plan_of(const CudaDevice& device, const MlaAttentionArgs& args) {
  constexpr int64_t kRowHeads = 8192;
  constexpr auto kAlign = [](uint64_t bytes) { return (bytes + 255) / 256 * 256; };
  const WeightRef& kv_b = weight_of(args.kv_b);
  DecodePlan plan{};
  plan.blocks = std::min(device.sm_count, kMaxMlaSplits);  // one fits a multiprocessor
  plan.rows = std::max<int64_t>(16, kRowHeads / args.shape.heads);
  plan.decode_weight = kv_b.format != WeightFormat::kDense || kv_b.dtype != DType::kBF16;
  const auto row_heads = static_cast<uint64_t>(std::max(plan.rows * args.shape.heads, plan.blocks * 16));
  plan.queries = plan.decode_weight ? kAlign(static_cast<uint64_t>(kv_b.rows * kv_b.cols) * 2) : 0;
  plan.sums = plan.queries + kAlign(row_heads * kMlaWidth * 2);
  plan.states = plan.sums + kAlign(row_heads * kMlaLatent * sizeof(float));
  plan.bytes = plan.states + kAlign(row_heads * 2 * sizeof(float));
  return plan;
}

/// Rows that output segments may have, as the host knows it.
int64_t output_rows(const MlaAttentionArgs& args) {
  const BatchMeta& batch = *args.batch;
  if (batch.num_output_segments == batch.num_segments) return args.q.rows;
  if (batch.host_query_start != nullptr) return batch.host_query_start[batch.num_output_segments];
  return std::min<int64_t>(args.q.rows, int64_t{batch.num_output_segments} * batch.max_query_len);
}

/// Without splits under batch_invariant: a row's sums then run over its keys in one order.
int32_t splits_of(const CudaDevice& device, const MlaAttentionArgs& args, const DecodePlan& plan,
                  int64_t rows) {
  if (device.batch_invariant) return 1;
  constexpr int64_t kSplitTokens = 64;
  const int64_t blocks = std::min(rows, plan.rows) * ((args.shape.heads + 15) / 16);
  const int64_t useful = (std::max(1, args.batch->max_context) + kSplitTokens - 1) / kSplitTokens;
  return static_cast<int32_t>(std::clamp<int64_t>(plan.blocks / blocks, 1, useful));
}

bool on_hopper(const CudaDevice& device, const MlaAttentionArgs& args) {
  return device.has_wgmma && mla_hopper_takes(args.cache) &&
         mla_hopper_shared_bytes() <= device.shared_bytes_per_block;
}
int32_t stages_of(const CudaDevice& device, const MlaAttentionArgs& args) {
  if (on_hopper(device, args)) return kMlaHopper;
  return mla_decode_shared(2) <= static_cast<size_t>(device.shared_bytes_per_block) ? 2 : 1;
}

Status run_decode(CudaDevice& device, cudaStream_t stream, const MlaAttentionArgs& args) {
  const WeightRef& kv_b = weight_of(args.kv_b);
  const DecodePlan plan = plan_of(device, args);
  auto* memory = static_cast<char*>(args.workspace.data);
  MlaDecode params{
      attention_batch(*args.batch, *args.group), args.cache, args.q, args.out, args.shape, args.scale};
  params.kv_b = kv_b.data;
  params.kv_b_is_weight = !plan.decode_weight;
  if (plan.decode_weight) {
    RETURN_IF_ERROR(check(launch_decode_weight(stream, kv_b, memory), "mla_attention: decoding kv_b"));
    params.kv_b = memory;
  }
  params.queries = memory + plan.queries;
  params.sums = reinterpret_cast<float*>(memory + plan.sums);
  params.states = reinterpret_cast<float*>(memory + plan.states);
  const int32_t stages = stages_of(device, args);
  const int64_t rows = output_rows(args);
  for (int64_t row = 0; row < rows; row += plan.rows) {
    params.first_row = static_cast<int32_t>(row);
    params.rows = static_cast<int32_t>(std::min(plan.rows, rows - row));
    params.splits = splits_of(device, args, plan, rows);
    RETURN_IF_ERROR(check(launch_mla_decode(stream, params, stages), "mla_attention"));
  }
  return OkStatus();
}

}  // namespace

// The two parts run one behind the other and share the scratch.
uint64_t mla_attention_workspace(const CudaDevice& device, const MlaAttentionArgs& args) {
  if (!is_fast(device, args)) return 0;
  return std::max(plan_of(device, args).bytes, mla_prefill_workspace(device, args));
}

Status mla_attention(CudaDevice& device, cudaStream_t stream, const MlaAttentionArgs& args) {
  const WeightRef& kv_b = weight_of(args.kv_b);
  RETURN_IF_ERROR(check_args(device, args, kv_b));
  const BatchMeta& batch = *args.batch;
  const bool fast = is_fast(device, args);
  if (fast && batch.num_output_segments > 0) {
    device.note(on_hopper(device, args)            ? "cuda.mla.decode.hopper"
                : args.cache.dtype == DType::kBF16 ? "cuda.mla.decode.bf16"
                                                   : "cuda.mla.decode.fp8");
    RETURN_IF_ERROR(run_decode(device, stream, args));
  }
  if (fast && batch.num_output_segments == batch.num_segments) return OkStatus();
  const bool expanded = fast && mla_prefill_supports(args);
  if (expanded) RETURN_IF_ERROR(mla_prefill(device, stream, args));
  // what is left: prompts of other shapes, or rows of no segment behind the prompts
  int32_t first_row = 0;
  if (expanded) first_row = batch.host_query_start[batch.num_segments];
  if (first_row >= args.q.rows) return OkStatus();
  device.note("cuda.mla.generic");
  GenericMla params{
      attention_batch(*args.batch, *args.group),         args.cache, args.q, args.out, kv_b, args.shape,
      group_of(args.kv_b.group).compute == DType::kBF16, args.scale};
  return check(launch_generic_mla(stream, params, first_row, static_cast<int32_t>(args.q.rows) - first_row),
               "mla_attention");
}

}  // namespace hadal::cuda
