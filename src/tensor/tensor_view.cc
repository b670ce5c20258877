#include "tensor/tensor_view.h"

#include <fmt/ranges.h>

#include <cstring>

#include "base/check.h"
#include "tensor/convert.h"

namespace hadal {
namespace {

/// Reads without asking for alignment.
template <typename T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

int64_t load_integer(const std::byte* at, DType dtype) {
  switch (dtype) {
    case DType::kI8:
      return load<int8_t>(at);
    case DType::kI32:
      return load<int32_t>(at);
    case DType::kI64:
      return load<int64_t>(at);
    default:
      return load<uint8_t>(at);  // U8, BOOL
  }
}

}  // namespace

Shape::Shape(std::initializer_list<int64_t> dims) {
  for (int64_t dim : dims) push_back(dim);
}

void Shape::push_back(int64_t dim) {
  CHECK(rank_ < kMaxRank && dim >= 0);
  dims_[static_cast<size_t>(rank_++)] = dim;
}

int64_t Shape::elements() const {
  if (std::find(begin(), end(), 0) != end()) return 0;  // first: the others' product may overflow then
  int64_t product = 1;
  for (int64_t dim : *this) product *= dim;
  return product;
}

std::string Shape::to_string() const { return fmt::format("[{}]", fmt::join(begin(), end(), ", ")); }

float element_as_float(const TensorView& view, int64_t index) {
  const std::byte* at = view.data + index * bytes_of(view.dtype);
  switch (view.dtype) {
    case DType::kF32:
      return load<float>(at);
    case DType::kBF16:
      return to_float(load<BFloat16>(at));
    case DType::kF16:
      return to_float(load<Float16>(at));
    case DType::kF8E4M3:
      return e4m3_to_float(load<uint8_t>(at));
    case DType::kF8E5M2:
      return e5m2_to_float(load<uint8_t>(at));
    case DType::kF8E8M0:
      return e8m0_to_float(load<uint8_t>(at));
    default:
      return static_cast<float>(load_integer(at, view.dtype));
  }
}

std::vector<float> to_floats(const TensorView& view) {
  std::vector<float> out(static_cast<size_t>(view.elements()));
  for (size_t i = 0; i < out.size(); ++i) out[i] = element_as_float(view, static_cast<int64_t>(i));
  return out;
}

StatusOr<std::vector<int64_t>> to_integers(const TensorView& view) {
  if (is_floating(view.dtype))
    return invalid_argument("a {} tensor does not hold integers", dtype_name(view.dtype));
  std::vector<int64_t> out(static_cast<size_t>(view.elements()));
  for (size_t i = 0; i < out.size(); ++i)
    out[i] = load_integer(view.data + static_cast<int64_t>(i) * bytes_of(view.dtype), view.dtype);
  return out;
}

}  // namespace hadal
