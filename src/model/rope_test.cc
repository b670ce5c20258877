#include "model/rope.h"

#include <gtest/gtest.h>

#include <cmath>

namespace hadal {
namespace {

RopeConfig yarn_v3() {
  return {.theta = 10000,
          .scaling = RopeScaling::kYarn,
          .factor = 40,
          .original_max_position = 4096,
          .beta_fast = 32,
          .beta_slow = 1,
          .mscale = 1.0,
          .mscale_all_dim = 1.0};
}

/// specs/deepseek.md 2.3's anchor values, computed there in double precision.
TEST(Rope, YarnAnchors) {
  const auto frequencies = rope_inverse_frequencies(yarn_v3(), 64);
  ASSERT_EQ(frequencies.size(), 32u);
  const std::pair<size_t, double> anchors[] = {
      {0, 1.0},     {10, 0.05623413251903491},   {11, 0.03900692656714386}, {15, 0.008334508951020777},
      {16, 0.0055}, {22, 0.0001778279410038922}, {23, 3.33380358e-05},      {31, 3.33380358e-06}};
  for (const auto& [pair, want] : anchors) EXPECT_NEAR(frequencies[pair] / want, 1.0, 4e-7) << pair;
  EXPECT_EQ(frequencies[0], 1.0f);
}

/// The same section's anchor for another base: ramp from 15 to 25.
TEST(Rope, YarnAnchorOfV4) {
  const RopeConfig rope = {
      .theta = 160000, .scaling = RopeScaling::kYarn, .factor = 16, .original_max_position = 65536};
  EXPECT_NEAR(rope_inverse_frequencies(rope, 64)[16] / 0.002265625, 1.0, 4e-7);
  const auto plain = rope_inverse_frequencies({.theta = 160000}, 64);
  const auto scaled = rope_inverse_frequencies(rope, 64);
  for (size_t pair = 0; pair < 32; ++pair) {
    EXPECT_EQ(scaled[pair] == plain[pair], pair <= 15) << pair;
    EXPECT_EQ(std::fabs(scaled[pair] * 16 / plain[pair] - 1) < 1e-6, pair >= 25) << pair;
  }
}

TEST(Rope, PlainAndLinear) {
  const auto plain = rope_inverse_frequencies({.theta = 10000}, 128);
  const auto linear =
      rope_inverse_frequencies({.theta = 10000, .scaling = RopeScaling::kLinear, .factor = 4}, 128);
  for (size_t pair = 0; pair < 64; ++pair) {
    const double want = std::pow(10000.0, -2.0 * static_cast<double>(pair) / 128);
    EXPECT_NEAR(plain[pair] / want, 1.0, 2e-7);
    EXPECT_EQ(linear[pair], plain[pair] / 4);
  }
  EXPECT_EQ(rope_multiplier({.theta = 10000}), 1.0f);
}

TEST(Rope, Llama3) {
  RopeConfig rope = {.theta = 500000,
                     .scaling = RopeScaling::kLlama3,
                     .factor = 8,
                     .original_max_position = 8192,
                     .low_freq_factor = 1,
                     .high_freq_factor = 4};
  const auto scaled = rope_inverse_frequencies(rope, 128);
  rope.scaling = RopeScaling::kNone;
  const auto plain = rope_inverse_frequencies(rope, 128);
  int kept = 0, stretched = 0, between = 0;
  for (size_t pair = 0; pair < 64; ++pair) {
    const double f = plain[pair], wavelength = 2 * M_PI / f;
    const double smooth = (8192 / wavelength - 1) / 3;
    const double want = wavelength < 2048 ? f : wavelength > 8192 ? f / 8 : (1 - smooth) * f / 8 + smooth * f;
    EXPECT_NEAR(scaled[pair] / want, 1.0, 1e-6) << pair;
    ++(wavelength < 2048 ? kept : wavelength > 8192 ? stretched : between);
  }
  EXPECT_TRUE(kept > 0 && stretched > 0 && between > 0);
}

/// The table of specs/deepseek.md 2.2.
TEST(Rope, SoftmaxScales) {
  const MlaConfig mla = {.kv_lora_rank = 512, .nope = 128, .rope = 64, .v = 128};
  RopeConfig rope = yarn_v3();
  EXPECT_NEAR(mla_softmax_scale(mla, rope), 0.13523378, 1e-8);
  rope.mscale = rope.mscale_all_dim = 0.707;
  EXPECT_NEAR(mla_softmax_scale(mla, rope), 0.11472139, 1e-8);
  rope.mscale_all_dim = 0;
  EXPECT_NEAR(mla_softmax_scale(mla, rope), 0.07216878, 1e-8);
  EXPECT_NEAR(mla_softmax_scale(mla, {}), 0.07216878, 1e-8);
}

TEST(Rope, MultiplierIsOneForPublishedModels) {
  RopeConfig rope = yarn_v3();
  EXPECT_EQ(rope_multiplier(rope), 1.0f);
  rope.mscale = rope.mscale_all_dim = 0.707;
  EXPECT_EQ(rope_multiplier(rope), 1.0f);
  rope.mscale = 1.0;
  rope.mscale_all_dim = 0.5;
  EXPECT_NEAR(rope_multiplier(rope), (0.1 * std::log(40) + 1) / (0.05 * std::log(40) + 1), 1e-7);
  rope.factor = 1.0;  // mscale(1, m) = 1
  EXPECT_EQ(rope_multiplier(rope), 1.0f);
}

/// Angles are float32 products: at position 2499 the exact angle differs visibly (specs 2.10).
TEST(Rope, TableHasFloat32Angles) {
  RopeConfig rope = yarn_v3();
  rope.mscale_all_dim = 0.5;
  const float multiplier = rope_multiplier(rope);
  const auto frequencies = rope_inverse_frequencies(rope, 64);
  const auto table = rope_table(rope, 64, 2500);
  ASSERT_EQ(table.size(), 2500u * 64);
  for (int position : {0, 1, 63, 1000, 2499}) {
    for (size_t pair = 0; pair < 32; ++pair) {
      const float angle = static_cast<float>(position) * frequencies[pair];
      EXPECT_NEAR(table[static_cast<size_t>(position) * 64 + pair], multiplier * std::cos(double{angle}),
                  2e-7);
      EXPECT_NEAR(table[static_cast<size_t>(position) * 64 + 32 + pair], multiplier * std::sin(double{angle}),
                  2e-7);
    }
  }
  EXPECT_TRUE(rope_table(rope, 64, 0).empty());
}

}  // namespace
}  // namespace hadal
