// One reader's way to the device: a stream, two pinned buffers that are filled and sent in turns, and device
// memory for pieces that are transformed there. Private to kernels/cuda (the uploader's).
//
// Threads: send() from the lane's reader; wait() and release() while no send() runs.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>

#include "kernels/cuda/mapped_files.h"
#include "kernels/cuda/status.h"
#include "kernels/cuda/uploader.h"

namespace hadal::cuda {

/// Bytes of the host, and where they go: to `to`, or (with `place`) where that puts them.
struct UploadPiece {
  char* to = nullptr;
  const char* from = nullptr;
  uint64_t bytes = 0;
  std::shared_ptr<const PlaceLines> place;
  int64_t first_line = 0, lines = 0;  // with `place`
};

class UploadLane {
 public:
  UploadLane(const MappedFiles& files, uint64_t buffer_bytes) : files_(files), buffer_bytes_(buffer_bytes) {}
  UploadLane(const UploadLane&) = delete;
  UploadLane& operator=(const UploadLane&) = delete;
  ~UploadLane();

  /// Reads the piece and queues its transfer; waits where both buffers are still being sent.
  Status send(const UploadPiece& piece);
  /// Until all that was sent has arrived.
  Status wait();
  void release();

 private:
  struct Buffer {
    char* pinned = nullptr;
    char* device = nullptr;  // as large; only once something is transformed
    uint64_t bytes = 0;
    uint64_t used = 0;
    cudaEvent_t sent = nullptr;  // behind the last work that uses it
  };

  StatusOr<Buffer*> buffer_for(const UploadPiece& piece);
  Status grow(Buffer& buffer, uint64_t bytes);
  static void free(Buffer& buffer);

  const MappedFiles& files_;
  const uint64_t buffer_bytes_;
  cudaStream_t stream_ = nullptr;
  Buffer buffers_[2];
  int current_ = 0;
};

}  // namespace hadal::cuda
