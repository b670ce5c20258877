// The oracle as a backend: plain loops on one thread, weights read in place, no composites, no graphs.
#pragma once

#include "kernels/api/backend.h"

namespace hadal {

/// Static; never null.
const BackendApi* ref_backend();

}  // namespace hadal
