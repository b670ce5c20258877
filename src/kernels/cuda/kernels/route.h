// The router: logits of a token's experts, and the choice among them. Private to kernels/cuda.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/api/ops.h"

namespace hadal::cuda {

inline constexpr int64_t kMaxRoutedExperts = 1024;

/// RouteExpertsArgs in float32, a warp for each token. Checked by the caller: logits F32, at most
/// kMaxRoutedExperts. A NaN among the scores is chosen last; ids are in range whatever the logits.
cudaError_t launch_route(cudaStream_t stream, const RouteExpertsArgs& args);

/// logits = x gate^T, then launch_route; for few tokens in one kernel. x: BF16, rows on 16 bytes, a multiple
/// of 8 columns; gate: dense BF16 or F32 in device memory, no bias. Products are exact, sums float32 in an
/// order that depends on the number of columns alone. Launches on one stream at a time: the kernel counts its
/// blocks in memory of the module.
cudaError_t launch_router(cudaStream_t stream, const Mat& x, const WeightRef& gate,
                          const RouteExpertsArgs& args);

}  // namespace hadal::cuda
