#include "model/layers/mla.h"

#include <array>

#include "model/rope.h"

namespace hadal {
namespace {

// The latent norms are built without an eps in the reference, so they have its module default, not
// rms_norm_eps.
constexpr float kLatentNormEps = 1e-6f;

class MlaLayer final : public AttentionLayer {
 public:
  int32_t cache_group() const override { return 0; }
  void bind_cache(const CacheLayer& cache) override { cache_ = cache; }

  Status forward(const LayerContext& context) override {
    const Mat q = context.scratch.mat(Slot::kQuery, DType::kF32, context.tokens, query_width());
    RETURN_IF_ERROR(prologue(context, q));
    const Mat attended =
        context.scratch.mat(Slot::kAttention, context.compute, context.tokens, shape_.heads * shape_.v);
    RETURN_IF_ERROR(context.device.run(context.stream, OpKind::kMlaAttention,
                                       MlaAttentionArgs{.workspace = {},
                                                        .q = q,
                                                        .kv_b = weights_.member(kMlaKvB),
                                                        .shape = shape_,
                                                        .cache = cache_,
                                                        .batch = context.batch,
                                                        .group = &context.groups[cache_group()],
                                                        .scale = scale_,
                                                        .out = attended}));
    return context.device.run(context.stream, OpKind::kLinear,
                              LinearArgs{.workspace = {},
                                         .x = attended,
                                         .weight = weights_.member(kMlaO),
                                         .out = context.delta(hidden_),
                                         .accumulate = 0});
  }

 private:
  friend StatusOr<std::unique_ptr<AttentionLayer>> hadal::make_mla_layer(const ModelConfig&,
                                                                         const std::string&, DType,
                                                                         const float*, WeightLoader&, Device&,
                                                                         Scratch&);
  int64_t query_width() const { return int64_t{shape_.heads} * (shape_.nope + shape_.rope); }

  Status prologue(const LayerContext& context, const Mat& q) {
    MlaPrologueArgs args{};
    args.x = context.normed(hidden_);
    args.mla = weights_.group();
    args.shape = shape_;
    args.q_lora = q_lora_;
    args.q_a_norm = q_a_norm_.data;
    args.kv_a_norm = kv_a_norm_.data;
    args.norm_dtype = kv_a_norm_.dtype;
    args.norm_eps = kLatentNormEps;
    args.rope_layout = rope_layout_;
    args.positions = context.batch->positions;
    args.rope_table = rope_table_;
    args.cache = cache_;
    args.slots = context.groups[cache_group()].slots;
    args.q = q;
    if (q_lora_ > 0) {
      args.q_latent = context.scratch.mat(Slot::kQueryLatent, DType::kF32, context.tokens, q_lora_);
      args.q_normed = context.scratch.mat(Slot::kQueryNormed, context.compute, context.tokens, q_lora_);
    }
    args.kv = context.scratch.mat(Slot::kKeyValue, DType::kF32, context.tokens, shape_.kv_lora + shape_.rope);
    return context.device.run(context.stream, OpKind::kMlaPrologue, args);
  }

  int64_t hidden_ = 0;
  int32_t q_lora_ = 0;
  MlaShape shape_;
  float scale_ = 0.0f;
  RopeLayout rope_layout_ = RopeLayout::kInterleaved;
  const float* rope_table_ = nullptr;
  DeviceTensor q_a_norm_, kv_a_norm_;
  Prepared weights_;
  CacheLayer cache_;
};

/// The block's matrices as the checkpoint holds them, indexed by MlaMember.
StatusOr<std::array<WeightRef, kMlaMembers>> take_matrices(const ModelConfig& config, const MlaShape& shape,
                                                           const std::string& prefix, WeightLoader& weights) {
  const MlaConfig& mla = *config.mla;
  const BiasWanted bias = mla.bias ? BiasWanted::kYes : BiasWanted::kNo;
  const int64_t query_width = int64_t{shape.heads} * (shape.nope + shape.rope);
  std::array<WeightRef, kMlaMembers> members;
  if (mla.q_lora_rank > 0) {
    ASSIGN_OR_RETURN(members[kMlaQA],
                     weights.linear(prefix + ".q_a_proj", mla.q_lora_rank, config.hidden, bias));
    ASSIGN_OR_RETURN(members[kMlaQB], weights.linear(prefix + ".q_b_proj", query_width, mla.q_lora_rank));
  } else {
    ASSIGN_OR_RETURN(members[kMlaQ], weights.linear(prefix + ".q_proj", query_width, config.hidden));
  }
  ASSIGN_OR_RETURN(members[kMlaKvA], weights.linear(prefix + ".kv_a_proj_with_mqa",
                                                    shape.kv_lora + shape.rope, config.hidden, bias));
  ASSIGN_OR_RETURN(
      members[kMlaKvB],
      weights.linear(prefix + ".kv_b_proj", int64_t{shape.heads} * (shape.nope + shape.v), shape.kv_lora));
  ASSIGN_OR_RETURN(members[kMlaO],
                   weights.linear(prefix + ".o_proj", config.hidden, int64_t{shape.heads} * shape.v, bias));
  return members;
}

}  // namespace

StatusOr<std::unique_ptr<AttentionLayer>> make_mla_layer(const ModelConfig& config, const std::string& prefix,
                                                         DType compute, const float* rope_table,
                                                         WeightLoader& weights, Device& device,
                                                         Scratch& scratch) {
  const MlaConfig& mla = *config.mla;
  auto layer = std::make_unique<MlaLayer>();
  layer->hidden_ = config.hidden;
  layer->q_lora_ = mla.q_lora_rank;
  layer->shape_ = MlaShape{config.heads, mla.nope, mla.rope, mla.v, mla.kv_lora_rank};
  layer->scale_ = mla_softmax_scale(mla, config.rope);
  layer->rope_layout_ = config.rope.layout;
  layer->rope_table_ = rope_table;
  ASSIGN_OR_RETURN(layer->kv_a_norm_, weights.tensor(prefix + ".kv_a_layernorm.weight", {mla.kv_lora_rank}));
  if (mla.q_lora_rank > 0) {
    ASSIGN_OR_RETURN(layer->q_a_norm_, weights.tensor(prefix + ".q_a_layernorm.weight", {mla.q_lora_rank}));
    if (layer->q_a_norm_.dtype != layer->kv_a_norm_.dtype) {
      return unimplemented("{}: q_a_layernorm and kv_a_layernorm have different dtypes", prefix);
    }
  }
  ASSIGN_OR_RETURN(const auto members, take_matrices(config, layer->shape_, prefix, weights));
  ASSIGN_OR_RETURN(layer->weights_, device.prepare(WeightGroup{.kind = GroupKind::kMla,
                                                               .members = members.data(),
                                                               .count = kMlaMembers,
                                                               .mla = layer->shape_,
                                                               .compute = compute}));
  scratch.reserve(Slot::kQuery, DType::kF32, layer->query_width());
  scratch.reserve(Slot::kQueryLatent, DType::kF32, mla.q_lora_rank);
  scratch.reserve(Slot::kQueryNormed, compute, mla.q_lora_rank);
  scratch.reserve(Slot::kKeyValue, DType::kF32, mla.kv_lora_rank + mla.rope);
  scratch.reserve(Slot::kAttention, compute, int64_t{config.heads} * mla.v);
  return StatusOr<std::unique_ptr<AttentionLayer>>(std::move(layer));
}

}  // namespace hadal
