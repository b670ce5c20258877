// The subcommands of `hadal`, one file each. A command takes the arguments after its name and returns the
// exit code: 0 done, 1 could not be done (said on standard error), 2 not understood. Answers go to standard
// output, all else to standard error.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"

namespace hadal {

using Arguments = std::vector<std::string>;

int run_serve(const Arguments& arguments);
int run_up(const Arguments& arguments);
int run_generate(const Arguments& arguments);
int run_chat(const Arguments& arguments);
int run_inspect(const Arguments& arguments);
int run_eval(const Arguments& arguments);
int run_bench(const Arguments& arguments);  // MODEL, or one of the three below by its first argument
int run_bench_serve(const Arguments& arguments);
int run_bench_cache(const Arguments& arguments);
int run_bench_simulate(const Arguments& arguments);
int run_tokenize(const Arguments& arguments);
int run_render(const Arguments& arguments);

/// Prints the error and returns 1, or 0 if there is none.
int report(const Status& status);

}  // namespace hadal
