// Ways in which vLLM's parser lets an option be spelled, rewritten as Hadal's table has it: --max_model_len for
// --max-model-len, and --speculative-config.method mtp for --speculative-config '{"method": "mtp"}'.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/options.h"

namespace hadal {

/// `arguments` up to a lone "--" in the table's spelling; what the table does not know stays as it was typed.
std::vector<std::string> spelled_as_in(const OptionTable& table, const std::vector<std::string>& arguments);

/// "8k" as "8000" and "8K" as "8192", as vLLM reads sizes (k, m, g, t; K, M, G, T by 1024); any other text
/// unchanged.
std::string plain_integer(std::string text);

}  // namespace hadal
