// Default lowering of composite ops to the small ones, for backends that have nothing better. Each function
// runs ops through `device.run`, so that measuring, and a backend's partial support, work alike.
#pragma once

#include "base/status.h"
#include "device/device.h"

namespace hadal {

Status lower_mla_prologue(Device& device, BackendStream* stream, const MlaPrologueArgs& args);
Status lower_gqa_prologue(Device& device, BackendStream* stream, const GqaPrologueArgs& args);
Status lower_moe_block(Device& device, BackendStream* stream, const MoeBlockArgs& args);
Status lower_mlp(Device& device, BackendStream* stream, const MlpArgs& args);
Status lower_all_reduce_norm(Device& device, BackendStream* stream, const AllReduceNormArgs& args);

}  // namespace hadal
