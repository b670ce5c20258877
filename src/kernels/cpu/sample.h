// The sampler. Private to kernels/cpu.
#pragma once

#include "kernels/cpu/cpu_device.h"

namespace hadal::cpu {

Status sample(CpuDevice& device, const SampleArgs& args);
uint64_t sample_workspace(const CpuDevice& device, const SampleArgs& args);

}  // namespace hadal::cpu
