// Routing and the routed experts.
#include <cmath>

#include "kernels/testing/case_lists.h"
#include "kernels/testing/weight_data.h"

namespace hadal::testing {
namespace {

struct RouteShape {
  int64_t experts;
  int32_t top_k, n_group, topk_group;
};

struct RouteCase {
  RouteShape shape;
  ScoringFunc scoring;
  TopkMethod method;
  int32_t normalise;
  float scaling;
  HostMat logits;
  TestVector<float> bias;
};

StatusOr<Outputs> run_route(const RouteCase& one, TestBackend& backend, Slice slice) {
  TestVector<int32_t> ids(static_cast<size_t>(slice.count * one.shape.top_k), -7);
  TestVector<float> weights(ids.size(), NAN);
  RETURN_IF_ERROR(backend.run(OpKind::kRouteExperts,
                              RouteExpertsArgs{.logits = one.logits.mat(slice.first, slice.count),
                                               .bias = one.bias.empty() ? nullptr : one.bias.data(),
                                               .scoring = one.scoring,
                                               .method = one.method,
                                               .top_k = one.shape.top_k,
                                               .n_group = one.shape.n_group,
                                               .topk_group = one.shape.topk_group,
                                               .norm_topk_prob = one.normalise,
                                               .routed_scaling_factor = one.scaling,
                                               .ids = ids.data(),
                                               .weights = weights.data()}));
  Outputs outputs;
  outputs.push_back({"ids", one.shape.top_k, 0, 0, std::vector<float>(ids.begin(), ids.end()), true});
  // exp of a few ulp, and a sum over the experts in the denominator
  const double relative = (64 + 8 * std::sqrt(static_cast<double>(one.shape.experts))) * kRoundoff;
  outputs.push_back({"weights", one.shape.top_k, 1e-30, relative,
                     std::vector<float>(weights.begin(), weights.end()), true});
  return outputs;
}

void add_route(Cases& cases, Random& random, const RouteShape& shape, ScoringFunc scoring, TopkMethod method,
               int64_t rows) {
  // Logits on a grid of 1/32: scores are equal (ties by id) or far apart, never apart by a rounding.
  HostMat logits(DType::kF32, rows, shape.experts, 3);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t e = 0; e < shape.experts; ++e) {
      logits.put(r, e, static_cast<float>(random.below(193) - 96) / 32.0f);
    }
  }
  TestVector<float> bias;
  if (method == TopkMethod::kNoauxTc) {
    for (int64_t e = 0; e < shape.experts; ++e)
      bias.push_back(random.signed_unit() - (e % 5 == 0 ? 2.0f : 0.0f));
  }
  const auto normalise = static_cast<int32_t>(cases.size() % 2);
  auto one = std::make_shared<RouteCase>(RouteCase{shape, scoring, method, normalise, 2.5f, logits, bias});
  cases.push_back(
      make_case(OpKind::kRouteExperts,
                fmt::format("route {} rows, top {} of {} experts, {} of {} groups, scoring {} method {} "
                            "normalise {}",
                            rows, shape.top_k, shape.experts, shape.topk_group, shape.n_group,
                            static_cast<int>(scoring), static_cast<int>(method), normalise),
                rows, [one](TestBackend& backend, Slice slice) { return run_route(*one, backend, slice); }));
}

// ---- experts ----------------------------------------------------------------------------------------------

struct MoeShape {
  int64_t rows, hidden, intermediate;
  int32_t experts, top_k;
};

struct MoeCase {
  MoeShape shape;
  HostMat x;
  std::vector<WeightData> weights;
  TestVector<int32_t> ids;
  TestVector<float> gates;
};

/// Gate, up and down have deviation (inner length)^-1/2, so that all values stay about 1.
double moe_tolerance(const MoeShape& shape, DType in) {
  const double w_in = 1 / std::sqrt(static_cast<double>(shape.hidden));
  const double w_down = 1 / std::sqrt(static_cast<double>(shape.intermediate));
  const double hidden = 8 * sum_tolerance(shape.hidden, w_in) + 64 * kRoundoff;  // silu'(g) u dg + silu(g) du
  // where the hidden product is rounded to bf16, some of its values round apart by an ulp
  const double flips = in == DType::kBF16 ? 4 * 4 * kBfloat16Ulp * w_down : 0;
  return shape.top_k * (sum_tolerance(shape.intermediate, w_down) + 4 * hidden + flips);
}

StatusOr<Outputs> run_moe(const MoeCase& one, TestBackend& backend, Slice slice) {
  std::vector<WeightRef> members;
  for (const WeightData& weight : one.weights) members.push_back(weight.ref());
  const DType compute = one.x.mat().dtype;
  ASSIGN_OR_RETURN(const TestGroup group, backend.prepare({.kind = GroupKind::kExperts,
                                                           .members = members.data(),
                                                           .count = static_cast<int32_t>(members.size()),
                                                           .compute = compute}));
  HostMat result(DType::kF32, slice.count, one.shape.hidden, 3);
  const int64_t first = slice.first * one.shape.top_k;
  RETURN_IF_ERROR(backend.run(OpKind::kMoeExperts,
                              MoeExpertsArgs{.x = one.x.mat(slice.first, slice.count),
                                             .experts = group.get(),
                                             .num_experts = one.shape.experts,
                                             .intermediate = static_cast<int32_t>(one.shape.intermediate),
                                             .ids = one.ids.data() + first,
                                             .weights = one.gates.data() + first,
                                             .top_k = one.shape.top_k,
                                             .out = result.mat()}));
  return Outputs{output_of("out", result, moe_tolerance(one.shape, compute), 4 * kRoundoff)};
}

