// The routed experts: (token, slot) pairs are grouped by expert, so that an expert's weights are read once
// for all its tokens. Two passes: gate, up and silu over (expert, rows of the intermediate width); then, for
// a block of output columns, `down` of all experts and the weighted sum, in one task, so that no partial
// outputs travel between threads.
#include "kernels/cpu/moe.h"

#include "kernels/cpu/linear.h"

namespace hadal::cpu {
namespace {

constexpr int64_t kMaxTokens = 1024;  // of one round: bounds the workspace; more tokens are done in rounds
constexpr int64_t kGateRows = 32;     // of W a task of the first pass
constexpr int64_t kPairBlock = 512;   // pairs of one product in the first pass
constexpr int64_t kMaxDownRows = 64;

struct Plan {
  int64_t tokens;  // of the largest round
  int64_t pairs;
  int64_t down_rows;  // output columns a task of the second pass
  // workspace
  int32_t* first;       // [experts + 1] first pair of an expert
  int32_t* pair_token;  // [pairs] in order of experts
  int32_t* pair_slot;   // [pairs] token * top_k + slot
  int32_t* active;      // [experts] those that have pairs
  char* hidden;         // [pairs][intermediate] x.dtype, in order of experts
  float* partial;       // [threads][pairs][down_rows], in order of slots
  uint64_t bytes;
};

Plan plan_of(const CpuDevice& device, const MoeExpertsArgs& args, void* base) {
  Plan plan;
  const int threads = device.pool.threads();
  plan.tokens = std::min(kMaxTokens, args.x.rows);
  plan.pairs = plan.tokens * args.top_k;
  plan.down_rows = kMaxDownRows;
  while (plan.down_rows > 16 && ceil_div(args.out.cols, plan.down_rows) < 4 * threads) plan.down_rows /= 2;
  Carver carver(base);
  plan.first = carver.take<int32_t>(args.num_experts + 1);
  plan.pair_token = carver.take<int32_t>(plan.pairs);
  plan.pair_slot = carver.take<int32_t>(plan.pairs);
  plan.active = carver.take<int32_t>(args.num_experts);
  plan.hidden = carver.take<char>(plan.pairs * args.intermediate * bytes_of(args.x.dtype));
  plan.partial = carver.take<float>(threads * plan.pairs * plan.down_rows);
  plan.bytes = carver.used();
  return plan;
}

/// Counting sort of a round's pairs by expert; returns how many experts have pairs.
int64_t group_pairs(const MoeExpertsArgs& args, int64_t token0, int64_t tokens, const Plan& plan) {
  const int32_t* ids = args.ids + token0 * args.top_k;
  const int64_t pairs = tokens * args.top_k;
  std::fill_n(plan.first, args.num_experts + 1, 0);
  for (int64_t i = 0; i < pairs; ++i) ++plan.first[ids[i] + 1];
  int64_t active = 0;
  for (int32_t e = 0; e < args.num_experts; ++e) {
    if (plan.first[e + 1] > 0) plan.active[active++] = e;
    plan.first[e + 1] += plan.first[e];
  }
  for (int64_t i = 0; i < pairs; ++i) {
    const int32_t place = plan.first[ids[i]]++;
    plan.pair_token[place] = static_cast<int32_t>(token0 + i / args.top_k);
    plan.pair_slot[place] = static_cast<int32_t>(i);
  }
  for (int32_t e = args.num_experts; e > 0; --e) plan.first[e] = plan.first[e - 1];
  plan.first[0] = 0;
  return active;
}

const WeightRef& weight(const MoeExpertsArgs& args, int64_t expert, MlpMember member) {
  return group_of(args.experts).members[static_cast<size_t>(expert * 3 + member)];
}

/// Rows n0 .. n0 + n of an expert's gate and up, for all its pairs, into `hidden`.
void gate_up(CpuDevice& device, const MoeExpertsArgs& args, const Plan& plan, int64_t expert, int64_t n0,
             int thread) {
  const int64_t n = std::min(kGateRows, args.intermediate - n0);
  char* decode = device.thread_scratch(thread);
  float* gate = reinterpret_cast<float*>(decode + kDecodeScratch);
  float* up = gate + kPairBlock * kGateRows;
  const int64_t size = bytes_of(args.x.dtype);
  for (int64_t p = plan.first[expert]; p < plan.first[expert + 1]; p += kPairBlock) {
    const int64_t m = std::min<int64_t>(kPairBlock, plan.first[expert + 1] - p);
    DotRows rows{args.x.data, args.x.dtype, args.x.stride, plan.pair_token + p, m, gate, n, nullptr};
    dot_rows(device.kernels, weight(args, expert, kMlpGate), rows, n0, n, decode);
    rows.out = up;
    dot_rows(device.kernels, weight(args, expert, kMlpUp), rows, n0, n, decode);
    device.kernels.vector->silu_mul(gate, up, gate, m * n);
    for (int64_t i = 0; i < m; ++i) {
      char* to = plan.hidden + ((p + i) * args.intermediate + n0) * size;
      device.kernels.vector->from_f32(elem_of(args.x.dtype), gate + i * n, to, n);
    }
  }
}
static_assert(kDecodeScratch + 2 * kPairBlock * kGateRows * 4 <= kThreadScratch);

/// Output columns n0 .. n0 + n of all tokens of a round.
void down_and_sum(CpuDevice& device, const MoeExpertsArgs& args, const Plan& plan, int64_t active,
                  int64_t token0, int64_t tokens, int64_t n0, int thread) {
  const int64_t n = std::min(plan.down_rows, args.out.cols - n0);
  float* partial = plan.partial + thread * plan.pairs * plan.down_rows;
  for (int64_t a = 0; a < active; ++a) {
    const int32_t expert = plan.active[a];
    const int64_t p = plan.first[expert], m = plan.first[expert + 1] - p;
    const char* hidden = plan.hidden + p * args.intermediate * bytes_of(args.x.dtype);
    const DotRows rows{hidden, args.x.dtype, args.intermediate, nullptr, m, partial, n, plan.pair_slot + p};
    dot_rows(device.kernels, weight(args, expert, kMlpDown), rows, n0, n, device.thread_scratch(thread));
  }
  for (int64_t t = 0; t < tokens; ++t) {
    float* out = reinterpret_cast<float*>(at(args.out, token0 + t, n0));
    std::fill_n(out, n, 0.0f);
    for (int32_t j = 0; j < args.top_k; ++j) {
      const float factor = args.weights[(token0 + t) * args.top_k + j];
      device.kernels.vector->add_scaled(factor, partial + (t * args.top_k + j) * n, out, n);
    }
  }
}

void run_round(CpuDevice& device, const MoeExpertsArgs& args, const Plan& plan, int64_t token0,
               int64_t tokens) {
  const int64_t active = group_pairs(args, token0, tokens, plan);
  const int64_t gate_blocks = ceil_div(args.intermediate, kGateRows);
  device.pool.run(active * gate_blocks, [&](int64_t task, int thread) {
    gate_up(device, args, plan, plan.active[task / gate_blocks], task % gate_blocks * kGateRows, thread);
  });
  device.pool.run(ceil_div(args.out.cols, plan.down_rows), [&](int64_t task, int thread) {
    down_and_sum(device, args, plan, active, token0, tokens, task * plan.down_rows, thread);
  });
}

Status check_expert(const MoeExpertsArgs& args, int32_t expert) {
  const WeightRef& gate = weight(args, expert, kMlpGate);
  const WeightRef& up = weight(args, expert, kMlpUp);
  const WeightRef& down = weight(args, expert, kMlpDown);
  const bool fits = gate.rows == args.intermediate && up.rows == args.intermediate &&
                    down.cols == args.intermediate && gate.cols == args.x.cols && up.cols == args.x.cols &&
                    down.rows == args.out.cols;
  if (fits && gate.format != WeightFormat::kAbsent && down.format != WeightFormat::kAbsent) return OkStatus();
  return internal_error("moe_experts: expert {} does not fit x [{}, {}] and width {}", expert, args.x.rows,
                        args.x.cols, args.intermediate);
}

Status check(const MoeExpertsArgs& args) {
  if (!is_activation(args.x.dtype) || args.out.dtype != DType::kF32)
    return internal_error("moe_experts: dtypes");
  if (static_cast<size_t>(args.num_experts) * 3 > group_of(args.experts).members.size()) {
    return internal_error("moe_experts: {} experts and {} matrices", args.num_experts,
                          group_of(args.experts).members.size());
  }
  for (int64_t i = 0; i < live_count(args.live_rows, args.x.rows) * args.top_k; ++i) {
    const int32_t expert = args.ids[i];
    if (expert < 0 || expert >= args.num_experts) return internal_error("moe_experts: expert id {}", expert);
    RETURN_IF_ERROR(check_expert(args, expert));
  }
  return OkStatus();
}

}  // namespace

uint64_t moe_experts_workspace(const CpuDevice& device, const MoeExpertsArgs& args) {
  return plan_of(device, args, nullptr).bytes;
}

Status moe_experts(CpuDevice& device, const MoeExpertsArgs& args) {
  const int64_t rows = live_count(args.live_rows, args.x.rows);
  if (rows == 0) return OkStatus();
  RETURN_IF_ERROR(check(args));
  const Plan plan = plan_of(device, args, args.workspace.data);
  RETURN_IF_ERROR(check_workspace("moe_experts", args.workspace, plan.bytes));
  for (int64_t token0 = 0; token0 < rows; token0 += kMaxTokens) {
    run_round(device, args, plan, token0, std::min(kMaxTokens, rows - token0));
  }
  const int32_t kind = weight_kind(weight(args, args.ids[0], kMlpGate));
  device.note(static_cast<Used>(static_cast<int32_t>(Used::kMoe) + 5 * elem_of(args.x.dtype) + kind));
  return OkStatus();
}

}  // namespace hadal::cpu
