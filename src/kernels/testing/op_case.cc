#include "kernels/testing/op_case.h"

namespace hadal::testing {
namespace {

class FunctionCase final : public OpCase {
 public:
  FunctionCase(OpKind kind, std::string name, int64_t rows, RunCase run)
      : OpCase(kind, std::move(name), rows), run_(std::move(run)) {}
  StatusOr<Outputs> run(TestBackend& backend, Slice slice) const override { return run_(backend, slice); }

 private:
  RunCase run_;
};

}  // namespace

std::unique_ptr<OpCase> make_case(OpKind kind, std::string name, int64_t rows, RunCase run) {
  return std::make_unique<FunctionCase>(kind, std::move(name), rows, std::move(run));
}

Output output_of(std::string name, const HostMat& result, double absolute, double relative) {
  Output output{std::move(name),
                result.cols(),
                absolute,
                relative,
                {},
                result.margins_intact(),
                result.mat().dtype != DType::kF32};
  output.values.reserve(static_cast<size_t>(result.rows() * result.cols()));
  for (int64_t r = 0; r < result.rows(); ++r) {
    for (int64_t c = 0; c < result.cols(); ++c) output.values.push_back(result.at(r, c));
  }
  return output;
}

}  // namespace hadal::testing
