#include "model/decoder.h"

#include <algorithm>

#include "base/log.h"
#include "model/rope.h"

namespace hadal {
namespace {

class Decoder final : public Model {
 public:
  explicit Decoder(DecoderParts parts) : parts_(std::move(parts)) {}

  const ModelConfig& config() const override { return parts_.config; }
  const std::vector<CacheGroupLayout>& cache_groups() const override { return parts_.groups; }
  Status bind_cache(int32_t layer, const CacheLayer& cache) override {
    if (layer < 0 || layer >= parts_.config.layers) return internal_error("bind_cache: no layer {}", layer);
    parts_.layers[static_cast<size_t>(layer)].attention->bind_cache(cache);
    return OkStatus();
  }

  Status forward(const ForwardArgs& args) override {
    LayerContext context{.device = *parts_.device,
                         .stream = args.stream,
                         .batch = args.batch,
                         .groups = args.groups,
                         .scratch = *parts_.scratch,
                         .compute = parts_.options.compute,
                         .tokens = args.batch->num_tokens};
    RETURN_IF_ERROR(embed(context));
    for (size_t layer = 0; layer < parts_.layers.size(); ++layer) RETURN_IF_ERROR(run_layer(context, layer));
    return args.logit_count > 0 ? logits(context, args) : OkStatus();
  }

  ExpertCounters expert_counters() const override { return parts_.expert_counters; }

 private:
  int64_t hidden_width() const { return parts_.config.hidden; }
  Mat hidden(const LayerContext& context) const {
    return context.scratch.mat(Slot::kHidden, DType::kF32, context.tokens, hidden_width());
  }

  Status embed(const LayerContext& context) {
    const DeviceTensor& table = parts_.embedding;
    return context.device.run(context.stream, OpKind::kEmbed,
                              EmbedArgs{.table = Mat{const_cast<void*>(table.data), parts_.config.vocab,
                                                     hidden_width(), hidden_width(), table.dtype},
                                        .ids = context.batch->token_ids,
                                        .out = hidden(context)});
  }

  /// residual += delta (summed over ranks), then its norm. Without `delta` the residual alone.
  Status reduce_and_norm(const LayerContext& context, Mat delta, Mat residual, const DeviceTensor& weight,
                         Mat out) {
    return context.device.run(
        context.stream, OpKind::kAllReduceNorm,
        AllReduceNormArgs{.workspace = {},
                          .communicator = parts_.communicator->native(),
                          .norm = RmsNormArgs{.x = delta,
                                              .residual = residual,
                                              .weight = weight.data,
                                              .weight_dtype = weight.dtype,
                                              .eps = static_cast<float>(parts_.config.rms_norm_eps),
                                              .out = out}});
  }

  Status run_layer(const LayerContext& context, size_t index) {
    DecoderLayer& layer = parts_.layers[index];
    const Mat normed = context.normed(hidden_width());
    const Mat delta = context.delta(hidden_width());
    RETURN_IF_ERROR(
        reduce_and_norm(context, index == 0 ? Mat{} : delta, hidden(context), layer.input_norm, normed));
    RETURN_IF_ERROR(layer.attention->forward(context));
    RETURN_IF_ERROR(reduce_and_norm(context, delta, hidden(context), layer.post_attention_norm, normed));
    return layer.feed_forward->forward(context);
  }

  /// Only the wanted rows pass the last norm and the output matrix.
  Status logits(const LayerContext& context, const ForwardArgs& args) {
    const auto rows = [&](Slot slot, DType dtype) {
      return context.scratch.mat(slot, dtype, args.logit_count, hidden_width());
    };
    const Mat residual = rows(Slot::kLogitHidden, DType::kF32);
    const Mat delta = rows(Slot::kLogitDelta, DType::kF32);
    const Mat normed = rows(Slot::kLogitNormed, context.compute);
    RETURN_IF_ERROR(context.device.run(
        context.stream, OpKind::kGather,
        GatherArgs{
            .x = hidden(context), .rows = args.logit_rows, .count = args.logit_count, .out = residual}));
    RETURN_IF_ERROR(context.device.run(context.stream, OpKind::kGather,
                                       GatherArgs{.x = context.delta(hidden_width()),
                                                  .rows = args.logit_rows,
                                                  .count = args.logit_count,
                                                  .out = delta}));
    RETURN_IF_ERROR(reduce_and_norm(context, delta, residual, parts_.final_norm, normed));
    return context.device.run(context.stream, OpKind::kLinear,
                              LinearArgs{.workspace = {},
                                         .x = normed,
                                         .weight = parts_.lm_head.member(0),
                                         .out = args.logits,
                                         .accumulate = 0});
  }

