// The ops that work row by row, element by element or record by record. Private to kernels/cpu.
#pragma once

#include "kernels/cpu/cpu_device.h"

namespace hadal::cpu {

Status embed(CpuDevice& device, const EmbedArgs& args);
Status gather(CpuDevice& device, const GatherArgs& args);
Status convert(CpuDevice& device, const ConvertArgs& args);
Status add(CpuDevice& device, const AddArgs& args);
Status silu_mul(CpuDevice& device, const SiluMulArgs& args);
Status rms_norm(CpuDevice& device, const RmsNormArgs& args);
Status rope(CpuDevice& device, const RopeArgs& args);

Status write_kv_mla(CpuDevice& device, const WriteKvMlaArgs& args);
Status write_kv_gqa(CpuDevice& device, const WriteKvGqaArgs& args);
Status copy_blocks(CpuDevice& device, const CopyBlocksArgs& args);
Status take_tokens(CpuDevice& device, const TakeTokensArgs& args);

}  // namespace hadal::cpu
