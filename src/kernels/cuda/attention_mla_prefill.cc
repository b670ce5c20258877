#include "kernels/cuda/attention_mla_prefill.h"

#include <algorithm>

#include "kernels/cuda/kernels/attention_mla_decode.h"
#include "kernels/cuda/kernels/attention_mla_prefill.h"

namespace hadal::cuda {
namespace {

constexpr uint64_t aligned(uint64_t bytes) { return (bytes + 255) / 256 * 256; }

/// Context tokens of a piece, a multiple of kAttentionTile: 128 MiB of keys and values, or 1,024 tokens.
int64_t piece_tokens(const MlaShape& shape) {
  constexpr int64_t kTokenHeads = 262144;
  return std::clamp<int64_t>(kTokenHeads / shape.heads, 1024, 16384) / kAttentionTile * kAttentionTile;
}

LinearArgs expansion(const MlaAttentionArgs& args, int64_t tokens, void* latents, void* expanded) {
  const MlaShape& shape = args.shape;
  const int64_t width = int64_t{shape.heads} * (shape.nope + shape.v);
  LinearArgs linear{};
  linear.x = {latents, tokens, kMlaLatent, kMlaWidth, DType::kBF16};
  linear.weight = args.kv_b;
  linear.out = {expanded, tokens, width, width, DType::kBF16};
  return linear;
}

/// Of a size that the batch changes in one way only: contexts longer than a piece carry states.
struct Plan {
  int64_t tokens;
  uint64_t expanded, state, linear, bytes;
};
Plan plan_of(const CudaDevice& device, const MlaAttentionArgs& args) {
  const MlaShape& shape = args.shape;
  Plan plan{};
  plan.tokens = piece_tokens(shape);
  const auto tokens = static_cast<uint64_t>(plan.tokens), heads = static_cast<uint64_t>(shape.heads);
  plan.expanded = aligned(tokens * kMlaWidth * 2);
  plan.state = plan.expanded + aligned(tokens * heads * static_cast<uint64_t>(shape.nope + shape.v) * 2);
  plan.linear = plan.state;
  if (args.batch->max_context > plan.tokens)
    plan.linear += aligned(static_cast<uint64_t>(args.q.rows) * heads * (shape.v + 2) * sizeof(float));
  plan.bytes = plan.linear + linear_workspace(device, expansion(args, plan.tokens, nullptr, nullptr));
  return plan;
}

Status run_piece(CudaDevice& device, cudaStream_t stream, const MlaAttentionArgs& args, const Plan& plan,
                 int64_t tokens, const MlaPrefill& piece) {
  RETURN_IF_ERROR(check(launch_mla_gather(stream, piece), "mla_attention: gathering latents"));
  auto* memory = static_cast<char*>(args.workspace.data);
  LinearArgs expand = expansion(args, tokens, memory, memory + plan.expanded);
  expand.workspace = {memory + plan.linear, args.workspace.bytes - plan.linear};
  RETURN_IF_ERROR(linear(device, stream, expand));
  return check(launch_mla_prefill(stream, piece), "mla_attention");
}

}  // namespace

bool mla_prefill_supports(const MlaAttentionArgs& args) {
  return mla_prefill_takes(args.shape) && args.batch->host_query_start != nullptr &&
         args.batch->host_context_len != nullptr;
}

uint64_t mla_prefill_workspace(const CudaDevice& device, const MlaAttentionArgs& args) {
  return mla_prefill_takes(args.shape) ? plan_of(device, args).bytes : 0;
}

Status mla_prefill(CudaDevice& device, cudaStream_t stream, const MlaAttentionArgs& args) {
  const BatchMeta& batch = *args.batch;
  const Plan plan = plan_of(device, args);
  auto* memory = static_cast<char*>(args.workspace.data);
  MlaPrefill piece{
      attention_batch(batch, *args.group), args.cache, args.q, args.out, args.shape.heads, args.scale};
  piece.latents = memory;
  piece.expanded = memory + plan.expanded;
  piece.state = reinterpret_cast<float*>(memory + plan.state);
  device.note(args.cache.dtype == DType::kBF16 ? "cuda.mla.prefill.bf16" : "cuda.mla.prefill.fp8");
  const auto rows_of = [&](int32_t s) { return batch.host_query_start[s + 1] - batch.host_query_start[s]; };
  for (int32_t s = batch.num_output_segments; s < batch.num_segments;) {
    const int64_t context = batch.host_context_len[s];
    piece.first_segment = s;
    if (context > plan.tokens) {
      piece.segments = 1;
      piece.longest_query = rows_of(s);
      for (int64_t key = 0; key < context; key += plan.tokens) {
        const int64_t last = std::min(key + plan.tokens, context);
        piece.first_key = static_cast<int32_t>(key);
        piece.last_key = static_cast<int32_t>(last);
        piece.first_part = key == 0;
        piece.last_part = last == context;
        RETURN_IF_ERROR(run_piece(device, stream, args, plan, last - key, piece));
      }
      ++s;
      continue;
    }
    int64_t tokens = 0, longest = 0;
    piece.longest_query = 0;
    for (; s < batch.num_segments && tokens + batch.host_context_len[s] <= plan.tokens; ++s) {
      tokens += batch.host_context_len[s];
      longest = std::max<int64_t>(longest, batch.host_context_len[s]);
      piece.longest_query = std::max(piece.longest_query, rows_of(s));
    }
    if (tokens == 0) continue;
    piece.segments = s - piece.first_segment;
    piece.first_key = 0;
    piece.last_key = static_cast<int32_t>(longest);
    piece.first_part = piece.last_part = true;
    RETURN_IF_ERROR(run_piece(device, stream, args, plan, tokens, piece));
  }
  return OkStatus();
}

}  // namespace hadal::cuda
