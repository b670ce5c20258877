#include "model/config_parts.h"
#include "tensor/printable.h"

namespace hadal {
namespace {

/// The gate's kind. Each architecture has its own scoring function; the published code refuses the other
/// (specs 2.5).
void read_gate(ConfigReader& in, const ModelConfig& config, MoeConfig& moe) {
  const bool v3 = config.architecture == Architecture::kDeepseekV3;
  moe.scoring = v3 ? ScoringFunc::kSigmoid : ScoringFunc::kSoftmax;
  in.only("scoring_func", std::string_view(v3 ? "sigmoid" : "softmax"));
  const std::string method = in.text_or("topk_method", v3 ? "noaux_tc" : "greedy");
  if (v3 && method == "noaux_tc") {
    moe.method = TopkMethod::kNoauxTc;
  } else if (!v3 && method == "greedy") {
    moe.method = TopkMethod::kGreedy;
  } else if (!v3 && method == "group_limited_greedy") {
    moe.method = TopkMethod::kGroupLimitedGreedy;
  } else {
    in.unsupported("topk_method",
                   printable(method) + " is not implemented for " + architecture_name(config.architecture));
  }
}

void read_groups(ConfigReader& in, MoeConfig& moe) {
  if (moe.method == TopkMethod::kGreedy) {  // takes no notice of groups, whatever the file says of them
    in.integer_or("n_group", kCount, 1);
    in.integer_or("topk_group", kCount, 1);
    return;
  }
  moe.n_group = in.integer("n_group", kDimension);
  moe.topk_group = in.integer("topk_group", kDimension);
  if (moe.routed % moe.n_group != 0) {
    in.invalid("n_group", fmt::format("({}) does not divide n_routed_experts ({})", moe.n_group, moe.routed));
    return;
  }
  const int32_t group_size = moe.routed / moe.n_group;
  if (moe.method == TopkMethod::kNoauxTc && group_size < 2)
    in.invalid("n_group", "leaves groups of one expert; a group's score is the sum of its best two");
  if (moe.topk_group > moe.n_group) in.invalid("topk_group", "is larger than n_group");
  if (int64_t{moe.topk_group} * group_size < moe.top_k)
    in.invalid("topk_group", fmt::format("leaves {} experts to choose num_experts_per_tok ({}) from",
                                         int64_t{moe.topk_group} * group_size, moe.top_k));
}

}  // namespace

MoeConfig read_moe(ConfigReader& in, const ModelConfig& config) {
  MoeConfig moe;
  moe.routed = in.integer_or("n_routed_experts", kDimension, 0);
  if (in.integer_or("num_local_experts", kCount, moe.routed) !=
      moe.routed)  // transformers' other name for it
    in.invalid("num_local_experts", "differs from n_routed_experts");
  if (moe.routed == 0) {  // every layer is dense; the rest of the keys has no meaning
    for (std::string_view key : {"n_shared_experts", "num_experts_per_tok", "moe_intermediate_size",
                                 "first_k_dense_replace", "moe_layer_freq", "scoring_func", "topk_method",
                                 "n_group", "topk_group", "norm_topk_prob", "routed_scaling_factor"})
      in.value(key);
    return moe;
  }
  moe.shared = in.integer_or("n_shared_experts", {0, 1 << 10}, 0);
  moe.top_k = in.integer("num_experts_per_tok", {1, 1 << 10});
  if (moe.top_k > moe.routed) in.invalid("num_experts_per_tok", "is larger than n_routed_experts");
  moe.intermediate = in.integer("moe_intermediate_size", kDimension);
  moe.first_dense = in.integer("first_k_dense_replace", kCount);
  moe.layer_freq = in.integer_or("moe_layer_freq", kDimension, 1);
  moe.norm_topk_prob = in.boolean("norm_topk_prob");
  moe.routed_scaling_factor = in.number("routed_scaling_factor", {1e-6, 1e6});
  read_gate(in, config, moe);
  read_groups(in, moe);
  return moe;
}

}  // namespace hadal
