#include "kernels/cpu/cpu_device.h"

#include <cstdlib>

namespace hadal::cpu {

static_assert(static_cast<int>(DType::kF32) == kElemF32 && static_cast<int>(DType::kBF16) == kElemBF16 &&
              static_cast<int>(DType::kF16) == kElemF16 && static_cast<int>(DType::kF8E4M3) == kElemE4M3 &&
              static_cast<int>(DType::kF8E5M2) == kElemE5M2);

CpuDevice::CpuDevice(Isa chosen, int threads)
    : isa(chosen),
      kernels(kernels_of(chosen)),
      pool(threads),
      scratch(static_cast<char*>(std::aligned_alloc(
                  4096, static_cast<size_t>(kThreadScratch) * static_cast<size_t>(threads))),
              &std::free) {}

IsaKernels kernels_of(Isa isa) {
#if defined(__x86_64__)
  switch (isa) {
    case Isa::kAvx512Bf16:
      return {&kDotAvx512Bf16, &kVectorAvx512, &kDecodeAvx512};
    case Isa::kAvx512:
      return {&kDotAvx512, &kVectorAvx512, &kDecodeAvx512};
    case Isa::kAvx2:
      return {&kDotAvx2, &kVectorAvx2, &kDecodeAvx2};
    case Isa::kPortable:
      break;
  }
#endif
  return {&kDotPortable, &kVectorPortable, &kDecodePortable};
}

std::string used_name(Used kernel, Isa isa) {
  static constexpr const char* kNames[] = {
      "embed",      "rms_norm",      "rope",         "silu_mul",     "add",          "convert",
      "gather",     "write_kv_mla",  "write_kv_gqa", "mla_expanded", "mla_absorbed", "gqa_prompt",
      "gqa_output", "route_experts", "sample",       "copy_blocks",  "take_tokens"};
  static_assert(std::size(kNames) == static_cast<size_t>(Used::kLinear));
  static constexpr const char* kX[] = {"f32", "bf16"};
  static constexpr const char* kW[] = {"f32", "bf16", "f16", "fp8", "awq"};
  std::string name = "cpu.";
  if (kernel < Used::kLinear) {
    name += kNames[static_cast<size_t>(kernel)];
  } else {
    const bool linear = kernel < Used::kMoe;
    const int variant = static_cast<int>(kernel) - static_cast<int>(linear ? Used::kLinear : Used::kMoe);
    name += linear ? "linear." : "moe_experts.";
    name += std::string(kX[variant / 5]) + "x" + kW[variant % 5];
  }
  return name + "." + std::string(isa_name(isa));
}

Status check_workspace(std::string_view op, const Workspace& workspace, uint64_t needed) {
  if (needed == 0 || (workspace.data != nullptr && workspace.bytes >= needed)) return OkStatus();
  return internal_error("{}: the workspace holds {} bytes and {} are needed", op, workspace.bytes, needed);
}

}  // namespace hadal::cpu
