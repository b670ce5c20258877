// A matrix in host memory for kernel tests. Everything that holds no element (the padding of rows and a
// margin behind the last) is filled with ones, which are NaN in every floating format: a kernel that reads it
// shows NaN, one that writes it is caught by margins_intact().
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/api/types.h"
#include "kernels/testing/random.h"
#include "kernels/testing/test_memory.h"

namespace hadal::testing {

class HostMat {
 public:
  HostMat() = default;
  /// All elements NaN. `padding`: elements between the end of a row and the next.
  HostMat(DType dtype, int64_t rows, int64_t cols, int64_t padding = 0);

  static HostMat normal(Random& random, DType dtype, int64_t rows, int64_t cols, float deviation,
                        int64_t padding = 0);

  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  /// The view of rows [first, first + count); count < 0: all from `first`.
  Mat mat(int64_t first = 0, int64_t count = -1) const;
  void* data() const { return const_cast<uint8_t*>(bytes_.data()) + offset_; }

  float at(int64_t row, int64_t col) const;
  void put(int64_t row, int64_t col, float value);
  bool margins_intact() const;

 private:
  DType dtype_ = DType::kF32;
  int64_t rows_ = 0;
  int64_t cols_ = 0;
  int64_t stride_ = 0;
  // Offset and not a pointer, so that copying a HostMat copies its contents; the vector's alignment is the
  // heap's (16) or better.
  int64_t offset_ = 0;
  TestVector<uint8_t> bytes_;
};

}  // namespace hadal::testing
