// The parts of config.json, each read by a function of its own. Private to this room. Errors stay in the
// reader.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "model/config.h"
#include "model/config_reader.h"

namespace hadal {

inline constexpr ConfigReader::Range kDimension = {1, 1 << 20};  // hidden sizes, head counts, ranks
inline constexpr ConfigReader::Range kCount = {0, 1 << 20};

/// rope_theta, rope_scaling, rope_parameters. Sets everything but the layout.
RopeConfig read_rope(ConfigReader& in);
MlaConfig read_mla(ConfigReader& in, const ModelConfig& config);
GqaConfig read_gqa(ConfigReader& in, const ModelConfig& config);
MoeConfig read_moe(ConfigReader& in, const ModelConfig& config);
QuantConfig read_quantization(ConfigReader& in);

}  // namespace hadal
