#include "kernels/cuda/cuda_device.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "kernels/cuda/device_monitor.h"
#include "kernels/cuda/kernels/linear_wgmma.h"
#include "kernels/cuda/kernels/weight_fill.h"
#include "kernels/cuda/requirements.h"
#include "kernels/cuda/uploader.h"

namespace hadal::cuda {
namespace {

// A core copies 5 to 10 GB/s out of the page cache, PCIe 5.0 takes 55; files that are not in it want several
// reads at once whatever the cores.
constexpr uint32_t kFewestReaders = 4, kMostReaders = 16;
// Large enough that a transfer hides its start; small, since pinning takes 0.4 ms for a MiB.
constexpr uint64_t kUploadBuffer = uint64_t{2} << 20;

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

/// The driver's own version, "" where its module does not tell.
std::string driver_version() {
  std::string version;
  if (std::ifstream file("/sys/module/nvidia/version"); file) file >> version;
  return version;
}

Status check_driver() {
  int driver = 0, runtime = 0;
  RETURN_IF_ERROR(check(cudaDriverGetVersion(&driver), "asking the driver for its version"));
  RETURN_IF_ERROR(check(cudaRuntimeGetVersion(&runtime), "asking the runtime for its version"));
  return check_driver_version(driver, runtime, driver_version());
}

Status check_index(int32_t index) {
  int count = 0;
  const cudaError_t found = cudaGetDeviceCount(&count);
  if (found == cudaErrorNoDevice) {
    count = 0;
    cudaGetLastError();  // not sticky: forget it
  } else {
    RETURN_IF_ERROR(check(found, "counting GPUs"));
  }
  return check_device_index(index, count, std::getenv("CUDA_VISIBLE_DEVICES"));
}

}  // namespace

StatusOr<std::unique_ptr<CudaDevice>> open_cuda_device(const BackendOptions& options) {
  RETURN_IF_ERROR(check_driver());
  RETURN_IF_ERROR(check_index(options.device_index));
  RETURN_IF_ERROR(check(cudaSetDevice(options.device_index), "opening the GPU"));
  cudaDeviceProp properties{};
  RETURN_IF_ERROR(
      check(cudaGetDeviceProperties(&properties, options.device_index), "reading the GPU's properties"));
  RETURN_IF_ERROR(check_capability(properties.name, properties.major, properties.minor,
                                   has_code_for_device() ? CodeForDevice::kBuilt : CodeForDevice::kNone));
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
  const uint32_t readers = std::clamp(std::thread::hardware_concurrency(), kFewestReaders, kMostReaders);
  device->uploader = Uploader::create(device->index, static_cast<int32_t>(readers), kUploadBuffer);
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
