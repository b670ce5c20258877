// Attention over paged caches.
#include <algorithm>
#include <cmath>

#include "kernels/testing/case_lists.h"
#include "kernels/testing/paged_batch.h"
#include "kernels/testing/weight_data.h"

namespace hadal::testing {
namespace {

constexpr double kLargest = 6.0;  // Random::normal stays below

/// Contexts around tile edges; the last set is a preempted sequence: outputs and prompt together.
std::vector<std::vector<SegmentSpec>> segment_sets() {
  const TokenForm out = TokenForm::kOutput, in = TokenForm::kPrompt;
  return {{{1, 1, out}, {1, 64, out}, {1, 65, out}, {3, 130, out}, {1, 577, out}},
          {{17, 17, in}, {65, 65, in}, {1, 1, in}},
          {{3, 67, out}, {64, 192, in}, {63, 63, in}},
          {{130, 130, in}},
          {{1, 70, out}, {1, 3, out}, {1, 0, out}, {1, 0, out}, {1, 0, out}}};  // padded to a bucket
}
std::vector<std::vector<SegmentSpec>> published_segments() {
  return {{{1, 130, TokenForm::kOutput}, {2, 70, TokenForm::kOutput}, {9, 73, TokenForm::kPrompt}},
          {{1, 130, TokenForm::kOutput}, {1, 0, TokenForm::kOutput}, {1, 0, TokenForm::kOutput}}};
}

/// One long sequence, of more splits than a warp has lanes; more rows than a block merges, some a row short
/// of four, each with splits of its own number.
std::vector<std::vector<SegmentSpec>> decode_segments() {
  std::vector<SegmentSpec> many;
  for (int32_t row = 0; row < 18; ++row) many.push_back({1, 40 + 60 * row, TokenForm::kOutput});
  return {{{1, 2500, TokenForm::kOutput}}, many, {many.begin() + 10, many.begin() + 13}};
}

/// Rows of segments without a context: calls `visit(row)` for each.
template <typename Visit>
void for_padding(const BatchView& view, Visit visit) {
  for (size_t s = 0; s < view.context_len.size(); ++s) {
    if (view.context_len[s] == 0) visit(view.query_start[s]);
  }
}

/// What stands in such rows before a run: something finite, as in a buffer that steps share.
void mark_padding(const BatchView& view, HostMat& result) {
  for_padding(view, [&](int64_t row) {
    for (int64_t col = 0; col < result.cols(); ++col) result.put(row, col, 77);
  });
}

/// After a run: whatever is left there counts as the same, if it is finite.
void settle_padding(const BatchView& view, HostMat& result) {
  for_padding(view, [&](int64_t row) {
    for (int64_t col = 0; col < result.cols(); ++col) {
      if (std::isfinite(result.at(row, col))) result.put(row, col, 77);
    }
  });
}

/// Softmax over scores with error `score`, then a convex combination of `context` values below kLargest.
double softmax_tolerance(double score, int64_t context) {
  const double weights = 2 * score + (64 + 8 * std::sqrt(static_cast<double>(context))) * kRoundoff;
  return weights * kLargest;
}

int64_t longest(const std::vector<SegmentSpec>& segments) {
  int64_t context = 0;
  for (const SegmentSpec& segment : segments) context = std::max(context, segment.context);
  return context;
}

/// What rounding to bfloat16 for tensor cores adds, about six deviations of it. Queries, keys and weights
/// each err by 2^-9 of themselves at most, independently, so a score (deviation 1) errs by some 2^-9 /
/// sqrt(3) and so does the convex combination; values are about 1. A row's `roundings` add up in quadrature.
double tensor_core_tolerance(int roundings) {
  return 6 * 0x1p-9 / std::sqrt(3.0) * std::sqrt(roundings) * 1.5;
}

/// The result of `backend`, with the tolerance that its arithmetic has. Whether most values are rounded alike
/// says nothing where sums differ by more than float32's roundings.
Outputs attention_outputs(const TestBackend& backend, const HostMat& result, DType out, double tolerance,
                          int roundings) {
  const bool rounds = backend.tensor_cores && out == DType::kBF16;
  if (rounds) tolerance += tensor_core_tolerance(roundings);
  Output output = output_of("out", result, tolerance, rounding_tolerance(out));
  if (rounds) output.rounded = false;
  return {std::move(output)};
}

// ---- MLA --------------------------------------------------------------------------------------------------

struct MlaCase {
  MlaShape shape;
  PagedBatch batch;
  CacheData cache;
  WeightData kv_b;
  HostMat q;
  DType compute, out;
  float scale;
  double tolerance;
};

/// Both forms' errors added up. Latents and queries have deviation 1, kv_b kv_lora^-1/2, so keys and values
/// about 1.
double mla_tolerance(const MlaShape& s, float scale, int64_t context) {
  const double w = 1 / std::sqrt(static_cast<double>(s.kv_lora));
  const double key = sum_tolerance(s.kv_lora, w);  // expanded: an element of K (and V)
  const double query = sum_tolerance(s.nope, w);   // absorbed: an element of the latent query
  const double score = sum_tolerance(s.nope + s.rope, 1) + 4 * std::sqrt(s.nope) * key +
                       4 * std::sqrt(s.kv_lora) * query + sum_tolerance(s.kv_lora, std::sqrt(s.nope) * w);
  return softmax_tolerance(scale * score, context) + 2 * key;
}

StatusOr<Outputs> run_mla(const MlaCase& one, TestBackend& backend, Slice slice) {
  WeightRef members[kMlaMembers] = {};
  members[kMlaKvB] = one.kv_b.ref();
  ASSIGN_OR_RETURN(const TestGroup group, backend.prepare({.kind = GroupKind::kMla,
                                                           .members = members,
                                                           .count = kMlaMembers,
                                                           .mla = one.shape,
                                                           .compute = one.compute}));
  const auto view = one.batch.view(slice);
  HostMat result(one.out, slice.count, int64_t{one.shape.heads} * one.shape.v, 3);
  mark_padding(*view, result);
  RETURN_IF_ERROR(
      backend.run(OpKind::kMlaAttention, MlaAttentionArgs{.q = one.q.mat(slice.first, slice.count),
                                                          .kv_b = group.member(kMlaKvB),
                                                          .shape = one.shape,
                                                          .cache = one.cache.layer(),
                                                          .batch = &view->batch,
                                                          .group = &view->group,
                                                          .scale = one.scale,
                                                          .out = result.mat()}));
  settle_padding(*view, result);
  // expanded: query, key, weights, value; absorbed: query, latent query, weights, latents of the output
  return attention_outputs(backend, result, one.out, one.tolerance, 4);
}

void add_mla(Cases& cases, Random& random, const MlaShape& shape, const std::vector<SegmentSpec>& segments,
             const CacheSpec& spec, const WeightSpec& weight, DType compute, DType q_dtype, DType out) {
  const int32_t block_tokens = cases.size() % 2 == 0 ? 64 : 16;
  PagedBatch batch(random, segments, block_tokens);
  CacheData cache(spec, batch.blocks(), block_tokens, shape.kv_lora, shape.rope);
  cache.fill(random);
  const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(shape.nope + shape.rope)));
  WeightData kv_b(random, weight, int64_t{shape.heads} * (shape.nope + shape.v), shape.kv_lora,
                  1 / std::sqrt(static_cast<float>(shape.kv_lora)));
  HostMat q =
      HostMat::normal(random, q_dtype, batch.rows(), int64_t{shape.heads} * (shape.nope + shape.rope), 1, 5);
  const double tolerance = mla_tolerance(shape, scale, longest(segments));
  const int64_t rows = batch.rows();
  auto one = std::make_shared<MlaCase>(MlaCase{shape, std::move(batch), std::move(cache), std::move(kv_b),
                                               std::move(q), compute, out, scale, tolerance});
  cases.push_back(make_case(
      OpKind::kMlaAttention,
      fmt::format(
          "mla_attention {} heads {}+{} v {} latent {} segments of {} rows, {}, kv_b {} for {}, q {} -> {}",
          shape.heads, shape.nope, shape.rope, shape.v, shape.kv_lora, rows, spec.name(), weight.name(),
          dtype_name(compute), dtype_name(q_dtype), dtype_name(out)),
      rows, [one](TestBackend& backend, Slice slice) { return run_mla(*one, backend, slice); }));
}

