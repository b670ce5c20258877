// One opened GPU: what every op of this backend needs besides its descriptor. Private to kernels/cuda.
//
// Threads: one at a time, as the backend's interface promises. The uploader has threads of its own.
#pragma once

#include <cuda_runtime_api.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/api/backend.h"
#include "kernels/cuda/copy_queue.h"
#include "kernels/cuda/status.h"

namespace hadal::cuda {

class Uploader;
class DeviceMonitor;

struct CudaDevice {
  ~CudaDevice();

  int32_t index = 0;
  std::string name;  // "cuda:0 (NVIDIA H200, sm_90)"
  int32_t sm_count = 0;
  int32_t major = 0, minor = 0;        // compute capability
  int32_t shared_bytes_per_block = 0;  // with the opt-in
  bool has_wgmma = false;              // Hopper, and this build has code for its own instructions
  bool batch_invariant = false;        // BackendOptions::batch_invariant
  cudaStream_t stream = nullptr;       // the default stream of the interface (a real one: it can be captured)
  std::map<const char*, uint64_t> pinned;  // host memory that kernels reach: where it begins, its bytes
  CopyQueue copies;                        // of the step, between pinned memory and the device
  std::unique_ptr<Uploader> uploader;
  std::unique_ptr<DeviceMonitor> monitor;

  /// Remembers that a kernel ran; `kernel` is a string literal ("cuda.linear.skinny.bf16").
  void note(const char* kernel) {
    for (const char* known : kernels) {
      if (known == kernel) return;
    }
    kernels.push_back(kernel);
  }
  std::vector<const char*> kernels;
};

/// Opens a GPU. Errors say in one line why it cannot be used: no or too old a driver, none visible, too old a
/// GPU, or a build without code for it.
StatusOr<std::unique_ptr<CudaDevice>> open_cuda_device(const BackendOptions& options);

/// ok, or the CUDA error by name with what was being done. Out of memory is resource_exhausted; an error
/// after which the context is lost is device_lost.
Status check(cudaError_t error, std::string_view what);

}  // namespace hadal::cuda
