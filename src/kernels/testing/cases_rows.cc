// Row and element ops.
#include <cmath>

#include "kernels/testing/case_lists.h"

namespace hadal::testing {
namespace {

constexpr DType kActivations[] = {DType::kF32, DType::kBF16};

std::string shape_name(std::string_view op, int64_t rows, int64_t cols, DType in, DType out) {
  return fmt::format("{} [{}, {}] {} -> {}", op, rows, cols, dtype_name(in), dtype_name(out));
}

/// Calls `add(rows, cols, in dtype, out dtype)` over the shapes of a set.
template <typename Add>
void for_shapes(CaseSet set, Add add) {
  for (DType in : kActivations) {
    for (DType out : kActivations) {
      if (set == CaseSet::kPublished) {
        for (int64_t cols : {2048, 7168}) add(4, cols, in, out);
      } else {
        for (int64_t cols : kOddSizes) add(cols == 17 ? 17 : 3, cols, in, out);
      }
    }
  }
}

/// An element op on one or two inputs.
template <typename Run>
Cases element_cases(OpKind kind, std::string_view op, CaseSet set, int inputs, double relative, Run run) {
  Cases cases;
  Random random(17);
  for_shapes(set, [&](int64_t rows, int64_t cols, DType in, DType out) {
    const HostMat a = HostMat::normal(random, in, rows, cols, 2.0f, 5);
    const HostMat b = inputs > 1 ? HostMat::normal(random, in, rows, cols, 2.0f, 3) : HostMat();
    const auto case_run = [=](TestBackend& backend, Slice slice) -> StatusOr<Outputs> {
      HostMat result(out, slice.count, cols, 1);
      RETURN_IF_ERROR(run(backend, a.mat(slice.first, slice.count), b, slice, result.mat()));
      return Outputs{output_of("out", result, 8 * kRoundoff, relative + rounding_tolerance(out))};
    };
    cases.push_back(make_case(kind, shape_name(op, rows, cols, in, out), rows, case_run));
  });
  return cases;
}

}  // namespace

Cases add_cases(CaseSet set) {
  return element_cases(OpKind::kAdd, "add", set, 2, 0,
                       [](TestBackend& backend, Mat a, const HostMat& b, Slice slice, Mat out) {
                         return backend.run(OpKind::kAdd, AddArgs{a, b.mat(slice.first, slice.count), out});
                       });
}

Cases silu_mul_cases(CaseSet set) {
  // exp of |x| < 12 to a few ulp
  return element_cases(
      OpKind::kSiluMul, "silu_mul", set, 2, 32 * kRoundoff,
      [](TestBackend& backend, Mat a, const HostMat& b, Slice slice, Mat out) {
        return backend.run(OpKind::kSiluMul, SiluMulArgs{a, b.mat(slice.first, slice.count), out});
      });
}

Cases convert_cases(CaseSet set) {
  return element_cases(OpKind::kConvert, "convert", set, 1, 0,
                       [](TestBackend& backend, Mat a, const HostMat&, Slice, Mat out) {
                         return backend.run(OpKind::kConvert, ConvertArgs{a, out});
                       });
}

Cases embed_cases(CaseSet set) {
  Cases cases;
  Random random(3);
  const int64_t vocab = 301;
  for (DType table : {DType::kF32, DType::kBF16, DType::kF16}) {
    for_shapes(set, [&](int64_t rows, int64_t cols, DType in, DType out) {
      if (in != DType::kF32) return;  // one pass over the shapes is enough
      const HostMat values = HostMat::normal(random, table, vocab, cols, 1.0f);
      TestVector<int32_t> ids;
      for (int64_t r = 0; r < rows; ++r) ids.push_back(static_cast<int32_t>(random.below(vocab)));
      cases.push_back(
          make_case(OpKind::kEmbed, shape_name("embed", rows, cols, table, out), rows,
                    [=](TestBackend& backend, Slice slice) -> StatusOr<Outputs> {
                      HostMat result(out, slice.count, cols, 3);
                      RETURN_IF_ERROR(backend.run(
                          OpKind::kEmbed, EmbedArgs{values.mat(), ids.data() + slice.first, result.mat()}));
                      return Outputs{output_of("out", result, 0, rounding_tolerance(out))};
                    }));
    });
  }
  return cases;
}

Cases gather_cases(CaseSet set) {
  Cases cases;
  Random random(4);
  for_shapes(set, [&](int64_t rows, int64_t cols, DType in, DType out) {
    if (in != out) return;
    const HostMat values = HostMat::normal(random, in, 2 * rows, cols, 1.0f, 2);
    TestVector<int32_t> picked;
    for (int64_t r = 0; r < rows; ++r) picked.push_back(static_cast<int32_t>(random.below(2 * rows)));
    cases.push_back(make_case(OpKind::kGather, shape_name("gather", rows, cols, in, out), rows,
                              [=](TestBackend& backend, Slice slice) -> StatusOr<Outputs> {
                                HostMat result(out, slice.count, cols, 3);
                                RETURN_IF_ERROR(backend.run(
                                    OpKind::kGather, GatherArgs{values.mat(), picked.data() + slice.first,
                                                                slice.count, result.mat()}));
                                return Outputs{output_of("out", result, 0, 0)};
                              }));
  });
  return cases;
}

namespace {

enum class NormForm : uint8_t { kPlain, kResidual, kResidualOnly, kInPlace };

StatusOr<Outputs> run_norm(TestBackend& backend, Slice slice, NormForm form, const HostMat& x,
                           const HostMat& residual, const HostMat& weight, DType weight_dtype,
                           DType out_dtype) {
  HostMat x_copy = x, residual_copy = residual;
  HostMat result(out_dtype, x.rows(), x.cols(), 2);
  RmsNormArgs args{};
  if (form != NormForm::kResidualOnly) args.x = x_copy.mat(slice.first, slice.count);
  if (form == NormForm::kResidual || form == NormForm::kResidualOnly) {
    args.residual = residual_copy.mat(slice.first, slice.count);
  }
  args.weight = weight.data();
  args.weight_dtype = weight_dtype;
  args.eps = 1e-6f;
  args.out = form == NormForm::kInPlace ? args.x : result.mat(slice.first, slice.count);
  RETURN_IF_ERROR(backend.run(OpKind::kRmsNorm, args));

  // Only the slice's rows were written: compare those.
  const auto part = [&](const char* name, const HostMat& mat, double relative) {
    Output output{name, mat.cols(),           relative > 0 ? 8 * kRoundoff : 0, relative,
                  {},   mat.margins_intact(), mat.mat().dtype != DType::kF32};
    for (int64_t r = slice.first; r < slice.first + slice.count; ++r) {
      for (int64_t c = 0; c < mat.cols(); ++c) output.values.push_back(mat.at(r, c));
    }
    return output;
  };
  // Relative error of rsqrt(mean of squares): half of the sum's. The residual is one float32 addition: exact.
  const double sum_error = 0.5 * sum_tolerance(x.cols(), 3.0) / static_cast<double>(x.cols());
  Outputs outputs;
  outputs.push_back(part("out", form == NormForm::kInPlace ? x_copy : result,
                         sum_error + rounding_tolerance(args.out.dtype)));
  if (form == NormForm::kResidual) outputs.push_back(part("residual", residual_copy, 0));
  return outputs;
}

}  // namespace

Cases rms_norm_cases(CaseSet set) {
  Cases cases;
  Random random(5);
  for (NormForm form : {NormForm::kPlain, NormForm::kResidual, NormForm::kResidualOnly, NormForm::kInPlace}) {
    for_shapes(set, [&](int64_t rows, int64_t cols, DType in, DType out) {
      if (form == NormForm::kInPlace && in != out) return;
      const DType weight_dtype = in;
      const HostMat x = HostMat::normal(random, in, rows, cols, 1.0f, 4);
      for (DType residual_dtype : kActivations) {
        if (form != NormForm::kResidual && residual_dtype != DType::kF32) continue;
        const HostMat residual = HostMat::normal(random, residual_dtype, rows, cols, 2.0f, 1);
        const HostMat weight = HostMat::normal(random, weight_dtype, 1, cols, 1.0f);
        cases.push_back(
            make_case(OpKind::kRmsNorm,
                      fmt::format("{} form {} residual {}", shape_name("rms_norm", rows, cols, in, out),
                                  static_cast<int>(form), dtype_name(residual_dtype)),
                      rows, [=](TestBackend& backend, Slice slice) {
                        return run_norm(backend, slice, form, x, residual, weight, weight_dtype, out);
                      }));
      }
    });
  }
  return cases;
}

Cases rope_cases(CaseSet set) {
  struct Shape {
    int32_t heads, head_stride, offset, dim;
  };
  const std::vector<Shape> shapes =
      set == CaseSet::kPublished
          ? std::vector<Shape>{{16, 192, 128, 64}, {128, 192, 128, 64}, {1, 64, 0, 64}, {28, 128, 0, 128}}
          : std::vector<Shape>{{1, 2, 0, 2}, {3, 7, 1, 6}, {5, 34, 2, 32}, {2, 66, 0, 66}, {3, 24, 8, 16}};
  Cases cases;
  Random random(6);
  const int64_t rows = 17, positions = 50;
  for (const Shape& shape : shapes) {
    for (RopeLayout layout : {RopeLayout::kInterleaved, RopeLayout::kHalfSplit}) {
      const HostMat x =
          HostMat::normal(random, DType::kF32, rows, int64_t{shape.heads} * shape.head_stride, 1.0f, 3);
      TestVector<float> table;
      for (int64_t p = 0; p < positions; ++p) {
        for (int32_t i = 0; i < shape.dim; ++i) {
          const double angle =
              static_cast<double>(p) * std::pow(100.0, -2.0 * (i % (shape.dim / 2)) / shape.dim);
          table.push_back(static_cast<float>(i < shape.dim / 2 ? std::cos(angle) : std::sin(angle)));
        }
      }
      TestVector<int32_t> at;
      for (int64_t r = 0; r < rows; ++r) at.push_back(static_cast<int32_t>(random.below(positions)));
      cases.push_back(make_case(
          OpKind::kRope,
          fmt::format("rope {} heads of {} at {} every {} layout {}", shape.heads, shape.dim, shape.offset,
                      shape.head_stride, static_cast<int>(layout)),
          rows, [=](TestBackend& backend, Slice slice) -> StatusOr<Outputs> {
            HostMat copy = x;
            const RopeArgs args{copy.mat(slice.first, slice.count),
                                shape.heads,
                                shape.head_stride,
                                shape.offset,
                                shape.dim,
                                layout,
                                at.data() + slice.first,
                                table.data()};
            RETURN_IF_ERROR(backend.run(OpKind::kRope, args));
            Output output{"x", copy.cols(), 16 * kRoundoff, 4 * kRoundoff, {}, copy.margins_intact()};
            for (int64_t r = slice.first; r < slice.first + slice.count; ++r) {
              for (int64_t c = 0; c < copy.cols(); ++c) output.values.push_back(copy.at(r, c));
            }
            return Outputs{std::move(output)};
          }));
    }
  }
  return cases;
}

Cases take_tokens_cases(CaseSet set) {
  Cases cases;
  for (int64_t rows : set == CaseSet::kOdd ? std::vector<int64_t>{1, 3, 65} : std::vector<int64_t>{256}) {
    const auto run = [](TestBackend& backend, Slice slice) -> StatusOr<Outputs> {
      TestVector<int32_t> ids, from, sampled;
      for (int64_t i = slice.first; i < slice.first + slice.count; ++i) {
        ids.push_back(static_cast<int32_t>(100 + i));
        from.push_back(i % 3 == 0 ? -1 : static_cast<int32_t>(slice.first + slice.count - 1 - i));
      }
      for (int64_t i = slice.first + slice.count - 1; i >= slice.first; --i)
        sampled.push_back(i % 5 == 4 ? -1 : static_cast<int32_t>(7 * i));
      RETURN_IF_ERROR(backend.run(OpKind::kTakeTokens,
                                  TakeTokensArgs{ids.data(), from.data(), sampled.data(), slice.count}));
      return Outputs{{"ids", 1, 0, 0, std::vector<float>(ids.begin(), ids.end()), true}};
    };
    cases.push_back(make_case(OpKind::kTakeTokens, fmt::format("take_tokens of {}", rows), rows, run));
  }
  return cases;
}

}  // namespace hadal::testing
