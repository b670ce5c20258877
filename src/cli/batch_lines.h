// The lines of a batch of prompts: JSON lines in, one JSON line an answer out, and which of them an earlier
// run has answered.
//
// Threads: any. Errors: invalid_argument with the line's number.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace hadal {

/// {"prompt": text} or {"messages": [...]}, with an "id" of any kind and "max_tokens" if wanted.
struct BatchLine {
  int64_t index = 0;  // of the line among those that are not empty, from 0
  nlohmann::ordered_json id;
  std::string prompt;
  nlohmann::ordered_json messages;  // null: `prompt` counts
  int32_t max_tokens = 0;           // 0: not given
};
StatusOr<std::vector<BatchLine>> read_batch(std::string_view text);

struct BatchAnswer {
  int64_t index = 0;
  nlohmann::ordered_json id;
  std::string text, finish_reason, error;  // error: the others are empty
  int64_t prompt_tokens = 0, output_tokens = 0;
};
std::string answer_line(const BatchAnswer& answer);

/// Indices that the lines of an output answer; those of errors are left out, and so is a last line that was
/// cut.
std::set<int64_t> answered(std::string_view output);
/// `output` up to the end of its last whole line.
std::string_view whole_lines(std::string_view output);

}  // namespace hadal
