#include "kernels/cuda/cuda_device.h"

#include "kernels/cuda/device_monitor.h"
#include "kernels/cuda/uploader.h"

namespace hadal::cuda {
namespace {

/// Errors that leave the context unusable for good (CUDA runtime API, "error handling").
bool is_sticky(cudaError_t error) {
  switch (error) {
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorAssert:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorDevicesUnavailable:
    case cudaErrorContained:
      return true;
    default:
      return false;
  }
}

}  // namespace

CudaDevice::~CudaDevice() {
  uploader.reset();
  if (stream != nullptr) cudaStreamDestroy(stream);
}

Status check(cudaError_t error, std::string_view what) {
  if (error == cudaSuccess) return OkStatus();
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // not sticky: forget it
    return resource_exhausted("{}: out of device memory", what);
  }
  const char* name = cudaGetErrorName(error);
  const char* text = cudaGetErrorString(error);
  if (is_sticky(error)) return device_lost("{}: {} ({}); the GPU is lost to this process", what, name, text);
  cudaGetLastError();
  return internal_error("{}: {} ({})", what, name, text);
}

}  // namespace hadal::cuda
