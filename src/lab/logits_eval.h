// Compares a checkpoint's logits and greedy tokens with recorded ones, through the same scheduler, cache and
// model that `hadal serve` runs.
//
// `expected.safetensors` holds input_ids [B, T] I64; logits [B, T, V] F32, every position; greedy [B, N] I64,
// tokens continued greedily (EOS does not stop them); and optionally comparable [B, T] I64, 0 where a right
// engine may differ.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "server/engine_loader.h"

namespace hadal {

struct LogitsReport {
  double max_error_in_std =
      0.0;  // largest |difference| / standard deviation of the expected logits; NaN if one is
  int64_t greedy_equal = 0;
  int64_t greedy_total = 0;
  std::vector<std::string> kernels;  // that ran, sorted
  std::vector<float> logits;         // [B, T, V] as computed, for comparing runs bit by bit
};

/// `config` names model, device and dtype; its capacity is set from the recording (`config.chunk` is kept).
StatusOr<LogitsReport> evaluate_logits(EngineConfig config, const std::string& expected_file);

}  // namespace hadal
