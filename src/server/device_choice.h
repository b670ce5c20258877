// Which device an engine runs on: `--device auto` takes the GPU where one can be used, else the CPU, and says
// in one line why no GPU was.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "device/device.h"

namespace hadal {

struct DeviceChoice {
  std::string name = "auto";  // auto, cpu, cuda, ref
  DeviceOptions options;
};

/// Errors: what Device::open says of a device that was named.
StatusOr<std::shared_ptr<Device>> choose_device(const DeviceChoice& choice);

}  // namespace hadal
