// Streams weights from host memory (mapped files) to the device: several reader threads copy pieces into
// pinned buffers, each of which is sent as soon as it is full, so that reading files, copying and the
// transfer overlap. Private to kernels/cuda.
//
// Threads: upload() and finish() from one thread; readers are the uploader's own. Ownership: the host bytes
// must stay mapped until finish() returns.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>

#include "kernels/api/backend.h"
#include "kernels/cuda/status.h"

namespace hadal::cuda {

class Uploader {
 public:
  /// `readers` threads with two pinned buffers of `buffer_bytes` each, made at the first upload.
  static std::unique_ptr<Uploader> create(int32_t device_index, int32_t readers, uint64_t buffer_bytes);
  virtual ~Uploader() = default;

  /// Queues bytes; returns at once. An error of an earlier piece is returned by any later call.
  virtual Status upload(void* device, const void* host, uint64_t bytes) = 0;
  /// The same for a matrix whose rows are apart on either side.
  virtual Status upload_rows(void* device, uint64_t device_pitch, const void* host, uint64_t host_pitch,
                             uint64_t row_bytes, uint64_t rows) = 0;
  /// Counts bytes that were made up on the device.
  virtual void count(uint64_t bytes) = 0;
  /// A stream for kernels that transform what was uploaded; finish() waits for it as well.
  virtual cudaStream_t stream() = 0;
  /// Waits for everything; gives the pinned buffers back.
  virtual StatusOr<BackendLoadReport> finish() = 0;
};

}  // namespace hadal::cuda
