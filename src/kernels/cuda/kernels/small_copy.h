// A few hundred kilobytes between pinned host memory and the device, by a kernel: the copy engine takes
// several microseconds to begin after a kernel and as long to hand over to the next, twice or three times
// between steps. Several at once, since a kernel takes its time as well. Private to kernels/cuda.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace hadal::cuda {

inline constexpr uint64_t kMostSmallCopy = 1 << 20;  // bytes

/// `to` and `from` on 4 bytes, `bytes` a multiple of 4.
struct SmallCopy {
  void* to;
  const void* from;
  uint32_t bytes;
};

inline constexpr int32_t kMostSmallCopies = 16;  // of a launch
struct SmallCopies {
  SmallCopy copy[kMostSmallCopies];
  int32_t count = 0;
};

/// In no order: none writes what another one reads or writes. To the device the host's bytes are read as soon
/// as the kernel starts, which may be while the one before it runs. The kernel behind it sees the bytes in
/// all that it does.
cudaError_t launch_small_copies(cudaStream_t stream, const SmallCopies& copies, bool to_device);

}  // namespace hadal::cuda
