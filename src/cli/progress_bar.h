// How far a command has come.
#pragma once

#include "lab/load_generator.h"

namespace hadal {

/// A bar on standard error, where that is a terminal; else null.
OnProgress progress_bar();

}  // namespace hadal
