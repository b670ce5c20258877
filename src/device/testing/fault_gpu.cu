#include <cuda_runtime.h>

#include <cstdio>

#include "device/testing/fault_gpu.h"

namespace hadal::testing {
namespace {

constexpr int kThreads = 1024;

__global__ void write_nowhere(int* nowhere) { *nowhere = 1; }

__global__ void __launch_bounds__(kThreads) wait_for(const volatile int* never) {
  while (*never == 0) {
  }
}

void report(cudaError_t error, const char* what) {
  if (error != cudaSuccess)
    std::fprintf(stderr, "provoking a fault: %s: %s\n", what, cudaGetErrorString(error));
}

/// As many blocks as the device has places for.
int all_places() {
  int multiprocessors = 0, blocks = 0;
  report(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0),
         "counting multiprocessors");
  report(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, wait_for, kThreads, 0), "counting places");
  return multiprocessors * blocks;
}

}  // namespace

void provoke_on_gpu(Fault fault) {
  // a stream of its own: the backend's is not known here, and need not be
  cudaStream_t stream = nullptr;
  report(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "making a stream");
  if (fault == Fault::kLost) {
    write_nowhere<<<1, 1, 0, stream>>>(reinterpret_cast<int*>(16));
  } else {
    int* never = nullptr;
    report(cudaMalloc(&never, sizeof(int)), "memory");
    report(cudaMemsetAsync(never, 0, sizeof(int), stream), "clearing memory");
    wait_for<<<all_places(), kThreads, 0, stream>>>(never);
  }
  report(cudaPeekAtLastError(), "launching");
}

}  // namespace hadal::testing