// ---- GQA --------------------------------------------------------------------------------------------------

struct GqaShape {
  int32_t heads, kv_heads, head_dim, window;
};

struct GqaCase {
  GqaShape shape;
  PagedBatch batch;
  CacheData cache;
  HostMat q;
  DType out;
  float scale;
  double tolerance;
};

StatusOr<Outputs> run_gqa(const GqaCase& one, TestBackend& backend, Slice slice) {
  const auto view = one.batch.view(slice);
  HostMat result(one.out, slice.count, one.q.cols(), 3);
  mark_padding(*view, result);
  RETURN_IF_ERROR(
      backend.run(OpKind::kGqaAttention, GqaAttentionArgs{.q = one.q.mat(slice.first, slice.count),
                                                          .heads = one.shape.heads,
                                                          .kv_heads = one.shape.kv_heads,
                                                          .head_dim = one.shape.head_dim,
                                                          .window = one.shape.window,
                                                          .cache = one.cache.layer(),
                                                          .batch = &view->batch,
                                                          .group = &view->group,
                                                          .scale = one.scale,
                                                          .out = result.mat()}));
  settle_padding(*view, result);
  return attention_outputs(backend, result, one.out, one.tolerance, 2);  // query, weights
}

void add_gqa(Cases& cases, Random& random, const GqaShape& shape, const std::vector<SegmentSpec>& segments,
             CacheSpec spec, DType q_dtype, DType out) {
  const int32_t block_tokens = cases.size() % 2 == 0 ? 16 : 64;
  spec.rope_dtype = spec.dtype;  // not used
  PagedBatch batch(random, segments, block_tokens, shape.window);
  CacheData cache(spec, batch.blocks(), block_tokens, 2 * int64_t{shape.kv_heads} * shape.head_dim, 0);
  cache.fill(random);
  const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(shape.head_dim)));
  HostMat q = HostMat::normal(random, q_dtype, batch.rows(), int64_t{shape.heads} * shape.head_dim, 1, 5);
  const double tolerance = softmax_tolerance(scale * sum_tolerance(shape.head_dim, 1), longest(segments));
  const int64_t rows = batch.rows();
  auto one = std::make_shared<GqaCase>(
      GqaCase{shape, std::move(batch), std::move(cache), std::move(q), out, scale, tolerance});
  cases.push_back(
      make_case(OpKind::kGqaAttention,
                fmt::format("gqa_attention {}/{} heads of {} window {} segments of {} rows, {}, q {} -> {}",
                            shape.heads, shape.kv_heads, shape.head_dim, shape.window, rows, spec.name(),
                            dtype_name(q_dtype), dtype_name(out)),
                rows, [one](TestBackend& backend, Slice slice) { return run_gqa(*one, backend, slice); }));
}

}  // namespace

