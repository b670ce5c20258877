// Where the workspace member of an op's descriptor is.
#pragma once

#include "kernels/api/ops.h"

namespace hadal {

/// Null for an op without one.
Workspace* op_workspace(OpKind kind, void* args);

}  // namespace hadal
