// For tests: real faults of a real GPU, in the context that this process has on it.
#pragma once

#include "device/testing/fault.h"

namespace hadal::testing {

/// kLost: a kernel writes where nothing is; every later call on the device answers with that error. kHang:
/// kernels that never end take every place on the device, so that no other kernel starts any more.
void provoke_on_gpu(Fault fault);

}  // namespace hadal::testing
