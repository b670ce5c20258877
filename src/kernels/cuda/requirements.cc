#include "kernels/cuda/requirements.h"

#include <algorithm>
#include <string>

namespace hadal::cuda {
namespace {

constexpr int kOldestVersion = 12080;  // CUDA 12.8
constexpr int kOldestMajor = 8;        // compute capability: Ampere
constexpr int kDriverOf12 = 570, kDriverOf13 = 580;

std::string version_text(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

}  // namespace

/// A driver runs what was built with its own major version of CUDA or an earlier one.
Status check_driver_version(int supported, int built_with, std::string_view driver) {
  if (supported == 0) return failed_precondition("no NVIDIA driver is loaded");
  const int oldest = std::max(kOldestVersion, built_with / 1000 * 1000);
  if (supported >= oldest) return OkStatus();
  const std::string name = driver.empty() ? "the NVIDIA driver" : fmt::format("NVIDIA driver {}", driver);
  return failed_precondition("{} is too old: it runs CUDA {}, this program needs {} (driver {} or later)",
                             name, version_text(supported), version_text(oldest),
                             oldest < 13000 ? kDriverOf12 : kDriverOf13);
}

Status check_device_index(int32_t index, int count, const char* visible_devices) {
  const std::string limit =
      visible_devices == nullptr ? "" : fmt::format(" (CUDA_VISIBLE_DEVICES={})", visible_devices);
  if (count <= 0) return failed_precondition("no GPU is visible{}", limit);
  if (index >= 0 && index < count) return OkStatus();
  return invalid_argument("there is no GPU {}; {} visible{}", index, count, limit);
}

Status check_capability(std::string_view name, int major, int minor, CodeForDevice code) {
  if (major < kOldestMajor) {
    return failed_precondition("{} has compute capability {}.{}; {}.0 (Ampere) or later is needed", name,
                               major, minor, kOldestMajor);
  }
  if (code == CodeForDevice::kBuilt) return OkStatus();
  return failed_precondition(
      "libhadal_cuda.so was built without code for {} (compute capability {}.{}); preset cuda-release has it",
      name, major, minor);
}

}  // namespace hadal::cuda
