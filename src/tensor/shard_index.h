// model.safetensors.index.json: which file of a sharded checkpoint holds which tensor.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace hadal {

struct ShardIndex {
  struct Place {
    std::string tensor;
    std::string file;
  };
  std::vector<Place> places;       // sorted by tensor, no name twice
  std::vector<std::string> files;  // sorted, each once
};

/// Reads {"metadata": anything, "weight_map": {tensor: file}}. File names are plain names ending in
/// ".safetensors": with a separator, or leading elsewhere, they are refused. Other members are skipped.
StatusOr<ShardIndex> parse_shard_index(std::string_view json);

}  // namespace hadal
