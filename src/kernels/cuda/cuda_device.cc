#include "kernels/cuda/cuda_device.h"

#include <algorithm>
#include <cstdlib>

#include "kernels/cuda/device_monitor.h"
#include "kernels/cuda/kernels/linear_wgmma.h"
#include "kernels/cuda/kernels/weight_fill.h"
#include "kernels/cuda/uploader.h"

namespace hadal::cuda {
namespace {

constexpr int32_t kReaders = 4;  // threads that read weights
constexpr uint64_t kUploadBuffer = uint64_t{16} << 20;
constexpr int kOldestVersion = 12080;  // CUDA 12.8

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

std::string version_text(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

/// A driver runs what was built with its own major version of CUDA or an earlier one.
Status check_driver() {
  int driver = 0, runtime = 0;
  RETURN_IF_ERROR(check(cudaDriverGetVersion(&driver), "asking the driver for its version"));
  RETURN_IF_ERROR(check(cudaRuntimeGetVersion(&runtime), "asking the runtime for its version"));
  if (driver == 0) return failed_precondition("no NVIDIA driver is loaded");
  const int oldest = std::max(kOldestVersion, runtime / 1000 * 1000);
  if (driver >= oldest) return OkStatus();
  return failed_precondition("the NVIDIA driver supports CUDA {}, this program needs {} (driver {} or later)",
                             version_text(driver), version_text(oldest), oldest < 13000 ? 570 : 580);
}

Status check_index(int32_t index) {
  int count = 0;
  const cudaError_t found = cudaGetDeviceCount(&count);
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  const std::string limit = visible == nullptr ? "" : fmt::format(" (CUDA_VISIBLE_DEVICES={})", visible);
  if (found == cudaErrorNoDevice || (found == cudaSuccess && count == 0))
    return failed_precondition("no GPU is visible{}", limit);
  RETURN_IF_ERROR(check(found, "counting GPUs"));
  if (index >= 0 && index < count) return OkStatus();
  return invalid_argument("there is no GPU {}; {} visible{}", index, count, limit);
}

Status check_capability(const cudaDeviceProp& properties) {
  if (properties.major < 8) {
    return failed_precondition("{} has compute capability {}.{}; 8.0 (Ampere) or later is needed",
                               properties.name, properties.major, properties.minor);
  }
  if (has_code_for_device()) return OkStatus();
  return failed_precondition(
      "libhadal_cuda.so was built without code for {} (compute capability {}.{}); preset "
      "cuda-release has it",
      properties.name, properties.major, properties.minor);
}

}  // namespace

StatusOr<std::unique_ptr<CudaDevice>> open_cuda_device(const BackendOptions& options) {
  RETURN_IF_ERROR(check_driver());
  RETURN_IF_ERROR(check_index(options.device_index));
  RETURN_IF_ERROR(check(cudaSetDevice(options.device_index), "opening the GPU"));
  cudaDeviceProp properties{};
  RETURN_IF_ERROR(
      check(cudaGetDeviceProperties(&properties, options.device_index), "reading the GPU's properties"));
  RETURN_IF_ERROR(check_capability(properties));
  auto device = std::make_unique<CudaDevice>();
  device->index = options.device_index;
  device->name = fmt::format("cuda:{} ({:.40}, sm_{}{})", options.device_index, properties.name,
                             properties.major, properties.minor);
  device->sm_count = properties.multiProcessorCount;
  device->major = properties.major;
  device->minor = properties.minor;
  device->shared_bytes_per_block = static_cast<int32_t>(properties.sharedMemPerBlockOptin);
  device->has_wgmma = properties.major == 9 && properties.minor == 0 && has_wgmma_code();
  device->batch_invariant = options.batch_invariant != 0;
  RETURN_IF_ERROR(
      check(cudaStreamCreateWithFlags(&device->stream, cudaStreamNonBlocking), "making a stream"));
  device->uploader = Uploader::create(device->index, kReaders, kUploadBuffer);
  char bus[32] = "";
  RETURN_IF_ERROR(check(cudaDeviceGetPCIBusId(bus, sizeof(bus), device->index), "reading the GPU's bus id"));
  device->monitor = DeviceMonitor::create(bus);
  return StatusOr<std::unique_ptr<CudaDevice>>(std::move(device));
}

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
