// A backend as models see it, behind the backends' own table: composites that it lacks are lowered
// (device/lowering.h). So the twin harness of kernels/testing runs composites as it runs the small ops.
#pragma once

#include "kernels/api/backend.h"

namespace hadal::testing {

/// The tables live as long as the process. `cuda` needs libhadal_cuda.so beside the binary.
const BackendApi* lowered_ref();
const BackendApi* lowered_cpu();
const BackendApi* lowered_cuda();

}  // namespace hadal::testing
