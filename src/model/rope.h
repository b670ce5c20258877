// Rotary embedding tables and the softmax scale that goes with them (specs/deepseek.md 2.2 to 2.4, 2.10).
//
// Angles are float32, as the reference computes them: inv_freq = 1 / base^(2i/dim), its scaling, and
// position * inv_freq are float32 operations, then cos and sin. The power is rounded correctly to float32
// (computed in double): one ulp of it is 2e-4 of the logits' deviation at position 2,500.
#pragma once

#include <cstdint>
#include <vector>

#include "model/config.h"

namespace hadal {

/// [dim / 2] inverse frequencies with the config's scaling applied.
std::vector<float> rope_inverse_frequencies(const RopeConfig& rope, int32_t dim);

/// What cos and sin are multiplied with: mscale(factor, mscale) / mscale(factor, mscale_all_dim) for YaRN,
/// else 1.
float rope_multiplier(const RopeConfig& rope);

/// [positions][dim]: dim/2 cosines, then dim/2 sines, multiplier applied (RopeArgs::table).
std::vector<float> rope_table(const RopeConfig& rope, int32_t dim, int32_t positions);

/// (nope + rope)^-0.5, times mscale(factor, mscale_all_dim)^2 under YaRN with mscale_all_dim != 0.
float mla_softmax_scale(const MlaConfig& mla, const RopeConfig& rope);

}  // namespace hadal
