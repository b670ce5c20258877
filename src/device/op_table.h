// What Device needs to know of each op: its name, and where its workspace member is.
#pragma once

#include <string_view>

#include "kernels/api/ops.h"

namespace hadal {

/// "linear", "mla_attention", ...
std::string_view op_name(OpKind kind);

/// The `workspace` member of the op's descriptor; null for an op without one.
Workspace* op_workspace(OpKind kind, void* args);

}  // namespace hadal
