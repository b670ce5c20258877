// Routing and the experts. Private to kernels/cpu.
#pragma once

#include "kernels/cpu/cpu_device.h"

namespace hadal::cpu {

Status route_experts(CpuDevice& device, const RouteExpertsArgs& args);

Status moe_experts(CpuDevice& device, const MoeExpertsArgs& args);
uint64_t moe_experts_workspace(const CpuDevice& device, const MoeExpertsArgs& args);

}  // namespace hadal::cpu
