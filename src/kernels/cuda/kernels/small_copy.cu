#include "kernels/cuda/kernels/launch.cuh"
#include "kernels/cuda/kernels/ptx.cuh"
#include "kernels/cuda/kernels/small_copy.h"

namespace hadal::cuda {
namespace {

constexpr unsigned kThreads = 256;

/// A word a thread. Host memory is read past all caches. The next kernel may start at once: it is another small
/// copy, which reads nothing early that this one writes, or one launched behind next_sees_all(), which waits for
/// the end of this one whatever is allowed here. So the way to the host is gone once for all copies of a step.
template <typename Word>
__global__ void __launch_bounds__(kThreads) to_device_kernel(Word* to, const Word* from, uint32_t words) {
  const uint32_t i = blockIdx.x * kThreads + threadIdx.x;
  let_next_start();
  Word word{};
  if (i < words) word = __ldcv(from + i);
  wait_for_previous();
  if (i < words) to[i] = word;
}

template <typename Word>
__global__ void __launch_bounds__(kThreads) to_host_kernel(Word* to, const Word* from, uint32_t words) {
  const uint32_t i = blockIdx.x * kThreads + threadIdx.x;
  let_next_start();
  wait_for_previous();
  if (i < words) to[i] = from[i];
  __threadfence_system();
}

template <typename Word>
cudaError_t launch(cudaStream_t stream, void* to, const void* from, uint64_t bytes, bool to_device) {
  const auto words = static_cast<uint32_t>(bytes / sizeof(Word));
  const LaunchShape shape{dim3((words + kThreads - 1) / kThreads), dim3(kThreads)};
  auto* const target = static_cast<Word*>(to);
  const auto* const source = static_cast<const Word*>(from);
  return to_device ? launch_kernel<to_device_kernel<Word>>(stream, shape, target, source, words)
                   : launch_kernel<to_host_kernel<Word>>(stream, shape, target, source, words);
}

bool on_16(const void* data) { return reinterpret_cast<uintptr_t>(data) % 16 == 0; }

}  // namespace

cudaError_t launch_small_copy(cudaStream_t stream, void* to, const void* from, uint64_t bytes,
                              bool to_device) {
  next_sees_all() = false;  // this kernel reads nothing early that another one writes
  const cudaError_t launched = bytes % 16 == 0 && on_16(to) && on_16(from)
                                   ? launch<uint4>(stream, to, from, bytes, to_device)
                                   : launch<uint32_t>(stream, to, from, bytes, to_device);
  next_sees_all() = true;
  return launched;
}

}  // namespace hadal::cuda
