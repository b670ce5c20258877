// The router's choice of experts (specs: DeepSeek-V2 and V3 gates).
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/ref/elements.h"
#include "kernels/ref/ref_ops.h"

namespace hadal::ref {
namespace {

constexpr int32_t kMaxExperts = 1024;
constexpr double kMasked = -std::numeric_limits<double>::infinity();
using Scores = std::array<double, kMaxExperts>;

Status check(const RouteExpertsArgs& args) {
  const int64_t experts = args.logits.cols;
  if (args.logits.dtype != DType::kF32) return invalid_argument("route_experts: logits must be F32");
  if (experts > kMaxExperts)
    return unimplemented("route_experts: {} experts, at most {}", experts, kMaxExperts);
  if (args.top_k <= 0 || args.top_k > experts) {
    return invalid_argument("route_experts: top_k {} of {} experts", args.top_k, experts);
  }
  if (args.method == TopkMethod::kGreedy) return OkStatus();
  if (args.n_group <= 0 || experts % args.n_group != 0 || args.topk_group <= 0 ||
      args.topk_group > args.n_group || args.topk_group * (experts / args.n_group) < args.top_k) {
    return invalid_argument("route_experts: top {} of {} groups of {} experts, top_k {}", args.topk_group,
                            args.n_group, experts, args.top_k);
  }
  return OkStatus();
}

void score_row(const RouteExpertsArgs& args, int64_t row, Scores& scores) {
  const int64_t experts = args.logits.cols;
  if (args.scoring == ScoringFunc::kSigmoid) {
    for (int64_t e = 0; e < experts; ++e)
      scores[e] = 1.0 / (1.0 + std::exp(-double{get(args.logits, row, e)}));
    return;
  }
  double largest = kMasked, sum = 0;
  for (int64_t e = 0; e < experts; ++e) largest = std::max(largest, double{get(args.logits, row, e)});
  for (int64_t e = 0; e < experts; ++e) sum += scores[e] = std::exp(get(args.logits, row, e) - largest);
  for (int64_t e = 0; e < experts; ++e) scores[e] /= sum;
}

/// Index of the largest of `count` values that is not taken yet; ties to the lower index.
int64_t take_largest(const Scores& values, int64_t count, std::array<bool, kMaxExperts>& taken) {
  int64_t best = -1;
  for (int64_t i = 0; i < count; ++i) {
    if (!taken[i] && (best < 0 || values[i] > values[best])) best = i;
  }
  taken[best] = true;
  return best;
}

/// Largest score of the group, or (noaux_tc) the sum of its two largest.
double group_score(const Scores& choice, int64_t first, int64_t size, TopkMethod method) {
  double largest = kMasked, second = kMasked;
  for (int64_t e = first; e < first + size; ++e) {
    if (choice[e] > largest) {
      second = largest;
      largest = choice[e];
    } else if (choice[e] > second) {
      second = choice[e];
    }
  }
  return method == TopkMethod::kNoauxTc && size > 1 ? largest + second : largest;
}

void mask_groups(const RouteExpertsArgs& args, Scores& choice) {
  const int64_t size = args.logits.cols / args.n_group;
  Scores groups;
  for (int64_t g = 0; g < args.n_group; ++g) groups[g] = group_score(choice, g * size, size, args.method);
  std::array<bool, kMaxExperts> kept{};
  for (int32_t i = 0; i < args.topk_group; ++i) take_largest(groups, args.n_group, kept);
  for (int64_t e = 0; e < args.logits.cols; ++e) {
    if (!kept[e / size]) choice[e] = kMasked;
  }
}

void route_row(const RouteExpertsArgs& args, int64_t row) {
  Scores scores;
  score_row(args, row, scores);
  Scores choice = scores;
  if (args.bias != nullptr) {
    for (int64_t e = 0; e < args.logits.cols; ++e) choice[e] += args.bias[e];
  }
  if (args.method != TopkMethod::kGreedy) mask_groups(args, choice);

  std::array<bool, kMaxExperts> taken{};
  int32_t* ids = args.ids + row * args.top_k;
  double sum = 0;
  for (int32_t k = 0; k < args.top_k; ++k) {
    ids[k] = static_cast<int32_t>(take_largest(choice, args.logits.cols, taken));
    sum += scores[ids[k]];
  }
  // The V2 gate (softmax) leaves a single expert as it is and scales only what it does not normalise; the V3
  // gate (sigmoid) normalises whatever top_k is, and always scales.
  const bool v3 = args.scoring == ScoringFunc::kSigmoid;
  const bool normalise = args.norm_topk_prob != 0 && (v3 || args.top_k > 1);
  const bool scale = !normalise || v3;
  for (int32_t k = 0; k < args.top_k; ++k) {
    double weight = scores[ids[k]];
    if (normalise) weight /= sum + 1e-20;
    if (scale) weight *= double{args.routed_scaling_factor};
    args.weights[row * args.top_k + k] = static_cast<float>(weight);
  }
}

}  // namespace

Status route_experts(const RouteExpertsArgs& args) {
  RETURN_IF_ERROR(check(args));
  const int64_t rows = live_count(args.live_rows, args.logits.rows);
  for (int64_t row = 0; row < rows; ++row) route_row(args, row);
  if (args.expert_load == nullptr) return OkStatus();
  for (int64_t i = 0; i < rows * args.top_k; ++i) ++args.expert_load[args.ids[i]];
  return OkStatus();
}

}  // namespace hadal::ref
