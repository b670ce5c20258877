// Matrix products on tensor-core tiles. Private to kernels/cuda.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/kernels/linear_params.h"

namespace hadal::cuda {

inline constexpr int32_t kTileOuts = 128;    // rows of the weight (columns of out) a tile
inline constexpr int32_t kTileDepth = 64;    // of the inner length a step
inline constexpr int32_t kMaxTileSplit = 8;  // blocks of a cluster

/// How a product is cut: tiles of `rows` (32, 64 or 128) rows of x, the inner length split `split` ways (a
/// power of two; more than 1 needs clusters, sm_90).
struct TilePlan {
  int32_t rows;
  int32_t split;
};

/// Whether the code that the device runs can split (a device may have clusters and run code for an older
/// one).
bool linear_tile_splits();

/// Shared memory of a block.
int32_t linear_tile_shared_bytes(WeightFormat format, int32_t tile_rows);

/// The inner length must be a multiple of this: rows of the weight and of x begin on 16 bytes.
constexpr int32_t tile_granule(WeightFormat format) {
  return format == WeightFormat::kDense ? 8 : format == WeightFormat::kFp8Block ? 16 : 32;
}

/// Needs: x BF16 and the weight dense BF16, fp8 or AWQ, rows of both on 16 bytes, cols a multiple of
/// tile_granule; scale blocks and groups multiples of 16 columns.
cudaError_t launch_linear_tile(cudaStream_t stream, const LinearParams& params, TilePlan plan);

}  // namespace hadal::cuda
