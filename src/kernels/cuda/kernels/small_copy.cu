#include <algorithm>

#include "kernels/cuda/kernels/launch.cuh"
#include "kernels/cuda/kernels/ptx.cuh"
#include "kernels/cuda/kernels/small_copy.h"

namespace hadal::cuda {
namespace {

constexpr uint32_t kThreads = 256, kPiece = 16, kBlockBytes = kThreads * kPiece;

/// 16 bytes of a copy a thread, in one piece where both sides allow it.
struct Piece {
  uint32_t words[4];
};

__device__ __forceinline__ bool is_wide(const SmallCopy& copy) {
  return (reinterpret_cast<uintptr_t>(copy.to) | reinterpret_cast<uintptr_t>(copy.from) | copy.bytes) %
             kPiece ==
         0;
}
/// Word `i` of the thread's four, where they do not lie side by side.
__device__ __forceinline__ uint32_t word_at(uint32_t i) {
  return (blockIdx.x * 4 + i) * kThreads + threadIdx.x;
}

/// Host memory is read past all caches.
template <bool kToDevice>
__device__ __forceinline__ Piece read(const SmallCopy& copy) {
  Piece piece{};
  if (is_wide(copy)) {
    const uint32_t at = blockIdx.x * kThreads + threadIdx.x;
    if (at * kPiece >= copy.bytes) return piece;
    const uint4* const from = static_cast<const uint4*>(copy.from) + at;
    const uint4 bits = kToDevice ? __ldcv(from) : *from;
    piece.words[0] = bits.x, piece.words[1] = bits.y, piece.words[2] = bits.z, piece.words[3] = bits.w;
    return piece;
  }
#pragma unroll
  for (uint32_t i = 0; i < 4; ++i) {
    if (word_at(i) * 4 >= copy.bytes) break;
    const uint32_t* const from = static_cast<const uint32_t*>(copy.from) + word_at(i);
    piece.words[i] = kToDevice ? __ldcv(from) : *from;
  }
  return piece;
}

__device__ __forceinline__ void write(const SmallCopy& copy, const Piece& piece) {
  if (is_wide(copy)) {
    const uint32_t at = blockIdx.x * kThreads + threadIdx.x;
    if (at * kPiece >= copy.bytes) return;
    static_cast<uint4*>(copy.to)[at] =
        make_uint4(piece.words[0], piece.words[1], piece.words[2], piece.words[3]);
    return;
  }
#pragma unroll
  for (uint32_t i = 0; i < 4; ++i) {
    if (word_at(i) * 4 < copy.bytes) static_cast<uint32_t*>(copy.to)[word_at(i)] = piece.words[i];
  }
}

/// blockIdx.y: the copy. The next kernel may start at once: it is another one of these, which reads nothing
/// early that this one writes, or one launched behind next_sees_all(), which waits for the end of this one
/// whatever is allowed here. So the way to the host is gone once for all copies of a step.
template <bool kToDevice>
__global__ void __launch_bounds__(kThreads) small_copy_kernel(const __grid_constant__ SmallCopies copies) {
  const SmallCopy copy = copies.copy[blockIdx.y];
  let_next_start();
  if constexpr (kToDevice) {
    const Piece piece = read<kToDevice>(copy);
    wait_for_previous();
    write(copy, piece);
  } else {
    wait_for_previous();
    write(copy, read<kToDevice>(copy));
    __threadfence_system();
  }
}

}  // namespace

cudaError_t launch_small_copies(cudaStream_t stream, const SmallCopies& copies, bool to_device) {
  uint32_t most = 0;
  for (int32_t i = 0; i < copies.count; ++i) most = std::max(most, copies.copy[i].bytes);
  const LaunchShape shape{dim3((most + kBlockBytes - 1) / kBlockBytes, static_cast<unsigned>(copies.count)),
                          dim3(kThreads)};
  next_sees_all() = false;  // this kernel reads nothing early that another one writes
  const cudaError_t launched = to_device ? launch_kernel<small_copy_kernel<true>>(stream, shape, copies)
                                         : launch_kernel<small_copy_kernel<false>>(stream, shape, copies);
  next_sees_all() = true;
  return launched;
}

}  // namespace hadal::cuda
