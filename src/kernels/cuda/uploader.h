// Streams weights from host memory (mapped files) to the device: several reader threads read pieces into
// pinned buffers, each of which is sent as soon as it is full, so that reading files, copying and the
// transfer overlap. Private to kernels/cuda.
//
// Threads: all but the readers' own from one thread. Ownership: the host bytes must stay mapped until
// flush() or finish() returns.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <functional>
#include <memory>

#include "kernels/api/backend.h"
#include "kernels/cuda/status.h"

namespace hadal::cuda {

/// Puts `count` lines of an array, from line `first` on, in their place by work on `stream`; they lie at
/// `lines` in device memory until the stream has passed. Called by reader threads.
using PlaceLines =
    std::function<cudaError_t(const void* lines, int64_t first, int64_t count, cudaStream_t stream)>;

class Uploader {
 public:
  /// `readers` threads with two pinned buffers of up to `buffer_bytes` each, made at the first upload.
  static std::unique_ptr<Uploader> create(int32_t device_index, int32_t readers, uint64_t buffer_bytes);
  virtual ~Uploader() = default;

  /// From now until finish() the bytes of this file's mapping are read from the file.
  virtual void add_file(const BackendFile& file) = 0;
  /// Queues bytes; returns at once. An error of an earlier piece is returned by any later call.
  virtual Status upload(void* device, const void* host, uint64_t bytes) = 0;
  /// Queues an array of `lines` times `line_bytes` that the device turns into a layout of its own, some lines
  /// at a time.
  virtual Status upload_lines(const void* host, uint64_t line_bytes, int64_t lines, PlaceLines place) = 0;
  /// Counts bytes that were made up on the device.
  virtual void count(uint64_t bytes) = 0;
  /// A stream for kernels that make weights up; flush() and finish() wait for it as well.
  virtual cudaStream_t stream() = 0;

  /// Weights are being loaded: something came since the last finish().
  virtual bool active() const = 0;
  /// Waits until all that was queued has arrived.
  virtual Status flush() = 0;
  /// The same; forgets the files, gives the pinned buffers back and reports since the first upload.
  virtual StatusOr<BackendLoadReport> finish() = 0;
};

}  // namespace hadal::cuda
