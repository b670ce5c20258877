#include "lab/inspect.h"

#include <algorithm>

#include "lab/collector.h"
#include "model/model.h"
#include "tensor/checkpoint.h"
#include "tensor/hub_cache.h"

namespace hadal {
namespace {

constexpr std::string_view kLayerPrefix = "model.layers.";
constexpr uint64_t kAwqPack = 8;

bool has_suffix(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

bool belongs_to_mtp(std::string_view name, const ModelConfig& config) {
  if (name.substr(0, kLayerPrefix.size()) != kLayerPrefix) return false;
  const std::string number(
      name.substr(kLayerPrefix.size(), name.find('.', kLayerPrefix.size()) - kLayerPrefix.size()));
  return !number.empty() && number.size() < 7 &&
         number.find_first_not_of("0123456789") == std::string::npos && std::stoi(number) >= config.layers;
}

/// Parameters that a tensor stands for: scales and zeros describe others and count nothing.
uint64_t parameters_of(std::string_view name, const TensorView& view) {
  const auto elements = static_cast<uint64_t>(view.elements());
  if (has_suffix(name, ".qweight")) return elements * kAwqPack;
  if (has_suffix(name, ".qzeros") || has_suffix(name, ".scales") || has_suffix(name, ".weight_scale_inv"))
    return 0;
  return elements;
}

void count_tensors(const Checkpoint& checkpoint, CheckpointReport& report) {
  uint64_t routed = 0;
  for (const Checkpoint::Entry& entry : checkpoint.entries()) {
    const uint64_t count = parameters_of(entry.name, *entry.view);
    report.bytes_by_dtype[std::string(dtype_name(entry.view->dtype))] += entry.view->bytes();
    if (belongs_to_mtp(entry.name, report.config)) {
      report.mtp_parameters += count;
      continue;
    }
    report.parameters += count;
    if (entry.name.find(".mlp.experts.") != std::string_view::npos) routed += count;
  }
  report.active_parameters = report.parameters - routed;
  const MoeConfig& moe = report.config.moe;
  if (moe.routed > 0) {
    report.active_parameters += routed / static_cast<uint64_t>(moe.routed) * static_cast<uint64_t>(moe.top_k);
  }
}

/// One short request through the first layers (a dense and a mixture layer), to see which kernels it meets.
Status trial_step(EngineConfig config, CheckpointReport& report) {
  const ModelConfig& model = report.config;
  config.only_layers =
      model.moe.routed > 0 ? std::min(model.layers, model.moe.first_dense + model.moe.layer_freq) : 1;
  config.skip_tokenizer = true;
  config.max_model_len = std::min(model.max_position, 64);
  config.max_num_seqs = 1;
  config.max_num_batched_tokens = 16;
  config.num_blocks = 4;
  ASSIGN_OR_RETURN(LoadedEngine loaded, load_engine(config));
  loaded.device->reset_kernels_used();
  auto sink = std::make_shared<Collector>();
  EngineRequest request;
  request.prompt_ids = {0, 0, 0, 0};
  request.sampling.temperature = 0.0f;
  request.stop.max_tokens = 2;
  request.stop.ignore_eos = true;
  request.detokenize = false;
  request.sink = sink;
  RETURN_IF_ERROR(loaded.engine->submit(std::move(request)).status());
  RETURN_IF_ERROR(sink->wait().error);
  report.device = loaded.engine->runner_info().device;
  loaded.engine.reset();
  report.kernels = loaded.device->kernels_used();
  return OkStatus();
}

std::string human_bytes(uint64_t bytes) {
  if (bytes >= uint64_t{1} << 30) return fmt::format("{:.2f} GiB", static_cast<double>(bytes) / (1 << 30));
  if (bytes >= uint64_t{1} << 20) return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
  return fmt::format("{} bytes", bytes);
}

std::string human_count(uint64_t count) {
  const auto value = static_cast<double>(count);
  if (count >= 1'000'000'000) return fmt::format("{:.2f} B", value / 1e9);
  return fmt::format("{:.2f} M", value / 1e6);
}

std::string attention_text(const ModelConfig& config) {
  if (config.mla) {
    const MlaConfig& mla = *config.mla;
    return fmt::format("MLA, {} heads, latent {}, rotary {}, nope {}, value {}, query compression {}",
                       config.heads, mla.kv_lora_rank, mla.rope, mla.nope, mla.v,
                       mla.q_lora_rank > 0 ? fmt::format("{}", mla.q_lora_rank) : "none");
  }
  const GqaConfig& gqa = *config.gqa;
  const auto windows =
      std::count_if(gqa.layer_window.begin(), gqa.layer_window.end(), [](int32_t w) { return w > 0; });
  return fmt::format("GQA, {} heads, {} KV heads of {}{}", config.heads, gqa.kv_heads, gqa.head_dim,
                     windows > 0 ? fmt::format(", sliding window in {} layers", windows) : "");
}

std::string feed_forward_text(const ModelConfig& config) {
  if (config.moe.routed == 0) return fmt::format("dense, width {}", config.intermediate);
  const MoeConfig& moe = config.moe;
  return fmt::format("{} experts of width {}, {} a token, {} shared; first {} layers dense", moe.routed,
                     moe.intermediate, moe.top_k, moe.shared, moe.first_dense);
}

std::string quant_text(const QuantConfig& quant) {
  switch (quant.method) {
    case QuantMethod::kNone:
      return "none";
    case QuantMethod::kFp8:
      return fmt::format("fp8 e4m3, blocks of {} x {}", quant.block_rows, quant.block_cols);
    case QuantMethod::kAwq:
      return fmt::format("AWQ int4, groups of {}", quant.group);
  }
  return "";
}

}  // namespace

StatusOr<CheckpointReport> inspect_checkpoint(const EngineConfig& config) {
  CheckpointReport report;
  ASSIGN_OR_RETURN(const ResolvedModel model, resolve_model(config.model));
  report.folder = model.folder;
  ASSIGN_OR_RETURN(report.config, load_model_config(report.folder));
  ASSIGN_OR_RETURN(const auto checkpoint, Checkpoint::open(report.folder));
  count_tensors(*checkpoint, report);
  report.weight_bytes = checkpoint->total_bytes();
  ASSIGN_OR_RETURN(report.compute, compute_dtype(config.dtype, report.config));
  ASSIGN_OR_RETURN(report.cache, cache_dtype(config.kv_cache_dtype, report.compute));
  report.cache_bytes_per_token = cache_bytes_per_token(cache_groups_of(report.config, report.cache));
  report.max_model_len = config.max_model_len > 0 ? config.max_model_len : report.config.max_position;
  report.memory_bytes = report.weight_bytes + static_cast<uint64_t>(report.cache_bytes_per_token) *
                                                  static_cast<uint64_t>(report.max_model_len);
  RETURN_IF_ERROR(trial_step(config, report));
  return report;
}

std::string to_text(const CheckpointReport& report) {
  const ModelConfig& config = report.config;
  std::string text;
  const auto line = [&text](std::string_view name, const std::string& value) {
    text += fmt::format("{:<22} {}\n", name, value);
  };
  line("checkpoint", report.folder);
  line("architecture", fmt::format("{} ({})", architecture_name(config.architecture), config.model_type));
  line("layers", fmt::format("{}, hidden {}, vocabulary {}", config.layers, config.hidden, config.vocab));
  line("attention", attention_text(config));
  line("feed-forward", feed_forward_text(config));
  line("context", fmt::format("{} tokens", config.max_position));
  line("quantisation", quant_text(config.quant));
  line("parameters", fmt::format("{} ({} active a token)", human_count(report.parameters),
                                 human_count(report.active_parameters)));
  if (report.mtp_parameters > 0) line("skipped (MTP)", human_count(report.mtp_parameters));
  std::string dtypes;
  for (const auto& [name, bytes] : report.bytes_by_dtype) {
    dtypes += fmt::format("{}{} {}", dtypes.empty() ? "" : ", ", name, human_bytes(bytes));
  }
  line("weights", fmt::format("{} ({})", human_bytes(report.weight_bytes), dtypes));
  line("KV cache",
       fmt::format("{} bytes a token ({})", report.cache_bytes_per_token, dtype_name(report.cache)));
  line("memory needed", fmt::format("{} for one sequence of {} tokens", human_bytes(report.memory_bytes),
                                    report.max_model_len));
  line("compute", std::string(dtype_name(report.compute)));
  line("device", report.device);
  for (size_t index = 0; index < report.kernels.size(); ++index)
    line(index == 0 ? "kernels" : "", report.kernels[index]);
  return text;
}

}  // namespace hadal
