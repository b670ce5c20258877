// Choice of experts: specs 2.5, scalar float32.
#include <cmath>
#include <limits>

#include "kernels/cpu/moe.h"

namespace hadal::cpu {
namespace {

constexpr float kMasked = -std::numeric_limits<float>::infinity();

void softmax(const float* logits, int64_t n, float* out) {
  float top = logits[0];
  for (int64_t e = 1; e < n; ++e) top = std::max(top, logits[e]);
  float sum = 0;
  for (int64_t e = 0; e < n; ++e) sum += out[e] = std::exp(logits[e] - top);
  for (int64_t e = 0; e < n; ++e) out[e] /= sum;
}

/// A group's worth: its best choice score, or the sum of its best two (noaux_tc).
float group_score(const float* choice, int64_t n, TopkMethod method) {
  float first = kMasked, second = kMasked;
  for (int64_t e = 0; e < n; ++e) {
    if (choice[e] > first) {
      second = first;
      first = choice[e];
    } else if (choice[e] > second) {
      second = choice[e];
    }
  }
  return method == TopkMethod::kNoauxTc && n > 1 ? first + second : first;
}

/// The index of the largest value, the lowest of equals; -1 if all are masked and taken.
int64_t take_best(const float* values, const bool* taken, int64_t n) {
  int64_t best = -1;
  for (int64_t i = 0; i < n; ++i) {
    if (!taken[i] && (best < 0 || values[i] > values[best])) best = i;
  }
  return best;
}

void mask_groups(const RouteExpertsArgs& args, int64_t experts, float* choice, float* scores, bool* kept) {
  const int64_t size = experts / args.n_group;
  for (int32_t g = 0; g < args.n_group; ++g) {
    scores[g] = group_score(choice + g * size, size, args.method);
    kept[g] = false;
  }
  for (int32_t i = 0; i < args.topk_group; ++i) {
    if (const int64_t g = take_best(scores, kept, args.n_group); g >= 0) kept[g] = true;
  }
  for (int64_t e = 0; e < experts; ++e) {
    if (!kept[e / size]) choice[e] = kMasked;
  }
}

struct RowScratch {
  float* scores;
  float* choice;
  float* groups;
  bool* taken;
};

void route_row(const RouteExpertsArgs& args, int64_t row, const RowScratch& s) {
  const int64_t experts = args.logits.cols;
  const float* logits = row_of<const float>(args.logits, row);
  if (args.scoring == ScoringFunc::kSoftmax) {
    softmax(logits, experts, s.scores);
  } else {
    for (int64_t e = 0; e < experts; ++e) s.scores[e] = 1.0f / (1.0f + std::exp(-logits[e]));
  }
  for (int64_t e = 0; e < experts; ++e)
    s.choice[e] = s.scores[e] + (args.bias != nullptr ? args.bias[e] : 0.0f);
  if (args.method != TopkMethod::kGreedy && args.n_group > 1)
    mask_groups(args, experts, s.choice, s.groups, s.taken);
  for (int64_t e = 0; e < experts; ++e) s.taken[e] = false;
  int32_t* ids = args.ids + row * args.top_k;
  float* weights = args.weights + row * args.top_k;
  float sum = 0;
  for (int32_t j = 0; j < args.top_k; ++j) {
    const int64_t e = take_best(s.choice, s.taken, experts);
    s.taken[e] = true;
    ids[j] = static_cast<int32_t>(e);
    weights[j] = s.scores[e];
    sum += s.scores[e];
  }
  const bool v3 = args.scoring == ScoringFunc::kSigmoid;
  const bool normalise = args.norm_topk_prob != 0 && (v3 || args.top_k > 1);
  const float scale = v3 || !normalise ? args.routed_scaling_factor : 1.0f;
  for (int32_t j = 0; j < args.top_k; ++j)
    weights[j] = (normalise ? weights[j] / (sum + 1e-20f) : weights[j]) * scale;
}

}  // namespace

Status route_experts(CpuDevice& device, const RouteExpertsArgs& args) {
  const int64_t experts = args.logits.cols;
  if (args.logits.dtype != DType::kF32) return internal_error("route_experts: logits must be F32");
  if (args.top_k < 1 || args.top_k > experts)
    return internal_error("route_experts: top_k {} of {} experts", args.top_k, experts);
  if (args.method != TopkMethod::kGreedy && (args.n_group < 1 || experts % args.n_group != 0)) {
    return internal_error("route_experts: {} experts in {} groups", experts, args.n_group);
  }
  if (experts * 16 > kThreadScratch) return internal_error("route_experts: too many experts");
  const int64_t step = 16;
  const int64_t rows = live_count(args.live_rows, args.logits.rows);
  device.pool.run(ceil_div(rows, step), [&](int64_t task, int thread) {
    Carver carver(device.thread_scratch(thread));
    const RowScratch scratch{carver.take<float>(experts), carver.take<float>(experts),
                             carver.take<float>(experts), carver.take<bool>(experts)};
    for (int64_t r = task * step; r < std::min(rows, (task + 1) * step); ++r) route_row(args, r, scratch);
  });
  if (args.expert_load != nullptr) {
    for (int64_t i = 0; i < rows * args.top_k; ++i) ++args.expert_load[args.ids[i]];
  }
  device.note(Used::kRoute);
  return OkStatus();
}

}  // namespace hadal::cpu
