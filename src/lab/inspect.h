// What a checkpoint contains, needs and will run on: the facts behind `hadal inspect`.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "model/config.h"
#include "server/engine_loader.h"

namespace hadal {

struct CheckpointReport {
  std::string folder;
  ModelConfig config;
  uint64_t parameters =
      0;  // of the decoder (packed 4-bit weights counted as what they hold), MTP layers apart
  uint64_t mtp_parameters = 0;     // skipped
  uint64_t active_parameters = 0;  // that one token meets
  uint64_t weight_bytes = 0;       // on disk, mapped
  std::map<std::string, uint64_t> bytes_by_dtype;
  int64_t cache_bytes_per_token = 0;
  DType compute = DType::kBF16;
  DType cache = DType::kBF16;
  int32_t max_model_len = 0;
  uint64_t memory_bytes = 0;  // weights + cache of one sequence of max_model_len
  std::string device;
  std::vector<std::string> kernels;  // of a trial step through the first layers
};

StatusOr<CheckpointReport> inspect_checkpoint(const EngineConfig& config);

/// As text for people.
std::string to_text(const CheckpointReport& report);

}  // namespace hadal
