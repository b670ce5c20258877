#include "kernels/testing/host_mat.h"

#include "kernels/ref/elements.h"

namespace hadal::testing {
namespace {

constexpr int64_t kMargin = 64;
constexpr uint8_t kFill = 0xFF;

}  // namespace

HostMat::HostMat(DType dtype, int64_t rows, int64_t cols, int64_t padding)
    : dtype_(dtype), rows_(rows), cols_(cols), stride_(cols + padding), offset_(kMargin) {
  bytes_.assign(static_cast<size_t>(rows * stride_ * bytes_of(dtype) + 2 * kMargin), kFill);
}

HostMat HostMat::normal(Random& random, DType dtype, int64_t rows, int64_t cols, float deviation,
                        int64_t padding) {
  HostMat mat(dtype, rows, cols, padding);
  for (int64_t r = 0; r < rows; ++r) fill_normal(random, dtype, mat.mat(r).data, cols, deviation);
  return mat;
}

Mat HostMat::mat(int64_t first, int64_t count) const {
  return {static_cast<char*>(data()) + first * stride_ * bytes_of(dtype_), count < 0 ? rows_ - first : count,
          cols_, stride_, dtype_};
}

float HostMat::at(int64_t row, int64_t col) const { return ref::get(mat(), row, col); }
void HostMat::put(int64_t row, int64_t col, float value) { ref::set(mat(), row, col, value); }

bool HostMat::margins_intact() const {
  const int64_t row_bytes = stride_ * bytes_of(dtype_);
  const int64_t used = cols_ * bytes_of(dtype_);
  for (int64_t i = 0; i < static_cast<int64_t>(bytes_.size()); ++i) {
    const int64_t at = i - offset_;
    const bool element = at >= 0 && at < rows_ * row_bytes && at % row_bytes < used;
    if (!element && bytes_[static_cast<size_t>(i)] != kFill) return false;
  }
  return true;
}

}  // namespace hadal::testing
