#include "server/device_choice.h"

#include "base/log.h"

namespace hadal {

StatusOr<std::shared_ptr<Device>> choose_device(const DeviceChoice& choice) {
  if (choice.name != "auto") return Device::open(choice.name, choice.options);
  StatusOr<std::shared_ptr<Device>> gpu = Device::open("cuda", choice.options);
  if (gpu.ok()) return gpu;
  log_info("no GPU is used: {}", message_of(gpu.status()));
  return Device::open("cpu", choice.options);
}

}  // namespace hadal
