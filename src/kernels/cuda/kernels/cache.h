// Kernels that write the paged cache (kernels/api/types.h, CacheLayer), a block of threads a token.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/api/ops.h"

namespace hadal::cuda {

/// A run of `x.cols` values of every token's record, `offset` bytes into it.
struct CachePart {
  Mat x;
  int64_t offset;
  DType dtype;
  float scale;
  bool vector;  // 8 elements of x, and of the record, lie on 16-byte (fp8: 8-byte) boundaries
};
void launch_write_cache(cudaStream_t stream, const CacheLayer& cache, const int32_t* slots,
                        const CachePart& first, const CachePart& second);

void launch_copy_blocks(cudaStream_t stream, const CopyBlocksArgs& args, bool vector);

}  // namespace hadal::cuda
