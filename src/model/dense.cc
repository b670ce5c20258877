#include "model/dense.h"

#include <algorithm>

#include "model/layers/feed_forward.h"
#include "model/layers/gqa.h"

namespace hadal {
namespace {

class DenseLayers final : public LayerMaker {
 public:
  DenseLayers(const ModelConfig& config, const std::vector<CacheGroupLayout>& groups, DType compute,
              Device& device)
      : config_(config), groups_(groups), compute_(compute), device_(device) {}

  StatusOr<std::unique_ptr<AttentionLayer>> attention(int32_t layer, const float* rope_table,
                                                      WeightLoader& weights, Scratch& scratch) override {
    return make_gqa_layer(config_, {layer, group_of(layer)}, compute_, rope_table, weights, device_, scratch);
  }

  StatusOr<std::unique_ptr<FeedForward>> feed_forward(int32_t layer, WeightLoader& weights,
                                                      Scratch& scratch) override {
    return make_dense_mlp(config_, fmt::format("model.layers.{}.mlp", layer), compute_, weights, device_,
                          scratch);
  }

 private:
  int32_t group_of(int32_t layer) const {
    for (size_t index = 0; index < groups_.size(); ++index) {
      const auto& layers = groups_[index].layers;
      if (std::find(layers.begin(), layers.end(), layer) != layers.end()) return static_cast<int32_t>(index);
    }
    return 0;  // not reached: the groups cover all layers
  }

  const ModelConfig config_;
  const std::vector<CacheGroupLayout> groups_;
  const DType compute_;
  Device& device_;
};

}  // namespace

std::vector<CacheGroupLayout> dense_cache_groups(const ModelConfig& config, DType cache) {
  const GqaConfig& gqa = *config.gqa;
  std::vector<CacheGroupLayout> groups;
  for (int32_t layer = 0; layer < config.layers; ++layer) {
    const int32_t window = gqa.layer_window[static_cast<size_t>(layer)];
    auto group = std::find_if(groups.begin(), groups.end(),
                              [&](const auto& candidate) { return candidate.window == window; });
    if (group == groups.end()) {
      CacheGroupLayout made;
      made.name = window > 0 ? "gqa_window" : "gqa";
      made.retention = window > 0 ? CacheRetention::kWindow : CacheRetention::kFull;
      made.window = window;
      made.dtype = made.rope_dtype = cache;
      made.token_bytes = int64_t{2} * gqa.kv_heads * gqa.head_dim * bytes_of(cache);
      group = groups.insert(groups.end(), std::move(made));
    }
    group->layers.push_back(layer);
  }
  return groups;
}

StatusOr<std::unique_ptr<Model>> make_dense(DecoderParts parts) {
  DenseLayers maker(parts.config, parts.groups, parts.options.compute, *parts.device);
  return make_decoder(std::move(parts), maker);
}

}  // namespace hadal
