// One op on one descriptor, with the memory it points into, so that several backends, thread counts and parts
// of the batch can run the same thing and be compared.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "kernels/testing/host_mat.h"
#include "kernels/testing/test_backend.h"

namespace hadal::testing {

/// Unit roundoff of float32, and the largest unit in the last place of bfloat16 relative to the value.
inline constexpr double kRoundoff = 0x1p-24;
inline constexpr double kBfloat16Ulp = 0x1p-7;

/// Error bound of a float32 sum of `length` products of values with deviations whose product is `deviation`,
/// whatever the order. One running sum of n random terms drifts by about n * u * deviation / sqrt(2) (each of
/// n roundings errs by u/2 of a partial sum that grows as sqrt(k)); 8 covers the largest of many thousand
/// outputs and the "+ 8" short sums.
inline double sum_tolerance(int64_t length, double deviation) {
  return 8.0 * static_cast<double>(length + 8) * kRoundoff * deviation;
}

/// What a rounding to `dtype` adds, relative to the value: results on both sides of a rounding boundary end
/// an ulp apart. That is rare, so compare() also limits how many of such an output's values may differ at all
/// (a kernel that truncates differs in half of them).
inline double rounding_tolerance(DType dtype) {
  switch (dtype) {
    case DType::kBF16:
      return kBfloat16Ulp;
    case DType::kF16:
      return 0x1p-10;
    case DType::kF8E4M3:
      return 0x1p-3;
    case DType::kF8E5M2:
      return 0x1p-2;
    default:
      return 4 * kRoundoff;
  }
}

/// One result of a run, a value an element, in the order of rows. Compared as |a - b| <= absolute + relative
/// * |b|; of a `rounded` one (16 bits or fewer) at most 3 values and a fifth may differ at all.
struct Output {
  std::string name;
  int64_t width = 0;  // values a row; rows = values.size() / width
  double absolute = 0;
  double relative = 0;
  std::vector<float> values;  // integers too: ids below 2^24 are exact
  bool margins_intact = true;
  bool rounded = false;
};
using Outputs = std::vector<Output>;

/// Rows [first, first + count) of the case.
struct Slice {
  int64_t first = 0;
  int64_t count = 0;
};

class OpCase {
 public:
  OpCase(OpKind kind, std::string name, int64_t rows) : kind_(kind), name_(std::move(name)), rows_(rows) {}
  virtual ~OpCase() = default;
  OpKind kind() const { return kind_; }
  const std::string& name() const { return name_; }
  int64_t rows() const { return rows_; }

  /// Runs the op on a slice of the rows; outputs hold that many rows. Inputs stay as they are (in-place ops
  /// get copies).
  virtual StatusOr<Outputs> run(TestBackend& backend, Slice slice) const = 0;

 private:
  OpKind kind_;
  std::string name_;
  int64_t rows_;
};

using Cases = std::vector<std::unique_ptr<OpCase>>;

/// A case from a function; what it points into is captured (shared pointers).
using RunCase = std::function<StatusOr<Outputs>(TestBackend& backend, Slice slice)>;
std::unique_ptr<OpCase> make_case(OpKind kind, std::string name, int64_t rows, RunCase run);

/// `result` as an Output, rows in order.
Output output_of(std::string name, const HostMat& result, double absolute, double relative);

}  // namespace hadal::testing
