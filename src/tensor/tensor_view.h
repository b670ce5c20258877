// A tensor that someone else owns: row-major, contiguous, read-only. Safe to copy; valid as long as its
// memory is (a Checkpoint's views as long as the Checkpoint).
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "base/status.h"
#include "tensor/dtype.h"

namespace hadal {

/// Up to kMaxRank extents, outermost first. Rank 0 is a scalar (one element).
class Shape {
 public:
  static constexpr int kMaxRank = 8;

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims);  // at most kMaxRank, none negative (our own bug otherwise)

  int rank() const { return rank_; }
  int64_t operator[](int axis) const { return dims_[static_cast<size_t>(axis)]; }  // axis in [0, rank)
  /// Product of the extents. Views from files are known not to overflow.
  int64_t elements() const;
  void push_back(int64_t dim);  // rank() < kMaxRank

  const int64_t* begin() const { return dims_.data(); }
  const int64_t* end() const { return dims_.data() + rank_; }
  friend bool operator==(const Shape& a, const Shape& b) {
    return a.rank_ == b.rank_ && std::equal(a.begin(), a.end(), b.begin());
  }
  std::string to_string() const;  // "[512, 64]"

 private:
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

struct TensorView {
  const std::byte* data = nullptr;  // may be null where there are no elements
  DType dtype = DType::kF32;
  Shape shape;

  int64_t elements() const { return shape.elements(); }
  uint64_t bytes() const { return static_cast<uint64_t>(elements() * bytes_of(dtype)); }
  /// Whether `data` is a multiple of the element size. safetensors allows tensors that are not; see
  /// Checkpoint::find.
  bool aligned() const {
    return reinterpret_cast<uintptr_t>(data) % static_cast<uintptr_t>(bytes_of(dtype)) == 0;
  }
};

/// One element as float32 (F32 ... F8_E8M0, integers and BOOL by value). Works for unaligned views.
float element_as_float(const TensorView& view, int64_t index);

/// All elements as float32, in order. For tests and tools: kernels read tensors in place.
std::vector<float> to_floats(const TensorView& view);

/// All elements of an I32, I64, I8, U8 or BOOL tensor. Error for floating ones.
StatusOr<std::vector<int64_t>> to_integers(const TensorView& view);

}  // namespace hadal