void add_moe(Cases& cases, Random& random, const MoeShape& shape, const WeightSpec& spec, DType in) {
  auto one = std::make_shared<MoeCase>();
  one->shape = shape;
  one->x = HostMat::normal(random, in, shape.rows, shape.hidden, 1.0f, 3);
  for (int32_t e = 0; e < shape.experts; ++e) {
    const float w_in = 1 / std::sqrt(static_cast<float>(shape.hidden));
    const float w_down = 1 / std::sqrt(static_cast<float>(shape.intermediate));
    one->weights.emplace_back(random, spec, shape.intermediate, shape.hidden, w_in);
    one->weights.emplace_back(random, spec, shape.intermediate, shape.hidden, w_in);
    one->weights.emplace_back(random, spec, shape.hidden, shape.intermediate, w_down);
  }
  for (int64_t r = 0; r < shape.rows; ++r) {
    const int64_t first = random.below(shape.experts);
    for (int32_t j = 0; j < shape.top_k; ++j) {  // distinct: a step of 1
      one->ids.push_back(static_cast<int32_t>((first + j) % shape.experts));
      one->gates.push_back(0.5f * (1.0f + random.signed_unit()));
    }
  }
  cases.push_back(make_case(
      OpKind::kMoeExperts,
      fmt::format("moe_experts [{}, {}] {}, {} wide, top {} of {}, {}", shape.rows, shape.hidden,
                  dtype_name(in), shape.intermediate, shape.top_k, shape.experts, spec.name()),
      shape.rows, [one](TestBackend& backend, Slice slice) { return run_moe(*one, backend, slice); }));
}

}  // namespace

Cases route_experts_cases(CaseSet set) {
  Cases cases;
  Random random(13);
  const bool published = set == CaseSet::kPublished;
  const std::vector<RouteShape> plain =
      published
          ? std::vector<RouteShape>{{64, 6, 1, 1}}
          : std::vector<RouteShape>{{1, 1, 1, 1}, {3, 2, 1, 1}, {17, 17, 1, 1}, {65, 6, 1, 1}, {8, 1, 1, 1}};
  const std::vector<RouteShape> grouped =
      published ? std::vector<RouteShape>{{160, 6, 8, 3}, {256, 8, 8, 4}}
                : std::vector<RouteShape>{{8, 2, 4, 2}, {12, 3, 3, 1}, {64, 8, 8, 4}, {5, 2, 5, 3}};
  for (int repeat = 0; repeat < 2; ++repeat) {
    for (const RouteShape& shape : plain) {
      add_route(cases, random, shape, ScoringFunc::kSoftmax, TopkMethod::kGreedy, 17);
      add_route(cases, random, shape, ScoringFunc::kSigmoid, TopkMethod::kGreedy, 3);
      add_route(cases, random, shape, ScoringFunc::kSigmoid, TopkMethod::kNoauxTc, 3);
    }
    for (const RouteShape& shape : grouped) {
      add_route(cases, random, shape, ScoringFunc::kSoftmax, TopkMethod::kGroupLimitedGreedy, 17);
      add_route(cases, random, shape, ScoringFunc::kSigmoid, TopkMethod::kNoauxTc, 65);
    }
  }
  return cases;
}

Cases moe_experts_cases(CaseSet set) {
  Cases cases;
  Random random(14);
  const WeightSpec bf16{.dtype = DType::kBF16}, f32{.dtype = DType::kF32}, f16{.dtype = DType::kF16};
  const WeightSpec awq{.format = WeightFormat::kAwqGemm, .group = 64};
  if (set == CaseSet::kPublished) {
    const WeightSpec fp8{.format = WeightFormat::kFp8Block};
    for (const WeightSpec& spec : {bf16, fp8, awq}) {
      add_moe(cases, random, {3, 2048, 1408, 3, 2}, spec, DType::kBF16);
      // few, many and very many tokens an expert: kernels differ by that
      for (const MoeShape& shape :
           {MoeShape{17, 256, 384, 8, 2}, {100, 256, 384, 8, 2}, {300, 256, 384, 3, 2}})
        add_moe(cases, random, shape, spec, DType::kBF16);
    }
    add_moe(cases, random, {1, 2048, 1408, 2, 2}, bf16, DType::kF32);
    return cases;
  }
  const WeightSpec fp8{
      .format = WeightFormat::kFp8Block, .scale_dtype = DType::kF8E8M0, .block_rows = 16, .block_cols = 32};
  for (DType in : {DType::kF32, DType::kBF16}) {
    for (const WeightSpec& spec : {bf16, f32, f16, fp8}) {
      add_moe(cases, random, {3, 63, 17, 5, 2}, spec, in);
      add_moe(cases, random, {65, 65, 64, 3, 3}, spec, in);
      add_moe(cases, random, {1, 1, 1, 1, 1}, spec, in);
      add_moe(cases, random, {17, 128, 33, 9, 4}, spec, in);
    }
    add_moe(cases, random, {17, 128, 64, 5, 2}, awq, in);
    add_moe(cases, random, {130, 64, 64, 4, 2}, awq, in);
  }
  return cases;
}

}  // namespace hadal::testing
