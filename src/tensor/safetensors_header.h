// The JSON part of a safetensors file, read in one pass without building a document (DeepSeek-V3 has 91,000
// tensors). Private to this room.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "tensor/dtype.h"
#include "tensor/tensor_view.h"

namespace hadal::internal {

/// One tensor as the header claims it; offsets are not yet held against anything.
struct HeaderEntry {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  uint64_t begin = 0;
  uint64_t end = 0;
};

struct Header {
  std::vector<HeaderEntry> entries;  // in file order
  std::map<std::string, std::string> metadata;
};

/// Checks JSON, types, dtypes and that each tensor is complete. Names may still repeat.
StatusOr<Header> parse_header_json(std::string_view json);

}  // namespace hadal::internal
