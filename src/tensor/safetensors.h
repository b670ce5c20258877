// The safetensors format: 8 bytes little-endian header length, a JSON header, then the tensors' bytes.
//
//   {"__metadata__": {"key": "text", ...},
//    "name": {"dtype": "BF16", "shape": [512, 64], "data_offsets": [begin, end]}, ...}
//
// Offsets count from the end of the header. A file is held to all of the format's rules before a single
// tensor is handed out: header inside the file and at most kMaxHeaderBytes; JSON with no name twice; known
// dtype; extents not negative, their product times the element size no overflow and equal to end - begin;
// tensors cover the data without overlap, hole or remainder. Tensors need not be aligned to their element
// size (TensorView::aligned).
//
// Threads: const after open. Views are valid as long as the SafetensorsFile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "tensor/mapped_file.h"
#include "tensor/tensor_view.h"

namespace hadal {

inline constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit

struct NamedTensor {
  std::string name;
  TensorView view;
};

struct SafetensorsContent {
  std::vector<NamedTensor> tensors;  // sorted by name
  std::map<std::string, std::string> metadata;
  uint64_t header_bytes = 0;  // the JSON's length, padding included
};

/// Reads a file that lies in memory. The views point into `file`. Errors are data_loss for damage,
/// unimplemented for a dtype or rank this program does not have; they name the tensor.
StatusOr<SafetensorsContent> parse_safetensors(std::span<const std::byte> file);

class SafetensorsFile {
 public:
  /// Errors are prefixed with the path.
  static StatusOr<std::shared_ptr<const SafetensorsFile>> open(const std::string& path);

  const std::string& path() const { return file_->path(); }
  const MappedFile& file() const { return *file_; }
  const std::vector<NamedTensor>& tensors() const { return content_.tensors; }
  const std::map<std::string, std::string>& metadata() const { return content_.metadata; }
  /// Null if there is none of this name.
  const TensorView* find(std::string_view name) const;

 private:
  SafetensorsFile(std::shared_ptr<const MappedFile> file, SafetensorsContent content)
      : file_(std::move(file)), content_(std::move(content)) {}

  std::shared_ptr<const MappedFile> file_;
  SafetensorsContent content_;
};

/// Writes `tensors` in the order that the reference library uses (wider elements first, then by name, so that
/// all are aligned), under a temporary name that is renamed at the end. Errors: a name twice, a name that is
/// not UTF-8 or is
/// "__metadata__", what the system reports.
Status write_safetensors(const std::string& path, std::vector<NamedTensor> tensors,
                         const std::map<std::string, std::string>& metadata = {});

}  // namespace hadal
