// A configuration file of `hadal serve`: one object of option names and values, JSON or YAML.
//
//   model: /models/DeepSeek-V3.1
//   served-model-name: [v3, deepseek]
//   max_num_seqs: 128
//
// Keys are the options' names without the dashes in front; `_` and `-` are the same, as in vLLM's files.
//
// Threads: any. Errors: invalid_argument with the line; what read_file() says.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace hadal {

/// A value as the command line would have it; a list has several, null none at all.
struct ConfigValue {
  std::string key;  // with `-`
  std::vector<std::string> values;
  bool is_null = false;
};

/// Text of a file. Numbers, booleans and strings are kept as written; an object becomes its JSON text.
StatusOr<std::vector<ConfigValue>> parse_config(std::string_view text);
StatusOr<std::vector<ConfigValue>> read_config(const std::string& path);

}  // namespace hadal
