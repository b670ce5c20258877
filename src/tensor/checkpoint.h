// A published checkpoint's weights: one model.safetensors, or shards with model.safetensors.index.json.
// Everything is mapped, nothing is read ahead of need and nothing copied, except that a tensor which the file
// does not align to its element size is copied when it is first asked for (kernels need natural alignment).
//
// Threads: safe from any thread after open. Views live as long as the Checkpoint.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "tensor/safetensors.h"

namespace hadal {

class Checkpoint {
 public:
  struct Entry {
    std::string_view name;
    const TensorView* view;  // as the file has it; data may be unaligned
    const SafetensorsFile* file;
  };

  /// `path` is a folder or a single .safetensors file. model.safetensors is taken before an index, a lone
  /// other *.safetensors after both. GGUF and PyTorch files are refused by name. Errors name the file, and
  /// the tensor: a shard that is missing or broken, a tensor that its shard does not hold. Tensors of a shard
  /// that the index does not list are no part of the checkpoint.
  static StatusOr<std::shared_ptr<const Checkpoint>> open(const std::string& path);

  /// All tensors, sorted by name.
  const std::vector<Entry>& entries() const { return entries_; }
  bool contains(std::string_view name) const { return entry(name) != nullptr; }
  const Entry* entry(std::string_view name) const;  // null if there is none

  /// The tensor, aligned to its element size. not_found names it.
  StatusOr<TensorView> find(std::string_view name) const;

  uint64_t total_bytes() const { return total_bytes_; }
  /// Bytes that find() had to copy.
  uint64_t copied_bytes() const;
  const std::vector<std::string>& paths() const { return paths_; }
  const std::vector<std::shared_ptr<const SafetensorsFile>>& files() const { return files_; }

  /// Hints to the system about a tensor's pages; unknown names are ignored.
  void will_need(std::string_view name) const;
  void release(std::string_view name) const;

 private:
  explicit Checkpoint(std::vector<std::shared_ptr<const SafetensorsFile>> files);
  static StatusOr<std::shared_ptr<const Checkpoint>> open_single(const std::string& path);
  static StatusOr<std::shared_ptr<const Checkpoint>> open_sharded(const std::string& folder);
  void finish();

  std::vector<std::shared_ptr<const SafetensorsFile>> files_;
  std::vector<std::string> paths_;
  std::vector<Entry> entries_;
  uint64_t total_bytes_ = 0;

  mutable std::mutex mutex_;
  mutable std::unordered_map<const TensorView*, std::vector<std::byte>> aligned_copies_;  // guarded by mutex_
};

}  // namespace hadal
