#include "kernels/cuda/copy_queue.h"

#include "kernels/cuda/cuda_device.h"

namespace hadal::cuda {
namespace {

bool overlap(const SmallCopy& a, const SmallCopy& b) {
  const auto a_begin = reinterpret_cast<uintptr_t>(a.to), b_begin = reinterpret_cast<uintptr_t>(b.to);
  return a_begin < b_begin + b.bytes && b_begin < a_begin + a.bytes;
}

}  // namespace

bool CopyQueue::fits(cudaStream_t stream, const SmallCopy& copy, bool to_device) const {
  if (copies_.count == 0) return true;
  if (stream != stream_ || to_device != to_device_ || copies_.count == kMostSmallCopies) return false;
  for (int32_t i = 0; i < copies_.count; ++i) {
    if (overlap(copies_.copy[i], copy)) return false;
  }
  return true;
}

Status CopyQueue::add(cudaStream_t stream, const SmallCopy& copy, bool to_device) {
  if (!fits(stream, copy, to_device)) RETURN_IF_ERROR(flush());
  stream_ = stream;
  to_device_ = to_device;
  copies_.copy[copies_.count++] = copy;
  return OkStatus();
}

Status CopyQueue::flush() {
  if (copies_.count == 0) return OkStatus();
  const cudaError_t launched = launch_small_copies(stream_, copies_, to_device_);
  copies_.count = 0;
  return check(launched, "copying");
}

}  // namespace hadal::cuda
