// Linear layers in every weight format.
#include "kernels/testing/case_lists.h"
#include "kernels/testing/weight_data.h"

namespace hadal::testing {
namespace {

struct LinearShape {
  int64_t rows, in, out;
};

std::vector<WeightSpec> weight_specs(CaseSet set) {
  std::vector<WeightSpec> specs;
  for (DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) specs.push_back({.dtype = dtype});
  specs.push_back({.dtype = DType::kBF16, .bias = true});
  for (DType scales : {DType::kF32, DType::kF8E8M0}) {
    specs.push_back({.format = WeightFormat::kFp8Block, .scale_dtype = scales});
  }
  specs.push_back({.format = WeightFormat::kAwqGemm, .group = 64, .bias = true});
  if (set == CaseSet::kPublished) return specs;
  specs.push_back({.dtype = DType::kF32, .bias = true});
  specs.push_back({.format = WeightFormat::kFp8Block, .block_rows = 16, .block_cols = 32, .bias = true});
  specs.push_back(
      {.format = WeightFormat::kFp8Block, .scale_dtype = DType::kF8E8M0, .block_rows = 5, .block_cols = 7});
  specs.push_back({.format = WeightFormat::kAwqGemm, .group = 32});
  specs.push_back({.format = WeightFormat::kAwqGemm, .group = 128});
  return specs;
}

bool fits(const WeightSpec& spec, const LinearShape& shape) {
  return spec.format != WeightFormat::kAwqGemm || (shape.out % 8 == 0 && shape.in % spec.group == 0);
}

/// More tiles than a GPU has room for; in the format that has kernels for it, since the oracle takes its
/// time.
constexpr LinearShape kManyTiles{2100, 72, 2176};
bool is_models_own(const WeightSpec& spec, DType in) {
  return in == DType::kBF16 && spec.format == WeightFormat::kDense && spec.dtype == DType::kBF16;
}

std::vector<LinearShape> linear_shapes(CaseSet set) {
  if (set == CaseSet::kPublished) {
    return {{1, 2048, 576},   {5, 512, 512},  {2, 7168, 136},
            {3, 1408, 264},   {1, 1536, 384},  // inner lengths matter
            {20, 2048, 200},  {50, 512, 576}, {100, 1536, 136},
            {300, 1088, 264}, kManyTiles};  // rows of prompts and batches
  }
  std::vector<LinearShape> shapes;
  for (int64_t in : kOddSizes) {
    for (int64_t out : {1, 17, 65}) shapes.push_back({in == 65 ? 65 : 3, in, out});
  }
  for (int64_t rows : kOddSizes) shapes.push_back({rows, 128, 24});
  shapes.push_back({3, 256, 200});
  shapes.push_back({1, 320, 24});
  return shapes;
}

struct LinearCase {
  HostMat x;
  HostMat initial;  // of out, when accumulating
  WeightData weight;
  DType out = DType::kF32;
  bool accumulate = false;
};

StatusOr<Outputs> run_linear(const LinearCase& one, TestBackend& backend, Slice slice) {
  const DType compute = one.x.mat().dtype;
  ASSIGN_OR_RETURN(const TestGroup group,
                   backend.prepare({.members = &one.weight.ref(), .count = 1, .compute = compute}));
  HostMat result(one.out, slice.count, one.weight.ref().rows, 5);
  if (one.accumulate) {
    for (int64_t r = 0; r < slice.count; ++r) {
      for (int64_t c = 0; c < result.cols(); ++c) result.put(r, c, one.initial.at(slice.first + r, c));
    }
  }
  RETURN_IF_ERROR(backend.run(OpKind::kLinear, LinearArgs{.x = one.x.mat(slice.first, slice.count),
                                                          .weight = group.member(0),
                                                          .out = result.mat(),
                                                          .accumulate = one.accumulate ? 1 : 0}));
  return Outputs{output_of("out", result, sum_tolerance(one.x.cols(), 1.0), rounding_tolerance(one.out))};
}

}  // namespace

Cases linear_cases(CaseSet set) {
  Cases cases;
  Random random(7);
  for (const WeightSpec& spec : weight_specs(set)) {
    for (const LinearShape& shape : linear_shapes(set)) {
      if (!fits(spec, shape)) continue;
      for (DType in : {DType::kF32, DType::kBF16}) {
        if (shape.rows == kManyTiles.rows && !is_models_own(spec, in)) continue;
        // one of: float32 out, bf16 out, accumulating; all three come up for every format
        const int variant = static_cast<int>((shape.in + shape.out + shape.rows + static_cast<int>(in)) % 3);
        auto one = std::make_shared<LinearCase>(
            LinearCase{HostMat::normal(random, in, shape.rows, shape.in, 1.0f, 3),
                       HostMat::normal(random, DType::kF32, shape.rows, shape.out, 1.0f),
                       WeightData(random, spec, shape.out, shape.in, 1.0f),
                       variant == 1 ? DType::kBF16 : DType::kF32, variant == 2});
        cases.push_back(make_case(OpKind::kLinear,
                                  fmt::format("linear [{}, {}] {} x [{}, {}] {} -> {}{}", shape.rows,
                                              shape.in, dtype_name(in), shape.out, shape.in, spec.name(),
                                              dtype_name(one->out), one->accumulate ? " accumulated" : ""),
                                  shape.rows, [one](TestBackend& backend, Slice slice) {
                                    return run_linear(*one, backend, slice);
                                  }));
      }
    }
  }
  return cases;
}

}  // namespace hadal::testing
