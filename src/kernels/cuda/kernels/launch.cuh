// The one way in which the kernels of a step are launched (those that fill or repack weights run on a
// stream of the uploader's own and need none of this). Private to kernels/cuda.
//
// On Hopper and later a kernel starts while the one before it in the stream still runs (programmatic
// dependent launch): as soon as each of that one's blocks has called let_next_start() or is done. What every
// kernel owes the others:
//   - Each thread of each block calls wait_for_previous(), also where it returns early, and only behind it
//     reads what another kernel of the stream writes, or writes anything. When it returns, the kernel before
//     is done and its writes are seen; and since that one waited likewise, so is every kernel before it.
//   - Before it may only be read what no kernel writes: weights, tables, and a step's metadata, which the
//     host copies (a kernel behind a copy waits for all of it). Prefetches into L2 are free of this. One
//     exception: where each block of the kernel before calls let_next_start() behind its own wait, what the
//     kernels before that one wrote is there as well (moe_tiny.cu reads the router's choice so), by __ldcg.
//   - What is read behind it must not be read by ld.global.nc (__ldg): the compiler may move that before it.
//   - let_next_start(): all blocks of a kernel run before the next one's start, so those take only what is
//     left. Small kernels call it first; those that stream weights when their last loads are under way, lest
//     what the next one prefetches is pushed out of L2 again. Without it the end of a block counts.
#pragma once

#include <cuda_runtime_api.h>

#include <utility>

namespace hadal::cuda {

/// False: each kernel starts when the one before it is done, as on older GPUs. For finding errors.
inline constexpr bool kOverlapKernels = true;

struct LaunchShape {
  dim3 grid, block;
  size_t shared = 0;     // bytes of dynamic shared memory
  unsigned cluster = 1;  // blocks of a cluster along x (sm_90)
};

/// Whether the loaded code of the kernel waits (code for older GPUs has no such instruction).
template <auto kKernel>
bool overlaps_previous() {
  static const bool overlaps = [] {
    cudaFuncAttributes attributes{};
    return kOverlapKernels && cudaFuncGetAttributes(&attributes, kKernel) == cudaSuccess &&
           attributes.ptxVersion >= 90;
  }();
  return overlaps;
}

/// Set behind a copy of a step's metadata, which kernels may read early: the next kernel starts when the copy
/// is done. This thread's, as ops are.
inline bool& next_sees_all() {
  static thread_local bool sees_all = false;
  return sees_all;
}

template <auto kKernel, typename... Args>
cudaError_t launch_kernel(cudaStream_t stream, const LaunchShape& shape, Args&&... args) {
  cudaLaunchAttribute attributes[2] = {};
  cudaLaunchConfig_t config{};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.shared;
  config.stream = stream;
  config.attrs = attributes;
  if (overlaps_previous<kKernel>() && !std::exchange(next_sees_all(), false)) {
    cudaLaunchAttribute& overlap = attributes[config.numAttrs++];
    overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    overlap.val.programmaticStreamSerializationAllowed = 1;
  }
  if (shape.cluster > 1) {
    cudaLaunchAttribute& cluster = attributes[config.numAttrs++];
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim.x = shape.cluster;
    cluster.val.clusterDim.y = 1;
    cluster.val.clusterDim.z = 1;
  }
  return cudaLaunchKernelEx(&config, kKernel, std::forward<Args>(args)...);
}

}  // namespace hadal::cuda
