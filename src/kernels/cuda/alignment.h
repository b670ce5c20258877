// Whether kernels may touch a matrix in pieces of 8 elements. Private to kernels/cuda.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/api/types.h"

namespace hadal::cuda {

/// Bytes on which 8 elements must lie to be moved by 16-byte (fp8: 8-byte) accesses.
constexpr uint64_t group_alignment(DType dtype) {
  return static_cast<uint64_t>(std::min<int64_t>(16, 8 * bytes_of(dtype)));
}

inline bool is_aligned(const void* data, uint64_t alignment) {
  return reinterpret_cast<uintptr_t>(data) % alignment == 0;
}

/// Every row of `mat` begins on such a boundary; an absent one (null) hinders nobody.
inline bool rows_aligned(const Mat& mat) {
  const uint64_t alignment = group_alignment(mat.dtype);
  return is_aligned(mat.data, alignment) &&
         static_cast<uint64_t>(mat.stride * bytes_of(mat.dtype)) % alignment == 0;
}

/// The dtypes of activations.
constexpr bool is_activation(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF16;
}

/// The dtypes of caches.
constexpr bool is_cached(DType dtype) {
  return is_activation(dtype) || dtype == DType::kF8E4M3 || dtype == DType::kF8E5M2;
}

}  // namespace hadal::cuda
