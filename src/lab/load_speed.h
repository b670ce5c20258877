// Measures how fast weights come from their files to a device, beside what the files and the way to the
// device would allow: each round reads the files, copies pinned memory to the device and loads the model, so
// that the ratio compares figures of the same minute. Once with files that the page cache does not hold
// (cold) and once with files that it does (warm).
//
// Loading is timed from opening the checkpoint to the last byte on the device, everything included that comes
// between (allocations, small tensors, repacking).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "device/device.h"
#include "model/config.h"

namespace hadal {

struct LoadSpeedOptions {
  std::string folder;  // of the checkpoint
  DType compute = DType::kBF16;
  int32_t rounds = 3;
  uint64_t copied_bytes = uint64_t{512} << 20;  // of pinned memory, for the measure of the way to the device
  int32_t readers = 0;  // threads that read files for the measure; 0: as many as cores, from 4 to 16
};

struct LoadSpeed {
  double file_gb_per_s = 0.0;  // read from the files by several threads
  double load_gb_per_s = 0.0;
  double load_s = 0.0;
  /// Of the bytes, what the page cache held when loading began; negative if the system does not tell.
  double cached_share = 0.0;
  double ratio = 0.0;  // load over the lower of file and host-to-device, per round, then the median
};

struct LoadSpeedReport {
  std::string device;
  uint64_t bytes = 0;  // of the files
  int32_t files = 0, readers = 0;
  double host_to_device_gb_per_s = 0.0;  // pinned memory
  LoadSpeed cold, warm;                  // medians of the rounds
};

/// Errors: a device that reads weights in place has nothing to load; what loading the model says.
StatusOr<LoadSpeedReport> measure_loading(const std::shared_ptr<Device>& device, const ModelConfig& config,
                                          const LoadSpeedOptions& options);

}  // namespace hadal
