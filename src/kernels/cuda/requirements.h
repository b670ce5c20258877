// What a machine must have for this backend, as decisions over what was found, so that each refusal (one
// line, with names and numbers) is tested without such a machine. Private to kernels/cuda; needs no CUDA.
//
// CUDA versions are as the runtime gives them: 12080 is 12.8. Threads: any.
#pragma once

#include <cstdint>
#include <string_view>

#include "kernels/cuda/status.h"

namespace hadal::cuda {

/// `supported`: the latest CUDA that the driver runs, 0 without one. `built_with`: the CUDA of this build.
/// `driver`: its own version ("580.159.04"), "" where it is not known.
Status check_driver_version(int supported, int built_with, std::string_view driver);

/// GPU `index` of `count` that this process sees; `visible_devices`: CUDA_VISIBLE_DEVICES, null where unset.
Status check_device_index(int32_t index, int count, const char* visible_devices);

enum class CodeForDevice : uint8_t { kNone, kBuilt };
Status check_capability(std::string_view name, int major, int minor, CodeForDevice code);

}  // namespace hadal::cuda
