// Small copies that were asked for one behind the other go to the GPU as one kernel: a step sends its plan,
// what its rows are sampled with and the prompts of those that joined, and each kernel more between two steps
// is a microsecond or two in which the GPU does nothing else. Private to kernels/cuda.
//
// Threads: one at a time, as the device's.
#pragma once

#include "kernels/cuda/kernels/small_copy.h"
#include "kernels/cuda/status.h"

namespace hadal::cuda {

class CopyQueue {
 public:
  /// A copy on the stream, at the latest with the next flush(). Those of another stream or direction, and
  /// those that write where this one does, go before it.
  Status add(cudaStream_t stream, const SmallCopy& copy, bool to_device);

  /// Sends what waits. Called before anything else is put on a stream or is waited for.
  Status flush();

 private:
  bool fits(cudaStream_t stream, const SmallCopy& copy, bool to_device) const;

  SmallCopies copies_;
  cudaStream_t stream_ = nullptr;
  bool to_device_ = false;
};

}  // namespace hadal::cuda
