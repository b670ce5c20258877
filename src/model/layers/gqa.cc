#include "model/layers/gqa.h"

#include <array>
#include <cmath>

namespace hadal {
namespace {

class GqaLayer final : public AttentionLayer {
 public:
  int32_t cache_group() const override { return place_.cache_group; }
  void bind_cache(const CacheLayer& cache) override { cache_ = cache; }

  Status forward(const LayerContext& context) override {
    const Mat q = context.scratch.mat(Slot::kQuery, DType::kF32, context.tokens, int64_t{heads_} * head_dim_);
    const Mat k =
        context.scratch.mat(Slot::kKeyValue, DType::kF32, context.tokens, int64_t{kv_heads_} * head_dim_);
    const Mat v =
        context.scratch.mat(Slot::kValue, DType::kF32, context.tokens, int64_t{kv_heads_} * head_dim_);
    const GroupMeta& group = context.groups[place_.cache_group];
    RETURN_IF_ERROR(context.device.run(context.stream, OpKind::kGqaPrologue,
                                       GqaPrologueArgs{.workspace = {},
                                                       .x = context.normed(hidden_),
                                                       .gqa = weights_.group(),
                                                       .heads = heads_,
                                                       .kv_heads = kv_heads_,
                                                       .head_dim = head_dim_,
                                                       .rope_layout = rope_layout_,
                                                       .positions = context.batch->positions,
                                                       .rope_table = rope_table_,
                                                       .cache = cache_,
                                                       .slots = group.slots,
                                                       .q = q,
                                                       .k = k,
                                                       .v = v}));
    const Mat attended =
        context.scratch.mat(Slot::kAttention, context.compute, context.tokens, int64_t{heads_} * head_dim_);
    RETURN_IF_ERROR(context.device.run(context.stream, OpKind::kGqaAttention,
                                       GqaAttentionArgs{.workspace = {},
                                                        .q = q,
                                                        .heads = heads_,
                                                        .kv_heads = kv_heads_,
                                                        .head_dim = head_dim_,
                                                        .window = window_,
                                                        .cache = cache_,
                                                        .batch = context.batch,
                                                        .group = &group,
                                                        .scale = scale_,
                                                        .out = attended}));
    return context.device.run(context.stream, OpKind::kLinear,
                              LinearArgs{.workspace = {},
                                         .x = attended,
                                         .weight = weights_.member(kGqaO),
                                         .out = context.delta(hidden_),
                                         .accumulate = 0});
  }

 private:
  friend StatusOr<std::unique_ptr<AttentionLayer>> hadal::make_gqa_layer(const ModelConfig&, GqaLayerPlace,
                                                                         DType, const float*, WeightLoader&,
                                                                         Device&, Scratch&);

  GqaLayerPlace place_;
  int64_t hidden_ = 0;
  int32_t heads_ = 0, kv_heads_ = 0, head_dim_ = 0, window_ = 0;
  float scale_ = 0.0f;
  RopeLayout rope_layout_ = RopeLayout::kHalfSplit;
  const float* rope_table_ = nullptr;
  Prepared weights_;
  CacheLayer cache_;
};

}  // namespace

StatusOr<std::unique_ptr<AttentionLayer>> make_gqa_layer(const ModelConfig& config, GqaLayerPlace place,
                                                         DType compute, const float* rope_table,
                                                         WeightLoader& weights, Device& device,
                                                         Scratch& scratch) {
  const GqaConfig& gqa = *config.gqa;
  const std::string prefix = fmt::format("model.layers.{}.self_attn", place.layer);
  const BiasWanted qkv_bias = gqa.qkv_bias ? BiasWanted::kYes : BiasWanted::kNo;
  const BiasWanted o_bias = gqa.o_bias ? BiasWanted::kYes : BiasWanted::kNo;
  const int64_t query_width = int64_t{config.heads} * gqa.head_dim;
  const int64_t kv_width = int64_t{gqa.kv_heads} * gqa.head_dim;

  auto layer = std::make_unique<GqaLayer>();
  layer->place_ = place;
  layer->hidden_ = config.hidden;
  layer->heads_ = config.heads;
  layer->kv_heads_ = gqa.kv_heads;
  layer->head_dim_ = gqa.head_dim;
  layer->window_ = gqa.layer_window[static_cast<size_t>(place.layer)];
  layer->scale_ = static_cast<float>(1.0 / std::sqrt(static_cast<double>(gqa.head_dim)));
  layer->rope_layout_ = config.rope.layout;
  layer->rope_table_ = rope_table;

  std::array<WeightRef, kGqaMembers> members;
  ASSIGN_OR_RETURN(members[kGqaQ], weights.linear(prefix + ".q_proj", query_width, config.hidden, qkv_bias));
  ASSIGN_OR_RETURN(members[kGqaK], weights.linear(prefix + ".k_proj", kv_width, config.hidden, qkv_bias));
  ASSIGN_OR_RETURN(members[kGqaV], weights.linear(prefix + ".v_proj", kv_width, config.hidden, qkv_bias));
  ASSIGN_OR_RETURN(members[kGqaO], weights.linear(prefix + ".o_proj", config.hidden, query_width, o_bias));
  ASSIGN_OR_RETURN(layer->weights_, device.prepare(WeightGroup{.kind = GroupKind::kGqa,
                                                               .members = members.data(),
                                                               .count = kGqaMembers,
                                                               .mla = {},
                                                               .compute = compute}));
  scratch.reserve(Slot::kQuery, DType::kF32, query_width);
  scratch.reserve(Slot::kKeyValue, DType::kF32, kv_width);
  scratch.reserve(Slot::kValue, DType::kF32, kv_width);
  scratch.reserve(Slot::kAttention, compute, query_width);
  return StatusOr<std::unique_ptr<AttentionLayer>>(std::move(layer));
}

}  // namespace hadal
