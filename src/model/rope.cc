#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace hadal {
namespace {

constexpr double kPi = std::numbers::pi;

/// 0.1 m ln(s) + 1 for s > 1, else 1.
double yarn_mscale(double factor, double mscale) {
  return factor > 1.0 ? 0.1 * mscale * std::log(factor) + 1.0 : 1.0;
}

/// base^(2i/dim) as the reference's float32 has it: exponent rounded to float32, then one rounding of the
/// power.
float pair_period(const RopeConfig& rope, int32_t dim, int32_t pair) {
  const float exponent = static_cast<float>(2 * pair) / static_cast<float>(dim);
  const auto base = static_cast<float>(rope.theta);
  return static_cast<float>(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
}

float llama3_scaled(const RopeConfig& rope, float frequency) {
  const auto factor = static_cast<float>(rope.factor);
  const auto low = static_cast<float>(rope.low_freq_factor), high = static_cast<float>(rope.high_freq_factor);
  const auto original = static_cast<float>(rope.original_max_position);
  const float wavelength = static_cast<float>(2 * kPi) / frequency;
  if (wavelength < original / high) return frequency;
  if (wavelength > original / low) return frequency / factor;
  const float smooth = (original / wavelength - low) / (high - low);
  return (1.0f - smooth) * frequency / factor + smooth * frequency;
}

/// Where the ramp between kept and stretched frequencies begins and ends, as pair numbers.
struct YarnRamp {
  float low;
  float high;

  YarnRamp(const RopeConfig& rope, int32_t dim) {
    const auto pair_of = [&](double rotations) {
      return dim * std::log(rope.original_max_position / (rotations * 2 * kPi)) / (2 * std::log(rope.theta));
    };
    low = static_cast<float>(std::max(std::floor(pair_of(rope.beta_fast)), 0.0));
    high = static_cast<float>(std::min(std::ceil(pair_of(rope.beta_slow)), static_cast<double>(dim - 1)));
    if (low == high) high += 0.001f;
  }
  float at(int32_t pair) const {
    return std::clamp((static_cast<float>(pair) - low) / (high - low), 0.0f, 1.0f);
  }
};

}  // namespace

std::vector<float> rope_inverse_frequencies(const RopeConfig& rope, int32_t dim) {
  std::vector<float> out(static_cast<size_t>(dim / 2));
  const auto factor = static_cast<float>(rope.factor);
  const bool yarn = rope.scaling == RopeScaling::kYarn;
  const YarnRamp ramp(yarn ? rope : RopeConfig{.original_max_position = 1}, dim);
  for (int32_t pair = 0; pair < dim / 2; ++pair) {
    const float period = pair_period(rope, dim, pair);
    float frequency = 1.0f / period;
    if (rope.scaling == RopeScaling::kLinear) frequency /= factor;
    if (rope.scaling == RopeScaling::kLlama3) frequency = llama3_scaled(rope, frequency);
    if (yarn) {
      const float kept = 1.0f - ramp.at(pair);
      frequency = 1.0f / (factor * period) * (1.0f - kept) + frequency * kept;
    }
    out[static_cast<size_t>(pair)] = frequency;
  }
  return out;
}

float rope_multiplier(const RopeConfig& rope) {
  if (rope.scaling != RopeScaling::kYarn) return 1.0f;
  return static_cast<float>(yarn_mscale(rope.factor, rope.mscale) /
                            yarn_mscale(rope.factor, rope.mscale_all_dim));
}

std::vector<float> rope_table(const RopeConfig& rope, int32_t dim, int32_t positions) {
  const std::vector<float> frequencies = rope_inverse_frequencies(rope, dim);
  const float multiplier = rope_multiplier(rope);
  const size_t pairs = frequencies.size();
  std::vector<float> table(static_cast<size_t>(positions) * 2 * pairs);
  for (int32_t position = 0; position < positions; ++position) {
    float* row = table.data() + static_cast<size_t>(position) * 2 * pairs;
    for (size_t pair = 0; pair < pairs; ++pair) {
      const float angle = static_cast<float>(position) * frequencies[pair];
      row[pair] = static_cast<float>(std::cos(static_cast<double>(angle))) * multiplier;
      row[pairs + pair] = static_cast<float>(std::sin(static_cast<double>(angle))) * multiplier;
    }
  }
  return table;
}

float mla_softmax_scale(const MlaConfig& mla, const RopeConfig& rope) {
  double scale = 1.0 / std::sqrt(static_cast<double>(mla.nope + mla.rope));
  if (rope.scaling == RopeScaling::kYarn && rope.mscale_all_dim != 0.0) {
    const double mscale = yarn_mscale(rope.factor, rope.mscale_all_dim);
    scale *= mscale * mscale;
  }
  return static_cast<float>(scale);
}

}  // namespace hadal
