// The experts of few tokens each, on tensor cores with the weights as the 16-row side: every active expert's
// weights are read once an item, at the rate of the memory. bfloat16 activations; weights dense BF16, fp8 or
// AWQ. Private to kernels/cuda.
//
// Shapes (fast_experts in moe_plan.h): inner and width multiples of 64 and of what a quad of lanes reads of a
// row (32 BF16, 64 fp8, 128 AWQ values); fp8 blocks of a multiple of 64 rows and columns; AWQ groups of a
// multiple of 32. x begins on 16 bytes in every row.
//
// A value's bits depend on its weights and its token alone: the inner length is always split over the eight
// warps of a block in the same way, whatever the number of tokens.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/kernels/moe_params.h"

namespace hadal::cuda {

/// Groups of 8 tokens an item may have at most (1, 2 or 4), as far as `shared_bytes` a block allow.
int32_t moe_skinny_columns(WeightFormat format, int32_t wanted, int32_t shared_bytes);

/// hidden[position] = silu(gate x) * up x, for items of at most 8 * columns tokens.
cudaError_t launch_moe_skinny_gate_up(cudaStream_t stream, const MoeParams& params, int32_t columns);
/// rows[pair] = down hidden[position], columns [rows_first, + rows_cols)
cudaError_t launch_moe_skinny_down(cudaStream_t stream, const MoeParams& params, int32_t columns);

/// The same for a handful of tokens, each pair for itself (MoeOrder::kPairs), without lists: gate and up,
/// then down and the sum over a token's slots in one kernel that writes (or adds to) `out`. Down is launched
/// right behind gate and up and reads ids and weights of the router before those are done (launch.cuh):
/// gate and up let it start only behind their own wait for the router.
cudaError_t launch_moe_tiny_gate_up(cudaStream_t stream, const MoeParams& params);
cudaError_t launch_moe_tiny_down(cudaStream_t stream, const MoeParams& params);
int32_t moe_tiny_shared_bytes();              // of a block, whatever the format
inline constexpr int32_t kMoeTinySlots = 32;  // slots that launch_moe_tiny_down takes at most

}  // namespace hadal::cuda
