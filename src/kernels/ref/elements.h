// Single elements of arrays in any floating format, for the oracle's loops. Loads and stores are unaligned: a
// mapped checkpoint promises no alignment.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/api/types.h"
#include "tensor/convert.h"

namespace hadal::ref {

template <typename T>
T load_bytes(const void* data, int64_t index) {
  T value;
  std::memcpy(&value, static_cast<const char*>(data) + index * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}
template <typename T>
void store_bytes(void* data, int64_t index, T value) {
  std::memcpy(static_cast<char*>(data) + index * static_cast<int64_t>(sizeof(T)), &value, sizeof(T));
}

/// Element `index` of a floating array; integer formats give 0 (ops refuse them before).
inline float load(DType dtype, const void* data, int64_t index) {
  switch (dtype) {
    case DType::kF32:
      return load_bytes<float>(data, index);
    case DType::kBF16:
      return to_float(load_bytes<BFloat16>(data, index));
    case DType::kF16:
      return to_float(load_bytes<Float16>(data, index));
    case DType::kF8E4M3:
      return e4m3_to_float(load_bytes<uint8_t>(data, index));
    case DType::kF8E5M2:
      return e5m2_to_float(load_bytes<uint8_t>(data, index));
    case DType::kF8E8M0:
      return e8m0_to_float(load_bytes<uint8_t>(data, index));
    default:
      return 0.0f;
  }
}

/// Stores `value` rounded to nearest even; fp8 saturates.
inline void store(DType dtype, void* data, int64_t index, float value) {
  switch (dtype) {
    case DType::kF32:
      return store_bytes(data, index, value);
    case DType::kBF16:
      return store_bytes(data, index, bfloat16_from_float(value));
    case DType::kF16:
      return store_bytes(data, index, float16_from_float(value));
    case DType::kF8E4M3:
      return store_bytes(data, index, e4m3_from_float(value));
    case DType::kF8E5M2:
      return store_bytes(data, index, e5m2_from_float(value));
    default:
      return;
  }
}

/// `value` as it comes back from a store in `dtype`.
inline float round_to(DType dtype, float value) {
  switch (dtype) {
    case DType::kBF16:
      return to_float(bfloat16_from_float(value));
    case DType::kF16:
      return to_float(float16_from_float(value));
    default:
      return value;
  }
}

inline float get(const Mat& mat, int64_t row, int64_t column) {
  return load(mat.dtype, mat.data, row * mat.stride + column);
}
inline void set(const Mat& mat, int64_t row, int64_t column, float value) {
  store(mat.dtype, mat.data, row * mat.stride + column, value);
}
inline void load_row(const Mat& mat, int64_t row, float* out) {
  for (int64_t c = 0; c < mat.cols; ++c) out[c] = get(mat, row, c);
}

/// Sum of products in double. Four sums side by side: the order depends on `count` alone.
inline double dot(const float* a, const float* b, int64_t count) {
  double sums[4] = {0, 0, 0, 0};
  int64_t i = 0;
  for (; i + 4 <= count; i += 4) {
    for (int64_t lane = 0; lane < 4; ++lane) sums[lane] += double{a[i + lane]} * b[i + lane];
  }
  for (; i < count; ++i) sums[0] += double{a[i]} * b[i];
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

inline double silu(double value) { return value / (1.0 + std::exp(-value)); }

}  // namespace hadal::ref
