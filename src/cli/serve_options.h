// The command line's options of `hadal serve` and `hadal up`, and what values they may have. The engine's are in
// cli/engine_options.h.
#pragma once

#include <string>

#include "base/status.h"
#include "cli/options.h"
#include "server/api_server.h"

namespace hadal {

/// What `hadal serve` needs beside the server's own options.
struct ServeCommand {
  ServeOptions options;
  std::string log_format = "text";
};

/// Declares them; they fill `command`, which must outlive the table.
void add_serve_options(OptionTable& table, ServeCommand& command);

/// Once they are filled: refuses what cannot be, and turns vLLM's numbers into what the server takes.
Status check_serve_options(ServeOptions& options);

}  // namespace hadal