Cases mla_attention_cases(CaseSet set) {
  Cases cases;
  Random random(11);
  const WeightSpec bf16{.dtype = DType::kBF16};
  if (set == CaseSet::kPublished) {
    const MlaShape shape{16, 128, 64, 128, 512};
    const WeightSpec fp8{.format = WeightFormat::kFp8Block},
        awq{.format = WeightFormat::kAwqGemm, .group = 64};
    for (const auto& segments : published_segments()) {
      for (const CacheSpec& spec : cache_specs()) {
        add_mla(cases, random, shape, segments, spec, bf16, DType::kBF16, DType::kF32, DType::kBF16);
      }
      add_mla(cases, random, shape, segments, cache_specs()[0], bf16, DType::kF32, DType::kF32, DType::kF32);
      add_mla(cases, random, shape, segments, cache_specs()[1], fp8, DType::kBF16, DType::kF32, DType::kBF16);
      add_mla(cases, random, shape, segments, cache_specs()[1], awq, DType::kBF16, DType::kF32, DType::kBF16);
    }
    for (const auto& segments : decode_segments())
      add_mla(cases, random, shape, segments, cache_specs()[0], bf16, DType::kBF16, DType::kF32,
              DType::kBF16);
    return cases;
  }
  const WeightSpec fp8{.format = WeightFormat::kFp8Block, .block_rows = 16, .block_cols = 16};
  const WeightSpec awq{.format = WeightFormat::kAwqGemm, .group = 16};
  const MlaShape odd{3, 17, 6, 13, 36}, round{2, 16, 8, 16, 32}, wide{1, 65, 32, 63, 68};
  for (const auto& segments : segment_sets()) {
    for (const CacheSpec& spec : cache_specs()) {
      add_mla(cases, random, odd, segments, spec, bf16, DType::kF32, DType::kF32, DType::kF32);
      add_mla(cases, random, round, segments, spec, bf16, DType::kBF16, DType::kBF16, DType::kBF16);
    }
    for (DType compute : {DType::kF32, DType::kBF16}) {
      add_mla(cases, random, wide, segments, cache_specs()[0], {.dtype = DType::kF32}, compute, DType::kF32,
              compute);
      add_mla(cases, random, round, segments, cache_specs()[0], fp8, compute, DType::kF32, compute);
      add_mla(cases, random, round, segments, cache_specs()[0], awq, compute, DType::kF32, compute);
    }
  }
  return cases;
}

Cases gqa_attention_cases(CaseSet set) {
  Cases cases;
  Random random(12);
  if (set == CaseSet::kPublished) {
    for (const GqaShape& shape :
         {GqaShape{32, 8, 128, 0}, GqaShape{28, 4, 128, 0}, GqaShape{32, 32, 128, 64}}) {
      for (const CacheSpec& spec : cache_specs()) {
        for (const auto& segments : published_segments())
          add_gqa(cases, random, shape, segments, spec, DType::kF32, DType::kBF16);
      }
    }
    return cases;
  }
  const GqaShape shapes[] = {{4, 2, 17, 0}, {3, 1, 64, 5}, {2, 2, 65, 64}, {6, 2, 8, 100}, {1, 1, 1, 1}};
  for (const auto& segments : segment_sets()) {
    for (const GqaShape& shape : shapes) {
      for (const CacheSpec& spec : cache_specs()) {
        const bool bf16 = cases.size() % 2 == 0;
        add_gqa(cases, random, shape, segments, spec, bf16 ? DType::kBF16 : DType::kF32,
                cases.size() % 3 == 0 ? DType::kBF16 : DType::kF32);
      }
    }
  }
  return cases;
}

}  // namespace hadal::testing
