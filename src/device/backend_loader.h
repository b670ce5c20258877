// Finds the C table of a backend by name: those linked in, else a shared object beside the executable.
#pragma once

#include <string_view>

#include "base/status.h"
#include "kernels/api/backend.h"

namespace hadal {

/// The table lives as long as the process: a module is never unloaded. Errors say which file was tried and
/// why it was refused. Names are lower-case letters, digits and '_'.
StatusOr<const BackendApi*> find_backend(std::string_view name);

}  // namespace hadal
