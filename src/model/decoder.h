// The decoder that every architecture here shares:
//
//   h = embed(ids)
//   for each layer: h += attention(input_layernorm(h)); h += feed_forward(post_attention_layernorm(h))
//   logits = lm_head(norm(h)) for the rows that want them
//
// What differs (attention and feed-forward kinds) is in `layers/`; deepseek.cc and dense.cc choose them.
#pragma once

#include <memory>
#include <vector>

#include "model/layers/layer.h"
#include "model/model.h"
#include "model/scratch.h"
#include "model/weights.h"

namespace hadal {

struct DecoderLayer {
  DeviceTensor input_norm;
  DeviceTensor post_attention_norm;
  std::unique_ptr<AttentionLayer> attention;
  std::unique_ptr<FeedForward> feed_forward;
};

/// Everything that holds a decoder together, made step by step by make_decoder.
struct DecoderParts {
  ModelConfig config;
  ModelOptions options;
  std::shared_ptr<const Checkpoint> checkpoint;
  std::shared_ptr<Device> device;
  Communicator* communicator = nullptr;
  std::vector<CacheGroupLayout> groups;
  DeviceTensor rope_table;
  DeviceTensor embedding;
  DeviceTensor final_norm;
  Prepared lm_head;
  std::vector<DecoderLayer> layers;
  Buffer expert_load;  // what expert_counters points to
  ExpertCounters expert_counters;
  std::unique_ptr<Scratch> scratch;
  std::vector<Buffer> dummy_memory;  // WeightLoader::take_memory
};

/// Builds the attention of layer N; one function an architecture family.
struct LayerMaker {
  virtual ~LayerMaker() = default;
  virtual StatusOr<std::unique_ptr<AttentionLayer>> attention(int32_t layer, const float* rope_table,
                                                              WeightLoader& weights, Scratch& scratch) = 0;
  virtual StatusOr<std::unique_ptr<FeedForward>> feed_forward(int32_t layer, WeightLoader& weights,
                                                              Scratch& scratch) = 0;
};

StatusOr<std::unique_ptr<Model>> make_decoder(DecoderParts parts, LayerMaker& maker);

}  // namespace hadal
