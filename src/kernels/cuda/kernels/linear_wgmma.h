// Matrix products on Hopper's warpgroup instructions, fed by the tensor memory accelerator: dense bfloat16
// weights, 17 rows of x and more. Private to kernels/cuda.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/kernels/linear_params.h"

namespace hadal::cuda {

inline constexpr int32_t kWgmmaTileOuts = 128;  // of the weight's rows; with silu 64 of gate and 64 of up
inline constexpr int32_t kWgmmaStep = 64;       // of the inner length
inline constexpr int32_t kMaxWgmmaSplit = 4;    // blocks of a cluster

/// Whether this build has code for these instructions (an sm_90a among its architectures).
bool has_wgmma_code();

/// How a product is cut: tiles of `rows` (32, 64, 128 or 256; with silu not 32) rows of x; the inner length
/// split over a cluster of `split` blocks; without a split `blocks` blocks take the tiles in turns.
struct WgmmaPlan {
  int32_t rows;
  int32_t split;
  int32_t blocks;
};

/// Blocks that a multiprocessor holds.
constexpr int32_t wgmma_blocks_per_sm(int32_t tile_rows) { return tile_rows <= 128 ? 2 : 1; }
/// Shared memory of a block.
int32_t linear_wgmma_shared_bytes(int32_t tile_rows);

/// Needs: sm_90, x BF16 and the weight dense BF16, rows of both on 16 bytes, cols a multiple of 8.
cudaError_t launch_linear_wgmma(cudaStream_t stream, const LinearParams& params, WgmmaPlan plan);

/// The same with the weight's first params.outs rows as gate and as many more as up, no bias, one part in
/// BF16: part[r, n] = silu(gate_n x_r) * (up_n x_r).
cudaError_t launch_linear_wgmma_silu(cudaStream_t stream, const LinearParams& params, WgmmaPlan plan);

}  // namespace hadal::cuda
