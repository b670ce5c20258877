// Host bytes that are to be sent to the device: those of mapped files are read from the file, straight into
// where they are wanted. That costs a copy less per page than touching the mapping (no page tables, no lock
// on the address space that readers would share), and a file that was shortened is an error and no SIGBUS.
// Private to kernels/cuda; needs no CUDA.
//
// Threads: any.
#pragma once

#include <mutex>
#include <optional>
#include <vector>

#include "kernels/api/backend.h"
#include "kernels/cuda/status.h"

namespace hadal::cuda {

class MappedFiles {
 public:
  /// Mapping and descriptor must last until clear().
  void add(const BackendFile& file);
  void clear();
  bool empty() const;

  /// Copies `bytes` of the host at `from`, which lie in one file or in none.
  Status read(void* to, const void* from, uint64_t bytes) const;
  /// Has the system begin to read these bytes, where they are a file's. A hint: never fails.
  void will_need(const void* from, uint64_t bytes) const;

 private:
  /// Where in which file the bytes lie.
  struct Place {
    int32_t descriptor;
    uint64_t offset;
  };
  std::optional<Place> place_of(const void* from, uint64_t bytes) const;

  mutable std::mutex mutex_;
  std::vector<BackendFile> files_;
};

}  // namespace hadal::cuda
