#include "model/deepseek.h"

#include <numeric>

#include "model/layers/feed_forward.h"
#include "model/layers/mla.h"

namespace hadal {
namespace {

class DeepseekLayers final : public LayerMaker {
 public:
  DeepseekLayers(const ModelConfig& config, DType compute, Device& device)
      : config_(config), compute_(compute), device_(device) {}

  StatusOr<std::unique_ptr<AttentionLayer>> attention(int32_t layer, const float* rope_table,
                                                      WeightLoader& weights, Scratch& scratch) override {
    return make_mla_layer(config_, fmt::format("model.layers.{}.self_attn", layer), compute_, rope_table,
                          weights, device_, scratch);
  }

  StatusOr<std::unique_ptr<FeedForward>> feed_forward(int32_t layer, WeightLoader& weights,
                                                      Scratch& scratch) override {
    const std::string prefix = fmt::format("model.layers.{}.mlp", layer);
    return config_.is_moe_layer(layer) ? make_moe(config_, prefix, compute_, weights, device_, scratch)
                                       : make_dense_mlp(config_, prefix, compute_, weights, device_, scratch);
  }

 private:
  const ModelConfig config_;
  const DType compute_;
  Device& device_;
};

}  // namespace

std::vector<CacheGroupLayout> deepseek_cache_groups(const ModelConfig& config, DType cache) {
  CacheGroupLayout group;
  group.name = "mla";
  group.layers.resize(static_cast<size_t>(config.layers));
  std::iota(group.layers.begin(), group.layers.end(), 0);
  group.dtype = cache;
  // the rotary part keeps 16 bits under an 8-bit cache: its error is not averaged over the latent's width
  group.rope_dtype = bytes_of(cache) == 1 ? DType::kBF16 : cache;
  group.token_bytes =
      config.mla->kv_lora_rank * bytes_of(group.dtype) + config.mla->rope * bytes_of(group.rope_dtype);
  return {group};
}

StatusOr<std::unique_ptr<Model>> make_deepseek(DecoderParts parts) {
  DeepseekLayers maker(parts.config, parts.options.compute, *parts.device);
  return make_decoder(std::move(parts), maker);
}

}  // namespace hadal
