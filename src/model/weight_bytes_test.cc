#include "model/weight_bytes.h"

#include <gtest/gtest.h>

namespace hadal {
namespace {

ModelConfig v2_lite() {
  ModelConfig config;
  config.vocab = 102400;
  config.hidden = 2048;
  config.intermediate = 10944;
  config.layers = 27;
  config.heads = 16;
  config.torch_dtype = DType::kBF16;
  config.mla = MlaConfig{.q_lora_rank = 0, .kv_lora_rank = 512, .nope = 128, .rope = 64, .v = 128};
  config.moe = {.routed = 64, .shared = 2, .top_k = 6, .intermediate = 1408, .first_dense = 1};
  return config;
}

// DeepSeek-V2-Lite has 15.7 billion parameters; a step of one token reads 4.9 GB of them, of 64 tokens nearly
// all.
TEST(WeightBytes, OfAPublishedMixtureOfExperts) {
  const ModelConfig config = v2_lite();
  const WeightBytes bytes = weight_bytes_of(config);
  EXPECT_EQ(bytes.routed_expert, 3u * 2048 * 1408 * 2);
  EXPECT_EQ(bytes.moe_layers, 26);
  EXPECT_NEAR(static_cast<double>(bytes.total), 2 * 15.706e9, 0.01e9);
  EXPECT_NEAR(bytes.read_by_step(config, 1), 4.90e9, 0.02e9);
  EXPECT_NEAR(bytes.read_by_step(config, 64), 30.94e9, 0.05e9);
}

TEST(WeightBytes, QuantisedMatricesCountInTheirFormat) {
  ModelConfig config = v2_lite();
  const uint64_t dense = weight_bytes_of(config).routed_expert;
  config.quant.method = QuantMethod::kFp8;
  EXPECT_EQ(weight_bytes_of(config).routed_expert, dense / 2 + 3u * 4 * 11 * 16);
  config.quant.method = QuantMethod::kAwq;
  EXPECT_EQ(weight_bytes_of(config).routed_expert, dense / 4 + (2 * 16 * 1408 + 11 * 2048) * 5u / 2);
}

}  // namespace
}  // namespace hadal
