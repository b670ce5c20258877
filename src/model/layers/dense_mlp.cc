#include <array>

#include "model/layers/feed_forward.h"

namespace hadal {
namespace {

class DenseMlp final : public FeedForward {
 public:
  DenseMlp(int64_t hidden, int64_t width, Prepared weights)
      : hidden_(hidden), width_(width), weights_(std::move(weights)) {}

  Status forward(const LayerContext& context) override {
    MlpArgs args{};
    args.x = context.normed(hidden_);
    args.mlp = weights_.group();
    args.gate = context.scratch.mat(Slot::kGate, DType::kF32, context.tokens, width_);
    args.up = context.scratch.mat(Slot::kUp, DType::kF32, context.tokens, width_);
    args.hidden = context.scratch.mat(Slot::kHiddenMlp, context.compute, context.tokens, width_);
    args.out = context.delta(hidden_);
    return context.device.run(context.stream, OpKind::kMlp, args);
  }

 private:
  int64_t hidden_, width_;
  Prepared weights_;
};

}  // namespace

StatusOr<Prepared> prepare_mlp(const ModelConfig& config, const std::string& prefix, int64_t width,
                               DType compute, WeightLoader& weights, Device& device) {
  const BiasWanted bias = config.mlp_bias ? BiasWanted::kYes : BiasWanted::kNo;
  std::array<WeightRef, kMlpMembers> members;
  ASSIGN_OR_RETURN(members[kMlpGate], weights.linear(prefix + ".gate_proj", width, config.hidden, bias));
  ASSIGN_OR_RETURN(members[kMlpUp], weights.linear(prefix + ".up_proj", width, config.hidden, bias));
  ASSIGN_OR_RETURN(members[kMlpDown], weights.linear(prefix + ".down_proj", config.hidden, width, bias));
  return device.prepare(WeightGroup{.kind = GroupKind::kMlp,
                                    .members = members.data(),
                                    .count = kMlpMembers,
                                    .mla = {},
                                    .compute = compute});
}

StatusOr<std::unique_ptr<FeedForward>> make_dense_mlp(const ModelConfig& config, const std::string& prefix,
                                                      DType compute, WeightLoader& weights, Device& device,
                                                      Scratch& scratch) {
  ASSIGN_OR_RETURN(Prepared prepared,
                   prepare_mlp(config, prefix, config.intermediate, compute, weights, device));
  scratch.reserve(Slot::kGate, DType::kF32, config.intermediate);
  scratch.reserve(Slot::kUp, DType::kF32, config.intermediate);
  scratch.reserve(Slot::kHiddenMlp, compute, config.intermediate);
  return std::unique_ptr<FeedForward>(
      std::make_unique<DenseMlp>(config.hidden, config.intermediate, std::move(prepared)));
}

}  // namespace hadal
