// The routed experts: for each expert of a block of tokens, the tokens that chose it.
#include <algorithm>

#include "kernels/ref/elements.h"
#include "kernels/ref/ref_ops.h"
#include "kernels/ref/scratch.h"
#include "kernels/ref/weights.h"

namespace hadal::ref {
namespace {

/// Tokens that share one decoding of an expert.
constexpr int64_t kTokenBlock = 64;

struct MoeScratch {
  float* gate_row;  // [hidden]
  float* up_row;    // [hidden]
  float* down_row;  // [intermediate]
  float* x;         // [token block, hidden]
  float* hidden;    // [token block * top_k, intermediate]
  double* out;      // [token block, hidden]
  int32_t* chosen;  // [token block * top_k]: pairs (token, j) of the expert at hand
  uint64_t bytes;
};

MoeScratch cut(const MoeExpertsArgs& args, Scratch scratch) {
  const int64_t tokens = std::min(args.x.rows, kTokenBlock);
  MoeScratch cuts{};
  cuts.gate_row = scratch.take<float>(args.x.cols);
  cuts.up_row = scratch.take<float>(args.x.cols);
  cuts.down_row = scratch.take<float>(args.intermediate);
  cuts.x = scratch.take<float>(tokens * args.x.cols);
  cuts.hidden = scratch.take<float>(tokens * args.top_k * args.intermediate);
  cuts.out = scratch.take<double>(tokens * args.x.cols);
  cuts.chosen = scratch.take<int32_t>(tokens * args.top_k);
  cuts.bytes = scratch.bytes();
  return cuts;
}

const WeightRef& expert_weight(const MoeExpertsArgs& args, int64_t expert, MlpMember member) {
  return group_of(args.experts).members[static_cast<size_t>(expert * kMlpMembers + member)];
}

Status check(const MoeExpertsArgs& args) {
  if (args.out.dtype != DType::kF32) return invalid_argument("moe_experts: out must be F32");
  if (args.out.rows != args.x.rows || args.out.cols != args.x.cols) {
    return invalid_argument("moe_experts: x [{}, {}] and out [{}, {}] differ", args.x.rows, args.x.cols,
                            args.out.rows, args.out.cols);
  }
  const Group& group = group_of(args.experts);
  if (static_cast<int64_t>(group.members.size()) != int64_t{args.num_experts} * kMlpMembers) {
    return invalid_argument("moe_experts: {} matrices for {} experts", group.members.size(),
                            args.num_experts);
  }
  for (int32_t e = 0; e < args.num_experts; ++e) {
    for (MlpMember member : {kMlpGate, kMlpUp, kMlpDown}) {
      const WeightRef& w = expert_weight(args, e, member);
      const bool down = member == kMlpDown;
      if (w.rows != (down ? args.x.cols : args.intermediate) ||
          w.cols != (down ? args.intermediate : args.x.cols)) {
        return invalid_argument("moe_experts: matrix {} of expert {} is [{}, {}]", static_cast<int>(member),
                                e, w.rows, w.cols);
      }
    }
  }
  for (int64_t i = 0; i < live_count(args.live_rows, args.x.rows) * args.top_k; ++i) {
    if (args.ids[i] < 0 || args.ids[i] >= args.num_experts) {
      return invalid_argument("moe_experts: expert id {} of {}", args.ids[i], args.num_experts);
    }
  }
  return OkStatus();
}

void run_expert(const MoeExpertsArgs& args, int64_t first, int64_t expert, int64_t count,
                const MoeScratch& scratch) {
  const Decode decode = decode_for(args.x.dtype);
  const int64_t width = args.x.cols;
  for (int64_t n = 0; n < args.intermediate; ++n) {
    decode_row(expert_weight(args, expert, kMlpGate), n, decode, scratch.gate_row);
    decode_row(expert_weight(args, expert, kMlpUp), n, decode, scratch.up_row);
    for (int64_t i = 0; i < count; ++i) {
      const float* x = scratch.x + scratch.chosen[i] / args.top_k * width;
      const auto gate = static_cast<float>(dot(scratch.gate_row, x, width));
      const auto up = static_cast<float>(dot(scratch.up_row, x, width));
      scratch.hidden[i * args.intermediate + n] = round_to(args.x.dtype, static_cast<float>(silu(gate) * up));
    }
  }
  for (int64_t n = 0; n < width; ++n) {
    decode_row(expert_weight(args, expert, kMlpDown), n, decode, scratch.down_row);
    for (int64_t i = 0; i < count; ++i) {
      const double weight = args.weights[first * args.top_k + scratch.chosen[i]];
      scratch.out[scratch.chosen[i] / args.top_k * width + n] +=
          weight * dot(scratch.down_row, scratch.hidden + i * args.intermediate, args.intermediate);
    }
  }
}

void run_block(const MoeExpertsArgs& args, int64_t first, int64_t tokens, const MoeScratch& scratch) {
  for (int64_t r = 0; r < tokens; ++r) load_row(args.x, first + r, scratch.x + r * args.x.cols);
  std::fill_n(scratch.out, tokens * args.x.cols, 0.0);
  for (int32_t expert = 0; expert < args.num_experts; ++expert) {
    int64_t count = 0;
    for (int32_t i = 0; i < tokens * args.top_k; ++i) {
      if (args.ids[first * args.top_k + i] == expert) scratch.chosen[count++] = i;
    }
    if (count > 0) run_expert(args, first, expert, count, scratch);
  }
  for (int64_t r = 0; r < tokens; ++r) {
    for (int64_t c = 0; c < args.x.cols; ++c) {
      set(args.out, first + r, c, static_cast<float>(scratch.out[r * args.x.cols + c]));
    }
  }
}

}  // namespace

uint64_t moe_experts_workspace(const MoeExpertsArgs& args) { return cut(args, Scratch()).bytes; }

Status moe_experts(const MoeExpertsArgs& args) {
  RETURN_IF_ERROR(check(args));
  const MoeScratch scratch = cut(args, Scratch(args.workspace));
  const int64_t rows = live_count(args.live_rows, args.x.rows);
  for (int64_t first = 0; first < rows; first += kTokenBlock) {
    run_block(args, first, std::min(kTokenBlock, rows - first), scratch);
  }
  return OkStatus();
}

}  // namespace hadal::ref
