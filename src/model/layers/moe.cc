#include <array>
#include <vector>

#include "model/layers/feed_forward.h"

namespace hadal {
namespace {

class MoeFeedForward final : public FeedForward {
 public:
  Status forward(const LayerContext& context) override {
    MoeBlockArgs args{};
    args.x = context.normed(hidden_);
    args.gate = gate_.member(0);
    args.route = RouteExpertsArgs{
        .logits = context.scratch.mat(Slot::kRouterLogits, DType::kF32, context.tokens, moe_.routed),
        .bias = static_cast<const float*>(correction_bias_.data),
        .scoring = moe_.scoring,
        .method = moe_.method,
        .top_k = moe_.top_k,
        .n_group = moe_.n_group,
        .topk_group = moe_.topk_group,
        .norm_topk_prob = moe_.norm_topk_prob ? 1 : 0,
        .routed_scaling_factor = static_cast<float>(moe_.routed_scaling_factor),
        .ids = context.scratch.array<int32_t>(Slot::kRouteIds),
        .weights = context.scratch.array<float>(Slot::kRouteWeights),
        .live_rows = context.batch->live_tokens,
        .expert_load = expert_load_};
    args.out = context.delta(hidden_);
    args.experts = MoeExpertsArgs{.workspace = {},
                                  .x = args.x,
                                  .experts = experts_.group(),
                                  .num_experts = moe_.routed,
                                  .intermediate = moe_.intermediate,
                                  .ids = args.route.ids,
                                  .weights = args.route.weights,
                                  .top_k = moe_.top_k,
                                  .out = args.out,
                                  .live_rows = args.route.live_rows};
    args.shared = shared_.group();
    if (shared_) {
      const int64_t width = int64_t{moe_.shared} * moe_.intermediate;
      args.shared_gate = context.scratch.mat(Slot::kGate, DType::kF32, context.tokens, width);
      args.shared_up = context.scratch.mat(Slot::kUp, DType::kF32, context.tokens, width);
      args.shared_hidden = context.scratch.mat(Slot::kHiddenMlp, context.compute, context.tokens, width);
    }
    return context.device.run(context.stream, OpKind::kMoeBlock, args);
  }

  int32_t experts() const override { return moe_.routed; }
  void bind_expert_load(uint32_t* counters) override { expert_load_ = counters; }

 private:
  friend StatusOr<std::unique_ptr<FeedForward>> hadal::make_moe(const ModelConfig&, const std::string&, DType,
                                                                WeightLoader&, Device&, Scratch&);
  int64_t hidden_ = 0;
  MoeConfig moe_;
  Prepared gate_, experts_, shared_;
  DeviceTensor correction_bias_;
  uint32_t* expert_load_ = nullptr;
};

StatusOr<Prepared> prepare_experts(const ModelConfig& config, const std::string& prefix, DType compute,
                                   WeightLoader& weights, Device& device) {
  const MoeConfig& moe = config.moe;
  std::vector<WeightRef> members(static_cast<size_t>(moe.routed) * kMlpMembers);
  for (int32_t expert = 0; expert < moe.routed; ++expert) {
    const std::string module = fmt::format("{}.experts.{}", prefix, expert);
    WeightRef* mine = &members[static_cast<size_t>(expert) * kMlpMembers];
    ASSIGN_OR_RETURN(mine[kMlpGate], weights.linear(module + ".gate_proj", moe.intermediate, config.hidden));
    ASSIGN_OR_RETURN(mine[kMlpUp], weights.linear(module + ".up_proj", moe.intermediate, config.hidden));
    ASSIGN_OR_RETURN(mine[kMlpDown], weights.linear(module + ".down_proj", config.hidden, moe.intermediate));
  }
  return device.prepare(WeightGroup{.kind = GroupKind::kExperts,
                                    .members = members.data(),
                                    .count = static_cast<int32_t>(members.size()),
                                    .mla = {},
                                    .compute = compute});
}

}  // namespace

StatusOr<std::unique_ptr<FeedForward>> make_moe(const ModelConfig& config, const std::string& prefix,
                                                DType compute, WeightLoader& weights, Device& device,
                                                Scratch& scratch) {
  const MoeConfig& moe = config.moe;
  auto layer = std::make_unique<MoeFeedForward>();
  layer->hidden_ = config.hidden;
  layer->moe_ = moe;

  ASSIGN_OR_RETURN(const WeightRef gate, weights.linear(prefix + ".gate", moe.routed, config.hidden));
  ASSIGN_OR_RETURN(
      layer->gate_,
      device.prepare(WeightGroup{
          .kind = GroupKind::kLinear, .members = &gate, .count = 1, .mla = {}, .compute = compute}));
  if (moe.method == TopkMethod::kNoauxTc) {
    ASSIGN_OR_RETURN(layer->correction_bias_,
                     weights.tensor_f32(prefix + ".gate.e_score_correction_bias", {moe.routed}));
  }
  ASSIGN_OR_RETURN(layer->experts_, prepare_experts(config, prefix, compute, weights, device));
  if (moe.shared > 0) {
    const int64_t width = int64_t{moe.shared} * moe.intermediate;
    ASSIGN_OR_RETURN(layer->shared_,
                     prepare_mlp(config, prefix + ".shared_experts", width, compute, weights, device));
    scratch.reserve(Slot::kGate, DType::kF32, width);
    scratch.reserve(Slot::kUp, DType::kF32, width);
    scratch.reserve(Slot::kHiddenMlp, compute, width);
  }
  scratch.reserve(Slot::kRouterLogits, DType::kF32, moe.routed);
  scratch.reserve(Slot::kRouteIds, DType::kI32, moe.top_k);
  scratch.reserve(Slot::kRouteWeights, DType::kF32, moe.top_k);
  return StatusOr<std::unique_ptr<FeedForward>>(std::move(layer));
}

}  // namespace hadal
