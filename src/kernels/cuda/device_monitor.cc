#include "kernels/cuda/device_monitor.h"

#include <dlfcn.h>

namespace hadal::cuda {
namespace {

// What is used of NVML, declared here: its header does not come with every toolkit, its ABI is stable.
using NvmlDevice = struct NvmlDeviceTag*;
using NvmlEventSet = struct NvmlEventSetTag*;
struct NvmlUtilization {
  unsigned int gpu, memory;  // percent
};
struct NvmlEventData {
  NvmlDevice device;
  unsigned long long type, data;
  unsigned int gpu_instance, compute_instance;
};
constexpr int kNvmlSuccess = 0;
constexpr unsigned int kCoreTemperature = 0;
constexpr unsigned int kUncorrected = 1;
constexpr unsigned int kVolatile = 0;
constexpr unsigned long long kXidEvent = 0x8;

struct Nvml {
  int (*init)();
  int (*by_bus_id)(const char*, NvmlDevice*);
  int (*power)(NvmlDevice, unsigned int*);
  int (*temperature)(NvmlDevice, unsigned int, unsigned int*);
  int (*utilization)(NvmlDevice, NvmlUtilization*);
  int (*ecc)(NvmlDevice, unsigned int, unsigned int, unsigned long long*);
  int (*set_create)(NvmlEventSet*);
  int (*set_free)(NvmlEventSet);
  int (*register_events)(NvmlDevice, unsigned long long, NvmlEventSet);
  int (*set_wait)(NvmlEventSet, NvmlEventData*, unsigned int);
};

template <typename Function>
bool find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

/// The library, initialised once and kept for the life of the process; null without it.
const Nvml* nvml() {
  static const Nvml* const kNvml = []() -> const Nvml* {
    void* library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) return nullptr;
    static Nvml table;
    const bool whole = find(library, "nvmlInit_v2", table.init) &&
                       find(library, "nvmlDeviceGetHandleByPciBusId_v2", table.by_bus_id) &&
                       find(library, "nvmlDeviceGetPowerUsage", table.power) &&
                       find(library, "nvmlDeviceGetTemperature", table.temperature) &&
                       find(library, "nvmlDeviceGetUtilizationRates", table.utilization) &&
                       find(library, "nvmlDeviceGetTotalEccErrors", table.ecc) &&
                       find(library, "nvmlEventSetCreate", table.set_create) &&
                       find(library, "nvmlEventSetFree", table.set_free) &&
                       find(library, "nvmlDeviceRegisterEvents", table.register_events) &&
                       find(library, "nvmlEventSetWait_v2", table.set_wait);
    return whole && table.init() == kNvmlSuccess ? &table : nullptr;
  }();
  return kNvml;
}

class NvmlMonitor final : public DeviceMonitor {
 public:
  NvmlMonitor(const Nvml& library, NvmlDevice device) : nvml_(library), device_(device) {
    if (nvml_.set_create(&events_) != kNvmlSuccess) {
      events_ = nullptr;
    } else if (nvml_.register_events(device_, kXidEvent, events_) != kNvmlSuccess) {
      nvml_.set_free(events_);  // not every GPU or container tells
      events_ = nullptr;
    }
  }
  ~NvmlMonitor() override {
    if (events_ != nullptr) nvml_.set_free(events_);
  }

  BackendHealth read() override {
    BackendHealth health{-1, -1, -1, -1, -1, -1};
    unsigned int value = 0;
    if (nvml_.power(device_, &value) == kNvmlSuccess) health.power_watts = value * 1e-3;
    if (nvml_.temperature(device_, kCoreTemperature, &value) == kNvmlSuccess) {
      health.temperature_celsius = value;
    }
    NvmlUtilization used{};
    if (nvml_.utilization(device_, &used) == kNvmlSuccess) {
      health.compute_utilization = used.gpu * 1e-2;
      health.memory_utilization = used.memory * 1e-2;
    }
    unsigned long long errors = 0;
    if (nvml_.ecc(device_, kUncorrected, kVolatile, &errors) == kNvmlSuccess) {
      health.ecc_uncorrected = static_cast<int64_t>(errors);
    }
    if (events_ != nullptr) {
      NvmlEventData event{};
      for (int i = 0; i < kMostEvents && nvml_.set_wait(events_, &event, 0) == kNvmlSuccess; ++i) {
        if (event.type == kXidEvent) last_xid_ = static_cast<int64_t>(event.data);
      }
      health.last_xid = last_xid_;
    }
    return health;
  }

 private:
  static constexpr int kMostEvents = 64;  // a storm of them must not hold a reader
  const Nvml& nvml_;
  NvmlDevice device_;
  NvmlEventSet events_ = nullptr;
  int64_t last_xid_ = 0;
};

}  // namespace

std::unique_ptr<DeviceMonitor> DeviceMonitor::create(const std::string& pci_bus_id) {
  const Nvml* library = nvml();
  NvmlDevice device = nullptr;
  if (library == nullptr || library->by_bus_id(pci_bus_id.c_str(), &device) != kNvmlSuccess) return nullptr;
  return std::make_unique<NvmlMonitor>(*library, device);
}

}  // namespace hadal::cuda