  DecoderParts parts_;
};

Status load_rope_table(DecoderParts& parts) {
  const int32_t dim = parts.config.mla ? parts.config.mla->rope : parts.config.gqa->head_dim;
  const std::vector<float> table = rope_table(parts.config.rope, dim, parts.options.max_model_len);
  const uint64_t bytes = table.size() * sizeof(float);
  ASSIGN_OR_RETURN(parts.rope_table.owned, parts.device->allocate(bytes));
  RETURN_IF_ERROR(parts.device->copy(nullptr, parts.rope_table.owned.data(), table.data(), bytes,
                                     CopyKind::kHostToDevice));
  parts.rope_table.data = parts.rope_table.owned.data();
  return OkStatus();
}

Status load_ends(DecoderParts& parts, WeightLoader& weights) {
  const ModelConfig& config = parts.config;
  ASSIGN_OR_RETURN(parts.embedding,
                   weights.tensor("model.embed_tokens.weight", {config.vocab, config.hidden}));
  ASSIGN_OR_RETURN(parts.final_norm, weights.tensor("model.norm.weight", {config.hidden}));
  const std::string head = config.tie_embeddings ? "model.embed_tokens" : "lm_head";
  ASSIGN_OR_RETURN(const WeightRef lm_head, weights.linear(head, config.vocab, config.hidden));
  ASSIGN_OR_RETURN(parts.lm_head, parts.device->prepare(WeightGroup{.kind = GroupKind::kLinear,
                                                                    .members = &lm_head,
                                                                    .count = 1,
                                                                    .mla = {},
                                                                    .compute = parts.options.compute}));
  return OkStatus();
}

Status load_layers(DecoderParts& parts, LayerMaker& maker, WeightLoader& weights) {
  const ModelConfig& config = parts.config;
  const auto* table = static_cast<const float*>(parts.rope_table.data);
  for (int32_t index = 0; index < config.layers; ++index) {
    const std::string prefix = fmt::format("model.layers.{}", index);
    DecoderLayer layer;
    ASSIGN_OR_RETURN(layer.input_norm, weights.tensor(prefix + ".input_layernorm.weight", {config.hidden}));
    ASSIGN_OR_RETURN(layer.post_attention_norm,
                     weights.tensor(prefix + ".post_attention_layernorm.weight", {config.hidden}));
    ASSIGN_OR_RETURN(layer.attention, maker.attention(index, table, weights, *parts.scratch));
    ASSIGN_OR_RETURN(layer.feed_forward, maker.feed_forward(index, weights, *parts.scratch));
    parts.layers.push_back(std::move(layer));
  }
  return OkStatus();
}

/// Counters for the layers that have experts, one row each.
Status bind_expert_load(DecoderParts& parts) {
  ExpertCounters& counters = parts.expert_counters;
  for (size_t i = 0; i < parts.layers.size(); ++i) {
    const int32_t experts = parts.layers[i].feed_forward->experts();
    if (experts == 0) continue;
    counters.layers.push_back(static_cast<int32_t>(i));
    counters.experts = experts;
  }
  if (counters.layers.empty()) return OkStatus();
  const auto width = static_cast<size_t>(counters.experts);
  ASSIGN_OR_RETURN(parts.expert_load,
                   parts.device->allocate(counters.layers.size() * width * sizeof(uint32_t)));
  counters.data = parts.expert_load.as<uint32_t>();
  for (size_t row = 0; row < counters.layers.size(); ++row) {
    parts.layers[static_cast<size_t>(counters.layers[row])].feed_forward->bind_expert_load(
        parts.expert_load.as<uint32_t>() + row * width);
  }
  return OkStatus();
}

void reserve_common(DecoderParts& parts) {
  const int64_t hidden = parts.config.hidden;
  const DType compute = parts.options.compute;
  Scratch& scratch = *parts.scratch;
  scratch.reserve(Slot::kHidden, DType::kF32, hidden);
  scratch.reserve(Slot::kNormed, compute, hidden);
  scratch.reserve(Slot::kDelta, DType::kF32, hidden);
  const int64_t rows = parts.options.max_logit_rows;
  scratch.reserve_rows(Slot::kLogitHidden, DType::kF32, rows, hidden);
  scratch.reserve_rows(Slot::kLogitDelta, DType::kF32, rows, hidden);
  scratch.reserve_rows(Slot::kLogitNormed, compute, rows, hidden);
}

}  // namespace

StatusOr<std::unique_ptr<Model>> make_decoder(DecoderParts parts, LayerMaker& maker) {
  WeightLoader weights(parts.config, parts.checkpoint, parts.device);
  parts.scratch = std::make_unique<Scratch>(parts.options.max_tokens);
  reserve_common(parts);
  RETURN_IF_ERROR(load_rope_table(parts));
  RETURN_IF_ERROR(load_ends(parts, weights));
  RETURN_IF_ERROR(load_layers(parts, maker, weights));
  RETURN_IF_ERROR(bind_expert_load(parts));
  parts.dummy_memory = weights.take_memory();
  RETURN_IF_ERROR(parts.scratch->allocate(*parts.device));
  for (const std::string& name : weights.unused())
    log_warning("tensor {} of the checkpoint is not used", name);
  return std::unique_ptr<Model>(std::make_unique<Decoder>(std::move(parts)));
}

}  // namespace hadal
