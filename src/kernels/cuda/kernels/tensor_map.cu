#include "kernels/cuda/kernels/tensor_map.h"

namespace hadal::cuda {
namespace {

using Encode = CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*,
                            const cuuint64_t*, const cuuint32_t*, const cuuint32_t*, CUtensorMapInterleave,
                            CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

/// The driver's function; null where the driver has none.
Encode encoder() {
  static const Encode kEncode = [] {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult result{};
    constexpr unsigned int kSince = 12000;
    const cudaError_t found = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, kSince,
                                                               cudaEnableDefault, &result);
    const bool there = found == cudaSuccess && result == cudaDriverEntryPointSuccess;
    return there ? reinterpret_cast<Encode>(function) : nullptr;
  }();
  return kEncode;
}

/// `rank` dimensions from the innermost on; strides in bytes, of all but the innermost.
cudaError_t describe(cuuint32_t rank, const void* data, const cuuint64_t* sizes, const cuuint64_t* strides,
                     int32_t box_rows, CUtensorMap& map) {
  constexpr cuuint32_t kColumns = 64;
  if (encoder() == nullptr) return cudaErrorNotSupported;
  const cuuint32_t box[] = {kColumns, static_cast<cuuint32_t>(box_rows), 1};
  const cuuint32_t steps[] = {1, 1, 1};
  const CUresult made =
      encoder()(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, rank, const_cast<void*>(data), sizes, strides, box,
                steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return made == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidValue;
}

}  // namespace

cudaError_t describe_rows(const void* data, int64_t rows, int64_t cols, int64_t stride, int32_t box_rows,
                          CUtensorMap& map) {
  const cuuint64_t sizes[] = {static_cast<cuuint64_t>(cols), static_cast<cuuint64_t>(rows)};
  const cuuint64_t strides[] = {static_cast<cuuint64_t>(stride) * 2};
  return describe(2, data, sizes, strides, box_rows, map);
}

cudaError_t describe_pile(const MatrixPile& pile, int32_t box_rows, CUtensorMap& map) {
  const cuuint64_t sizes[] = {static_cast<cuuint64_t>(pile.cols), static_cast<cuuint64_t>(pile.rows),
                              static_cast<cuuint64_t>(pile.matrices)};
  const cuuint64_t strides[] = {static_cast<cuuint64_t>(pile.row_stride),
                                static_cast<cuuint64_t>(pile.matrix_stride)};
  return describe(3, pile.data, sizes, strides, box_rows, map);
}

}  // namespace hadal::cuda
