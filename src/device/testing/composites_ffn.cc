// An MLP, and a whole MoE block.
#include <algorithm>
#include <cmath>

#include "device/testing/composite_cases.h"
#include "kernels/ref/elements.h"
#include "kernels/testing/weight_data.h"

namespace hadal::testing {
namespace {

float deviation_for(int64_t inner) { return 1 / std::sqrt(static_cast<float>(inner)); }

/// Error of an MLP whose matrices have deviation (inner length)^-1/2: as of one routed expert
/// (kernels/testing/cases_moe.cc).
double mlp_tolerance(int64_t hidden, int64_t width, DType compute) {
  const double w_in = deviation_for(hidden), w_down = deviation_for(width);
  const double product = 8 * sum_tolerance(hidden, w_in) + 64 * kRoundoff;
  const double flips = compute == DType::kBF16 ? 4 * 4 * kBfloat16Ulp * w_down : 0;
  return sum_tolerance(width, w_down) + 4 * product + flips;
}

struct MlpWeights {
  std::vector<WeightData> data;
  MlpWeights(Random& random, const WeightSpec& spec, int64_t hidden, int64_t width) {
    data.emplace_back(random, spec, width, hidden, deviation_for(hidden));
    data.emplace_back(random, spec, width, hidden, deviation_for(hidden));
    data.emplace_back(random, spec, hidden, width, deviation_for(width));
  }
};

std::vector<WeightRef> refs_of(const std::vector<WeightData>& data) {
  std::vector<WeightRef> refs;
  for (const WeightData& one : data) refs.push_back(one.ref());
  return refs;
}

/// Rows of `initial` from `first` on as a fresh matrix.
HostMat copy_rows(const HostMat& initial, Slice slice) {
  HostMat copy(DType::kF32, slice.count, initial.cols(), 3);
  for (int64_t r = 0; r < slice.count; ++r) {
    for (int64_t c = 0; c < initial.cols(); ++c) copy.put(r, c, initial.at(slice.first + r, c));
  }
  return copy;
}

// ---- MLP --------------------------------------------------------------------------------------------------

struct MlpCase {
  int64_t hidden, width;
  HostMat x, initial;
  std::vector<WeightData> weights;
  bool accumulate;
};

StatusOr<Outputs> run_mlp(const MlpCase& one, TestBackend& backend, Slice slice) {
  const DType compute = one.x.mat().dtype;
  const auto members = refs_of(one.weights);
  ASSIGN_OR_RETURN(
      const TestGroup group,
      backend.prepare(
          {.kind = GroupKind::kMlp, .members = members.data(), .count = kMlpMembers, .compute = compute}));
  const HostMat gate(DType::kF32, slice.count, one.width), up(DType::kF32, slice.count, one.width),
      hidden(compute, slice.count, one.width);
  HostMat result =
      one.accumulate ? copy_rows(one.initial, slice) : HostMat(DType::kF32, slice.count, one.hidden, 3);
  RETURN_IF_ERROR(backend.run(OpKind::kMlp, MlpArgs{.x = one.x.mat(slice.first, slice.count),
                                                    .mlp = group.get(),
                                                    .gate = gate.mat(),
                                                    .up = up.mat(),
                                                    .hidden = hidden.mat(),
                                                    .out = result.mat(),
                                                    .accumulate = one.accumulate ? 1 : 0}));
  return Outputs{output_of("out", result, mlp_tolerance(one.hidden, one.width, compute), 4 * kRoundoff)};
}

void add_mlp(Cases& cases, Random& random, int64_t rows, int64_t hidden, int64_t width,
             const WeightSpec& spec, DType compute) {
  const bool accumulate = cases.size() % 2 == 1;
  MlpWeights weights(random, spec, hidden, width);
  auto one = std::make_shared<MlpCase>(
      MlpCase{hidden, width, HostMat::normal(random, compute, rows, hidden, 1.0f, 3),
              HostMat::normal(random, DType::kF32, rows, hidden, 1.0f), std::move(weights.data), accumulate});
  cases.push_back(
      make_case(OpKind::kMlp,
                fmt::format("mlp [{}, {}] {}, {} wide, {}{}", rows, hidden, dtype_name(compute), width,
                            spec.name(), accumulate ? " accumulated" : ""),
                rows, [one](TestBackend& backend, Slice slice) { return run_mlp(*one, backend, slice); }));
}

// ---- MoE block --------------------------------------------------------------------------------------------

struct BlockShape {
  int64_t rows, hidden, intermediate;
  int32_t experts, top_k;
  int64_t shared;  // width of the shared experts; 0: none
  ScoringFunc scoring = ScoringFunc::kSoftmax;
  TopkMethod method = TopkMethod::kGreedy;
  int32_t n_group = 1, topk_group = 1;
};

struct BlockCase {
  BlockShape shape;
  HostMat x;
  std::vector<WeightData> gate, experts, shared;
  TestVector<float> bias;
  bool padded;  // the last row of the batch is padding
};

StatusOr<Outputs> run_block(const BlockCase& one, TestBackend& backend, Slice slice) {
  const BlockShape& s = one.shape;
  const DType compute = one.x.mat().dtype;
  const auto gate_refs = refs_of(one.gate), expert_refs = refs_of(one.experts),
             shared_refs = refs_of(one.shared);
  ASSIGN_OR_RETURN(const TestGroup gate,
                   backend.prepare({.members = gate_refs.data(), .count = 1, .compute = compute}));
  ASSIGN_OR_RETURN(const TestGroup experts,
                   backend.prepare({.kind = GroupKind::kExperts,
                                    .members = expert_refs.data(),
                                    .count = static_cast<int32_t>(expert_refs.size()),
                                    .compute = compute}));
  std::unique_ptr<TestGroup> shared;
  if (s.shared > 0) {
    ASSIGN_OR_RETURN(TestGroup prepared, backend.prepare({.kind = GroupKind::kMlp,
                                                          .members = shared_refs.data(),
                                                          .count = kMlpMembers,
                                                          .compute = compute}));
    shared = std::make_unique<TestGroup>(std::move(prepared));
  }
  const auto choices = static_cast<size_t>(slice.count * s.top_k);
  TestVector<int32_t> ids(choices, -7);
  TestVector<float> weights(choices, NAN);
  TestVector<uint32_t> load(static_cast<size_t>(s.experts), 3);
  const int64_t live_rows = std::min(slice.count, s.rows - 1 - slice.first);  // 0 for the padding row alone
  const TestVector<int32_t> live = {static_cast<int32_t>(live_rows)};
  const HostMat logits(DType::kF32, slice.count, s.experts), shared_gate(DType::kF32, slice.count, s.shared),
      shared_up(DType::kF32, slice.count, s.shared), shared_hidden(compute, slice.count, s.shared);
  HostMat result(DType::kF32, slice.count, s.hidden, 3);
  MoeBlockArgs args{.x = one.x.mat(slice.first, slice.count),
                    .gate = gate.member(0),
                    .route = {.logits = logits.mat(),
                              .bias = one.bias.empty() ? nullptr : one.bias.data(),
                              .scoring = s.scoring,
                              .method = s.method,
                              .top_k = s.top_k,
                              .n_group = s.n_group,
                              .topk_group = s.topk_group,
                              .norm_topk_prob = 1,
                              .routed_scaling_factor = 1.5f,
                              .ids = ids.data(),
                              .weights = weights.data(),
                              .live_rows = one.padded ? live.data() : nullptr,
                              .expert_load = load.data()},
                    .experts = {.experts = experts.get(),
                                .num_experts = s.experts,
                                .intermediate = static_cast<int32_t>(s.intermediate)},
                    .shared = shared == nullptr ? nullptr : shared->get(),
                    .out = result.mat()};
  if (s.shared > 0) {
    args.shared_gate = shared_gate.mat();
    args.shared_up = shared_up.mat();
    args.shared_hidden = shared_hidden.mat();
  }
  RETURN_IF_ERROR(backend.run(OpKind::kMoeBlock, args));

  // weights of a row add up to 1.5 at most with the norm, each below that
  const double tolerance = 2 * s.top_k * mlp_tolerance(s.hidden, s.intermediate, compute) +
                           (s.shared > 0 ? mlp_tolerance(s.hidden, s.shared, compute) : 0);
  Outputs outputs{output_of("out", result, tolerance, 4 * kRoundoff)};
  if (one.padded && live_rows < slice.count) {  // what a padding row holds is unspecified
    std::fill_n(outputs[0].values.end() - s.hidden, s.hidden, 0.0f);
  }
  outputs.push_back({"expert load", s.experts, 0, 0, {}, true});
  if (slice.count == s.rows) outputs[1].values.assign(load.begin(), load.end());  // a part counts less
  return outputs;
}

/// Expert e's logit is one value of x: the same on every backend, so that all choose the same experts.
WeightData one_hot_gate(Random& random, const BlockShape& s, DType dtype) {
  WeightData gate(random, {.dtype = dtype}, s.experts, s.hidden, 0.0f);
  for (int32_t e = 0; e < s.experts; ++e) {
    const Mat mat{const_cast<void*>(gate.ref().data), s.experts, s.hidden, s.hidden, dtype};
    ref::set(mat, e, (int64_t{e} * 7 + 1) % s.hidden, 1.0f);
  }
  return gate;
}

void add_block(Cases& cases, Random& random, const BlockShape& shape, const WeightSpec& spec, DType compute) {
  auto one = std::make_shared<BlockCase>();
  one->shape = shape;
  one->padded = shape.rows > 1 && cases.size() % 2 == 1;
  one->x = HostMat::normal(random, compute, shape.rows, shape.hidden, 1.0f, 3);
  one->gate.push_back(one_hot_gate(random, shape, cases.size() % 3 == 0 ? DType::kF32 : DType::kBF16));
  for (int32_t e = 0; e < shape.experts; ++e) {
    MlpWeights weights(random, spec, shape.hidden, shape.intermediate);
    for (WeightData& data : weights.data) one->experts.push_back(std::move(data));
  }
  if (shape.shared > 0) one->shared = MlpWeights(random, spec, shape.hidden, shape.shared).data;
  if (shape.method == TopkMethod::kNoauxTc) {
    // multiples of 1/4: no two scores are nearly equal by them
    for (int32_t e = 0; e < shape.experts; ++e) one->bias.push_back(0.25f * static_cast<float>(e % 3));
  }
  cases.push_back(make_case(
      OpKind::kMoeBlock,
      fmt::format("moe_block [{}, {}] {}, {} wide, top {} of {}, shared {}, method {}, {}{}", shape.rows,
                  shape.hidden, dtype_name(compute), shape.intermediate, shape.top_k, shape.experts,
                  shape.shared, static_cast<int>(shape.method), spec.name(), one->padded ? ", padded" : ""),
      shape.rows, [one](TestBackend& backend, Slice slice) { return run_block(*one, backend, slice); }));
}

}  // namespace

Cases mlp_cases(CaseSet set) {
  Cases cases;
  Random random(21);
  const WeightSpec bf16{.dtype = DType::kBF16}, f32{.dtype = DType::kF32};
  const WeightSpec awq{.format = WeightFormat::kAwqGemm, .group = 64};
  if (set == CaseSet::kPublished) {
    const WeightSpec fp8{.format = WeightFormat::kFp8Block};
    for (int64_t rows : {1, 5, 130}) add_mlp(cases, random, rows, 2048, 2816, bf16, DType::kBF16);
    for (int64_t rows : {1, 65}) {
      add_mlp(cases, random, rows, 2048, 1408, fp8, DType::kBF16);
      add_mlp(cases, random, rows, 2048, 1408, awq, DType::kBF16);
      add_mlp(cases, random, rows, 4096, 1792, bf16, DType::kBF16);
    }
    add_mlp(cases, random, 2100, 128, 128, bf16, DType::kBF16);  // more row tiles than run side by side
    add_mlp(cases, random, 3, 2048, 1408, bf16, DType::kF32);
    return cases;
  }
  const WeightSpec fp8{.format = WeightFormat::kFp8Block, .block_rows = 16, .block_cols = 32};
  for (DType compute : {DType::kF32, DType::kBF16}) {
    for (const WeightSpec& spec : {bf16, f32, fp8}) {
      add_mlp(cases, random, 1, 1, 1, spec, compute);
      add_mlp(cases, random, 3, 63, 17, spec, compute);
      add_mlp(cases, random, 65, 65, 130, spec, compute);
      add_mlp(cases, random, 17, 128, 64, spec, compute);
    }
    for (int64_t rows : {1, 17, 130}) add_mlp(cases, random, rows, 128, 64, awq, compute);
  }
  return cases;
}

Cases moe_block_cases(CaseSet set) {
  Cases cases;
  Random random(22);
  const WeightSpec bf16{.dtype = DType::kBF16}, f32{.dtype = DType::kF32};
  const WeightSpec awq{.format = WeightFormat::kAwqGemm, .group = 64};
  const BlockShape v2{1, 2048, 1408, 4, 2, 2816}, wide{1, 512, 128, 64, 6, 256};
  const BlockShape v3{1, 512, 128, 32, 4, 128, ScoringFunc::kSigmoid, TopkMethod::kNoauxTc, 8, 4};
  const auto with_rows = [](BlockShape shape, int64_t rows) {
    shape.rows = rows;
    return shape;
  };
  if (set == CaseSet::kPublished) {
    const WeightSpec fp8{.format = WeightFormat::kFp8Block};
    add_block(cases, random, with_rows(v2, 5), bf16, DType::kBF16);
    add_block(cases, random, with_rows(v2, 1), fp8, DType::kBF16);
    for (int64_t rows : {1, 16, 257}) add_block(cases, random, with_rows(wide, rows), bf16, DType::kBF16);
    for (int64_t rows : {1, 70}) {
      add_block(cases, random, with_rows(v3, rows), fp8, DType::kBF16);
      add_block(cases, random, with_rows(wide, rows), awq, DType::kBF16);
    }
    add_block(cases, random, with_rows(v3, 9), bf16, DType::kF32);
    return cases;
  }
  const WeightSpec fp8{.format = WeightFormat::kFp8Block, .block_rows = 16, .block_cols = 32};
  for (DType compute : {DType::kF32, DType::kBF16}) {
    for (const WeightSpec& spec : {bf16, f32, fp8}) {
      add_block(cases, random, {1, 1, 1, 1, 1, 1}, spec, compute);
      add_block(cases, random, {3, 63, 17, 5, 2, 0}, spec, compute);
      add_block(cases, random, {65, 65, 64, 9, 3, 33}, spec, compute);
      add_block(cases, random, {17, 128, 33, 12, 3, 66, ScoringFunc::kSigmoid, TopkMethod::kNoauxTc, 3, 2},
                spec, compute);
    }
    for (int64_t rows : {1, 64, 130}) add_block(cases, random, {rows, 128, 64, 5, 2, 128}, awq, compute);
  }
  return cases;
}

}  // namespace hadal::testing
