// Where a server's options come from: the command line goes before the environment, that before a
// configuration file, that before the defaults. An option --max-num-seqs is HADAL_MAX_NUM_SEQS in the
// environment (lists by commas) and max_num_seqs in a file. The file is named by --config, HADAL_CONFIG or
// VLLM_CONFIG.
//
// Threads: one, at start.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "cli/options.h"

namespace hadal {

struct MergedArguments {
  std::vector<std::string> arguments;          // for OptionTable::parse()
  std::map<std::string, std::string> sources;  // option (its first name) to what set it
};

/// Errors: invalid_argument for a key that no option has (with the nearest one), what read_config() says.
StatusOr<MergedArguments> merge_sources(const OptionTable& table, const std::vector<std::string>& arguments);

/// One line an option: its name, its value now, and where that comes from. Keys and secrets are not shown.
std::string show_config(const OptionTable& table, const MergedArguments& merged);

}  // namespace hadal
