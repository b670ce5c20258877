// Pinned memory of a backend as the tests' memory (test_memory.h). Pinning is slow and tests allocate much
// and little, so pieces are cut from a few large allocations and kept in size classes.
//
// Threads: any.
#pragma once

#include <array>
#include <cstddef>
#include <mutex>
#include <vector>

#include "base/status.h"
#include "kernels/api/backend.h"

namespace hadal::testing {

class PinnedPool {
 public:
  PinnedPool(const BackendApi* api, BackendDevice* device) : api_(api), device_(device) {}
  PinnedPool(const PinnedPool&) = delete;
  PinnedPool& operator=(const PinnedPool&) = delete;
  /// Gives the memory back, pieces in use too.
  ~PinnedPool();

  /// 64-byte aligned; null without memory.
  void* allocate(size_t bytes);
  /// False: not a piece of this pool.
  bool release(void* data, size_t bytes);

 private:
  struct Chunk {
    char* data;
    size_t bytes;
  };
  bool grow(size_t size);

  const BackendApi* api_;
  BackendDevice* device_;
  std::mutex mutex_;
  std::vector<Chunk> chunks_;
  std::array<std::vector<void*>, 64> free_;  // by the logarithm of the size
  char* next_ = nullptr;
  size_t left_ = 0;
};

/// Opens a device of `api` that stays open, and installs its pinned memory for every test vector of this
/// process. It is never given back: cases in static storage may outlive everything.
Status install_pinned_memory(const BackendApi* api);

}  // namespace hadal::testing
