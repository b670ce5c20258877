// Private to kernels/cuda.
#pragma once

#include "kernels/api/ops.h"
#include "kernels/cuda/status.h"

namespace hadal::cuda {

/// Whether the descriptor makes sense: what a router can do with that many experts and groups.
Status check_route(const RouteExpertsArgs& args);

}  // namespace hadal::cuda
