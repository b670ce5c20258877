// What comes before attention: projections, norms, rotation, the cache's records.
#include <algorithm>
#include <cmath>

#include "device/testing/composite_cases.h"
#include "kernels/ref/cache.h"
#include "kernels/testing/paged_batch.h"
#include "kernels/testing/weight_data.h"

namespace hadal::testing {
namespace {

constexpr int64_t kPositions = 100;
constexpr int32_t kBlockTokens = 16;
constexpr double kLargest = 6.0;  // Random::normal stays below

float deviation_for(int64_t inner) { return 1 / std::sqrt(static_cast<float>(inner)); }

/// Where the rows of a batch are, and the table they are rotated by.
struct Place {
  TestVector<int32_t> positions, slots;
  TestVector<float> table;
  int32_t blocks;

  Place(Random& random, int64_t rows, int32_t dim) : blocks(static_cast<int32_t>(rows / kBlockTokens) + 3) {
    for (int64_t p = 0; p < kPositions; ++p) {
      for (int32_t i = 0; i < dim; ++i) {
        const double angle = static_cast<double>(p) * std::pow(100.0, -2.0 * (i % (dim / 2)) / dim);
        table.push_back(static_cast<float>(i < dim / 2 ? std::cos(angle) : std::sin(angle)));
      }
    }
    for (int32_t slot = kBlockTokens; slot < blocks * kBlockTokens; ++slot) slots.push_back(slot);
    for (size_t i = slots.size(); i > 1; --i)
      std::swap(slots[i - 1], slots[static_cast<size_t>(random.below(static_cast<int64_t>(i)))]);
    slots.resize(static_cast<size_t>(rows));
    for (int64_t r = 0; r < rows; ++r) positions.push_back(static_cast<int32_t>(random.below(kPositions)));
  }
};

bool is_rounded(DType dtype) { return dtype != DType::kF32; }

/// `count` values of each of the slice's records, from byte `offset` on, as they are read back. The error of
/// a value is its own and a rounding to `dtype` (of subnormal fp8 values: a step of 2^-9 at most).
Output cached(std::string name, const CacheData& cache, const Place& place, Slice slice, DType dtype,
              int64_t offset, int64_t count, float scale, double tolerance) {
  const double step = ref::is_fp8(dtype) ? scale * 0x1p-9 : 0;
  Output output{std::move(name),  count, tolerance + step, rounding_tolerance(dtype), {}, true,
                is_rounded(dtype)};
  std::vector<float> values(static_cast<size_t>(count));
  for (int64_t r = slice.first; r < slice.first + slice.count; ++r) {
    const uint8_t* record = cache.record(place.slots[static_cast<size_t>(r)]);
    ref::read_cached(dtype, record + offset, count, scale, values.data());
    output.values.insert(output.values.end(), values.begin(), values.end());
  }
  return output;
}

/// Every byte that belongs to none of the slice's records is still 0xFF.
bool rest_untouched(CacheData cache, const Place& place, Slice slice) {
  for (int64_t r = slice.first; r < slice.first + slice.count; ++r) {
    std::fill_n(cache.record(place.slots[static_cast<size_t>(r)]), cache.record_bytes(), uint8_t{0xFF});
  }
  return std::all_of(cache.bytes().begin(), cache.bytes().end(), [](uint8_t byte) { return byte == 0xFF; });
}

// ---- MLA --------------------------------------------------------------------------------------------------

struct MlaDims {
  MlaShape shape;
  int64_t hidden;
  int32_t q_lora;
};

struct MlaCase {
  MlaDims dims;
  CacheSpec spec;
  HostMat x, q_a_norm, kv_a_norm;
  DType norm_dtype;
  std::vector<WeightData> weights;  // in the order of `members`
  std::vector<int32_t> members;
  Place place;
};

StatusOr<Outputs> run_mla(const MlaCase& one, TestBackend& backend, Slice slice) {
  const MlaShape& shape = one.dims.shape;
  const DType compute = one.x.mat().dtype;
  WeightRef members[kMlaMembers] = {};
  for (size_t i = 0; i < one.members.size(); ++i) members[one.members[i]] = one.weights[i].ref();
  ASSIGN_OR_RETURN(const TestGroup group, backend.prepare({.kind = GroupKind::kMla,
                                                           .members = members,
                                                           .count = kMlaMembers,
                                                           .mla = shape,
                                                           .compute = compute}));
  const int64_t q_lora = one.dims.q_lora, rows = slice.count;
  const CacheData cache(one.spec, one.place.blocks, kBlockTokens, shape.kv_lora, shape.rope);
  HostMat q(DType::kF32, rows, int64_t{shape.heads} * (shape.nope + shape.rope), 3);
  const HostMat kv(DType::kF32, rows, shape.kv_lora + shape.rope);
  MlaPrologueArgs args{.x = one.x.mat(slice.first, rows),
                       .mla = group.get(),
                       .shape = shape,
                       .q_lora = one.dims.q_lora,
                       .kv_a_norm = one.kv_a_norm.data(),
                       .norm_dtype = one.norm_dtype,
                       .norm_eps = 1e-6f,
                       .rope_layout = RopeLayout::kInterleaved,
                       .positions = one.place.positions.data() + slice.first,
                       .rope_table = one.place.table.data(),
                       .cache = cache.layer(),
                       .slots = one.place.slots.data() + slice.first,
                       .q = q.mat(),
                       .kv = kv.mat()};
  const HostMat q_latent(DType::kF32, rows, q_lora), q_normed(compute, rows, q_lora);
  if (q_lora > 0) {
    args.q_a_norm = one.q_a_norm.data();
    args.q_latent = q_latent.mat();
    args.q_normed = q_normed.mat();
  }
  RETURN_IF_ERROR(backend.run(OpKind::kMlaPrologue, args));

  // Projections give values of deviation 1; a rotation adds two of their errors; the norm's weights (up to
  // kLargest) multiply them.
  const double projected = sum_tolerance(one.dims.hidden, deviation_for(one.dims.hidden));
  const double latent = kLargest * (2 * projected + 64 * kRoundoff);
  double query = 2 * projected;
  if (q_lora > 0) {
    const double flips =
        compute == DType::kBF16 ? 4 * 4 * kLargest * kBfloat16Ulp * deviation_for(q_lora) : 0;
    query = 2 * (sum_tolerance(q_lora, kLargest * deviation_for(q_lora)) + 4 * latent + flips);
  }
  Outputs outputs{output_of("q", q, query, 16 * kRoundoff)};
  outputs.push_back(
      cached("latent", cache, one.place, slice, one.spec.dtype, 0, shape.kv_lora, one.spec.k_scale, latent));
  outputs.push_back(cached("k rope", cache, one.place, slice, one.spec.rope_dtype,
                           shape.kv_lora * bytes_of(one.spec.dtype), shape.rope, 1.0f, 2 * projected));
  outputs[1].margins_intact = rest_untouched(cache, one.place, slice);
  return outputs;
}

void add_mla(Cases& cases, Random& random, int64_t rows, const MlaDims& dims, const CacheSpec& spec,
             const WeightSpec& weight, DType compute) {
  const MlaShape& s = dims.shape;
  const int64_t q_cols = int64_t{s.heads} * (s.nope + s.rope);
  const DType norm_dtype = cases.size() % 2 == 0 ? DType::kBF16 : DType::kF32;
  std::vector<WeightData> weights;
  std::vector<int32_t> members;
  const auto add = [&](int32_t member, int64_t out, int64_t in) {
    members.push_back(member);
    weights.emplace_back(random, weight, out, in, deviation_for(in));
  };
  if (dims.q_lora > 0) {
    add(kMlaQA, dims.q_lora, dims.hidden);
    add(kMlaQB, q_cols, dims.q_lora);
  } else {
    add(kMlaQ, q_cols, dims.hidden);
  }
  add(kMlaKvA, s.kv_lora + s.rope, dims.hidden);
  auto one = std::make_shared<MlaCase>(
      MlaCase{dims, spec, HostMat::normal(random, compute, rows, dims.hidden, 1.0f, 3),
              HostMat::normal(random, norm_dtype, 1, dims.q_lora, 1.0f),
              HostMat::normal(random, norm_dtype, 1, s.kv_lora, 1.0f), norm_dtype, std::move(weights),
              std::move(members), Place(random, rows, s.rope)});
  cases.push_back(
      make_case(OpKind::kMlaPrologue,
                fmt::format("mla_prologue [{}, {}] {}, {} heads {}+{}, q latent {}, latent {}, {}, {}", rows,
                            dims.hidden, dtype_name(compute), s.heads, s.nope, s.rope, dims.q_lora, s.kv_lora,
                            weight.name(), spec.name()),
                rows, [one](TestBackend& backend, Slice slice) { return run_mla(*one, backend, slice); }));
}

// ---- GQA --------------------------------------------------------------------------------------------------

struct GqaDims {
  int32_t heads, kv_heads, head_dim;
  int64_t hidden;
};

struct GqaCase {
  GqaDims dims;
  CacheSpec spec;
  HostMat x;
  std::vector<WeightData> weights;  // q, k, v
  Place place;
};

StatusOr<Outputs> run_gqa(const GqaCase& one, TestBackend& backend, Slice slice) {
  const GqaDims& d = one.dims;
  WeightRef members[kGqaMembers] = {};
  for (int32_t i = 0; i < 3; ++i) members[i] = one.weights[static_cast<size_t>(i)].ref();
  ASSIGN_OR_RETURN(
      const TestGroup group,
      backend.prepare(
          {.kind = GroupKind::kGqa, .members = members, .count = kGqaMembers, .compute = one.x.mat().dtype}));
  const int64_t kv_cols = int64_t{d.kv_heads} * d.head_dim, rows = slice.count;
  const CacheData cache(one.spec, one.place.blocks, kBlockTokens, 2 * kv_cols, 0);
  HostMat q(DType::kF32, rows, int64_t{d.heads} * d.head_dim, 3);
  const HostMat k(DType::kF32, rows, kv_cols), v(DType::kF32, rows, kv_cols);
  RETURN_IF_ERROR(
      backend.run(OpKind::kGqaPrologue, GqaPrologueArgs{.x = one.x.mat(slice.first, rows),
                                                        .gqa = group.get(),
                                                        .heads = d.heads,
                                                        .kv_heads = d.kv_heads,
                                                        .head_dim = d.head_dim,
                                                        .rope_layout = RopeLayout::kHalfSplit,
                                                        .positions = one.place.positions.data() + slice.first,
                                                        .rope_table = one.place.table.data(),
                                                        .cache = cache.layer(),
                                                        .slots = one.place.slots.data() + slice.first,
                                                        .q = q.mat(),
                                                        .k = k.mat(),
                                                        .v = v.mat()}));
  const double projected = sum_tolerance(d.hidden, deviation_for(d.hidden));
  const DType dtype = one.spec.dtype;
  Outputs outputs{output_of("q", q, 2 * projected, 16 * kRoundoff)};
  outputs.push_back(
      cached("keys", cache, one.place, slice, dtype, 0, kv_cols, one.spec.k_scale, 2 * projected));
  outputs.push_back(cached("values", cache, one.place, slice, dtype, kv_cols * bytes_of(dtype), kv_cols,
                           one.spec.v_scale, projected));
  outputs[1].margins_intact = rest_untouched(cache, one.place, slice);
  return outputs;
}

void add_gqa(Cases& cases, Random& random, int64_t rows, const GqaDims& d, CacheSpec spec,
             const WeightSpec& weight, DType compute) {
  spec.rope_dtype = spec.dtype;  // not used
  std::vector<WeightData> weights;
  for (int32_t heads : {d.heads, d.kv_heads, d.kv_heads}) {
    weights.emplace_back(random, weight, int64_t{heads} * d.head_dim, d.hidden, deviation_for(d.hidden));
  }
  auto one =
      std::make_shared<GqaCase>(GqaCase{d, spec, HostMat::normal(random, compute, rows, d.hidden, 1.0f, 3),
                                        std::move(weights), Place(random, rows, d.head_dim)});
  cases.push_back(
      make_case(OpKind::kGqaPrologue,
                fmt::format("gqa_prologue [{}, {}] {}, {}/{} heads of {}, {}, {}", rows, d.hidden,
                            dtype_name(compute), d.heads, d.kv_heads, d.head_dim, weight.name(), spec.name()),
                rows, [one](TestBackend& backend, Slice slice) { return run_gqa(*one, backend, slice); }));
}

const WeightSpec kBf16{.dtype = DType::kBF16}, kF32{.dtype = DType::kF32};

}  // namespace

Cases mla_prologue_cases(CaseSet set) {
  Cases cases;
  Random random(23);
  if (set == CaseSet::kPublished) {
    const WeightSpec fp8{.format = WeightFormat::kFp8Block},
        awq{.format = WeightFormat::kAwqGemm, .group = 64};
    const MlaDims lite{{16, 128, 64, 128, 512}, 2048, 0}, v3{{4, 128, 64, 128, 512}, 2048, 1536};
    for (int64_t rows : {1, 16, 130})
      add_mla(cases, random, rows, lite, cache_specs()[1], kBf16, DType::kBF16);
    for (const CacheSpec& spec : cache_specs()) {
      add_mla(cases, random, 5, v3, spec, fp8, DType::kBF16);
      add_mla(cases, random, 3, v3, spec, kBf16, DType::kBF16);
    }
    add_mla(cases, random, 1, lite, cache_specs()[1], awq, DType::kBF16);
    add_mla(cases, random, 2, v3, cache_specs()[0], kBf16, DType::kF32);
    return cases;
  }
  const WeightSpec fp8{.format = WeightFormat::kFp8Block, .block_rows = 16, .block_cols = 16};
  const WeightSpec awq{.format = WeightFormat::kAwqGemm, .group = 16};
  const MlaDims odd{{3, 17, 6, 13, 36}, 65, 0}, deep{{2, 16, 8, 16, 32}, 64, 48},
      narrow{{1, 1, 2, 1, 4}, 3, 5};
  for (DType compute : {DType::kF32, DType::kBF16}) {
    for (const CacheSpec& spec : cache_specs()) {
      for (int64_t rows : {1, 17, 65}) {
        add_mla(cases, random, rows, odd, spec, kBf16, compute);
        add_mla(cases, random, rows, deep, spec, rows == 17 ? fp8 : kF32, compute);
      }
      add_mla(cases, random, 3, narrow, spec, kBf16, compute);
      add_mla(cases, random, 3, deep, spec, awq, compute);
    }
  }
  return cases;
}

Cases gqa_prologue_cases(CaseSet set) {
  Cases cases;
  Random random(24);
  WeightSpec biased = kBf16;
  biased.bias = true;
  if (set == CaseSet::kPublished) {
    const WeightSpec fp8{.format = WeightFormat::kFp8Block},
        awq{.format = WeightFormat::kAwqGemm, .group = 64, .bias = true};
    const GqaDims llama{32, 8, 128, 4096}, qwen{28, 4, 128, 3584};
    for (int64_t rows : {1, 16, 130})
      add_gqa(cases, random, rows, llama, cache_specs()[1], kBf16, DType::kBF16);
    for (const CacheSpec& spec : cache_specs()) {
      add_gqa(cases, random, 5, qwen, spec, biased, DType::kBF16);
    }
    add_gqa(cases, random, 2, llama, cache_specs()[2], fp8, DType::kBF16);
    add_gqa(cases, random, 2, qwen, cache_specs()[1], awq, DType::kBF16);
    add_gqa(cases, random, 2, qwen, cache_specs()[0], biased, DType::kF32);
    return cases;
  }
  const WeightSpec fp8{.format = WeightFormat::kFp8Block, .block_rows = 16, .block_cols = 16};
  const WeightSpec awq{.format = WeightFormat::kAwqGemm, .group = 16};
  const GqaDims odd{4, 2, 18, 65}, one_head{1, 1, 2, 3}, round{6, 2, 32, 64};
  for (DType compute : {DType::kF32, DType::kBF16}) {
    for (const CacheSpec& spec : cache_specs()) {
      for (int64_t rows : {1, 17, 65}) {
        add_gqa(cases, random, rows, odd, spec, biased, compute);
        add_gqa(cases, random, rows, round, spec, rows == 17 ? fp8 : kF32, compute);
      }
      add_gqa(cases, random, 3, one_head, spec, kBf16, compute);
      add_gqa(cases, random, 3, round, spec, awq, compute);
    }
  }
  return cases;
}

Cases composite_cases_of(OpKind kind, CaseSet set) {
  switch (kind) {
    case OpKind::kMlaPrologue:
      return mla_prologue_cases(set);
    case OpKind::kGqaPrologue:
      return gqa_prologue_cases(set);
    case OpKind::kMoeBlock:
      return moe_block_cases(set);
    case OpKind::kMlp:
      return mlp_cases(set);
    default:
      return {};
  }
}

}  // namespace hadal::testing
