// Power, temperature, utilisation, ECC and Xid errors of a GPU, from the driver's NVML, which is loaded at
// run time where it is there. Private to kernels/cuda.
//
// Threads: read() from any one thread at a time.
#pragma once

#include <memory>
#include <string>

#include "kernels/api/backend.h"

namespace hadal::cuda {

class DeviceMonitor {
 public:
  /// `pci_bus_id` as cudaDeviceGetPCIBusId gives it. Null where NVML cannot be loaded or does not know the
  /// device.
  static std::unique_ptr<DeviceMonitor> create(const std::string& pci_bus_id);
  virtual ~DeviceMonitor() = default;
  /// Fields that cannot be read are negative.
  virtual BackendHealth read() = 0;
};

}  // namespace hadal::cuda
