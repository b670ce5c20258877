// The CPU backend: vectorised kernels for this machine's instruction set over a pool of threads, behind the C
// interface of kernels/api/backend.h. Composites are left to the lowering.
//
// A row's result is the same bit for bit whatever else is in the batch, however it is cut, and on any number
// of threads; instruction sets may differ from one another.
#pragma once

#include "kernels/api/backend.h"

namespace hadal {

const BackendApi* cpu_backend();

}  // namespace hadal
