#include "model/config.h"

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "model/config_parts.h"
#include "tensor/printable.h"

namespace hadal {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kMaxFileBytes = 16 << 20;

/// Says nothing about what the model computes: names, training, Python's own bookkeeping, text generation
/// defaults of old files (transformers wrote them all into config.json once).
constexpr std::string_view kHarmless[] = {
    // identity and bookkeeping
    "_name_or_path", "_attn_implementation_autoset", "_attn_implementation", "attn_implementation",
    "_commit_hash", "name_or_path", "transformers_version", "auto_map", "tokenizer_class", "finetuning_task",
    "task_specific_params", "problem_type", "prefix", "unsloth_version", "unsloth_fixed", "model_name",
    "license", "custom_pipelines", "id2label", "label2id", "pad_token_id", "sep_token_id",
    "decoder_start_token_id", "unk_token_id",
    // how Python runs it
    "use_cache", "use_return_dict", "return_dict", "output_attentions", "output_hidden_states",
    "output_router_logits", "output_scores", "return_dict_in_generate", "torchscript", "use_bfloat16",
    "tf_legacy_loss", "pruned_heads", "chunk_size_feed_forward", "ep_size", "use_flash_attn", "is_decoder",
    // training
    "initializer_range", "attention_dropout", "hidden_dropout", "embd_pdrop", "resid_pdrop",
    "residual_dropout", "aux_loss_alpha", "seq_aux", "router_aux_loss_coef", "gradient_checkpointing",
    // generation defaults; generation_config.json is where they count
    "max_length", "min_length", "do_sample", "early_stopping", "num_beams", "num_beam_groups",
    "diversity_penalty", "temperature", "top_k", "top_p", "typical_p", "repetition_penalty", "length_penalty",
    "no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "bad_words_ids", "num_return_sequences",
    "forced_bos_token_id", "forced_eos_token_id", "remove_invalid_values", "exponential_decay_length_penalty",
    "suppress_tokens", "begin_suppress_tokens"};

struct ArchitectureFacts {
  Architecture architecture;
  const char* name;
  const char* model_type;
};
constexpr ArchitectureFacts kArchitectures[] = {
    {Architecture::kLlama, "LlamaForCausalLM", "llama"},
    {Architecture::kQwen2, "Qwen2ForCausalLM", "qwen2"},
    {Architecture::kDeepseekV2, "DeepseekV2ForCausalLM", "deepseek_v2"},
    {Architecture::kDeepseekV3, "DeepseekV3ForCausalLM", "deepseek_v3"},
};
constexpr const char* kImplemented =
    "LlamaForCausalLM, Qwen2ForCausalLM, DeepseekV2ForCausalLM and DeepseekV3ForCausalLM are";

/// The architecture's row. The class name decides, the model type must fit; either may be missing.
const ArchitectureFacts* read_architecture(ConfigReader& in, ModelConfig& config) {
  const std::vector<std::string> names = in.texts_or_empty("architectures");
  config.model_type = in.text_or("model_type", "");
  if (names.size() > 1) in.unsupported("architectures", "names more than one model");
  if (names.empty() && config.model_type.empty())
    in.invalid("architectures", "is missing, and model_type too");
  if (!in.status().ok()) return nullptr;

  for (const ArchitectureFacts& row : kArchitectures) {
    if (names.empty() ? config.model_type != row.model_type : names.front() != row.name) continue;
    config.architecture = row.architecture;
    // an early V2 upload said "deepseek"
    const bool early_v2 = row.architecture == Architecture::kDeepseekV2 && config.model_type == "deepseek";
    if (!config.model_type.empty() && config.model_type != row.model_type && !early_v2) {
      in.unsupported("model_type", printable(config.model_type) + " is not what " + row.name + " goes with");
      return nullptr;
    }
    return &row;
  }
  const bool by_name = !names.empty();
  in.unsupported(
      by_name ? "architectures" : "model_type",
      printable(by_name ? names.front() : config.model_type) + " is not implemented (" + kImplemented + ")");
  return nullptr;
}

void read_sizes(ConfigReader& in, ModelConfig& config) {
  config.vocab = in.integer("vocab_size", {1, 1 << 24});
  config.hidden = in.integer("hidden_size", kDimension);
  config.intermediate = in.integer("intermediate_size", {1, 1 << 24});
  config.layers = in.integer("num_hidden_layers", {1, 1 << 14});
  config.heads = in.integer("num_attention_heads", {1, 1 << 16});
  config.max_position = in.integer("max_position_embeddings", {1, 1 << 30});
  config.rms_norm_eps = in.number("rms_norm_eps", {1e-30, 1.0});
}

/// bfloat16 and the like. Only informs: every tensor's own dtype is read from its file.
std::optional<DType> read_torch_dtype(ConfigReader& in) {
  std::string name = in.text_or("torch_dtype", "");
  if (name.empty()) name = in.text_or("dtype", "");  // transformers 5
  in.value("dtype");
  if (name.starts_with("torch.")) name.erase(0, 6);
  if (name == "bfloat16") return DType::kBF16;
  if (name == "float16" || name == "half") return DType::kF16;
  if (name == "float32" || name == "float") return DType::kF32;
  if (name == "float8_e4m3fn") return DType::kF8E4M3;
  if (!name.empty() && name != "auto") in.unsupported("torch_dtype", printable(name) + " is not known");
  return std::nullopt;
}

/// Switches whose one implemented value is also what their absence means.
void refuse_switches(ConfigReader& in, const ModelConfig& config) {
  in.only("hidden_act", std::string_view("silu"));
  in.only("pretraining_tp", 1.0);  // above 1 the reference multiplies in slices: other roundings
  in.only("is_encoder_decoder", false);
  in.only("add_cross_attention", false);
  in.only("tie_encoder_decoder", false);
  in.only("use_mrope", false);
  in.only("is_causal", true);
  if (config.architecture != Architecture::kLlama) in.only("mlp_bias", false);
}

void read_tokens(ConfigReader& in, ModelConfig& config) {
  const ConfigReader::Range token = {0, config.vocab - 1};
  const auto bos = in.integers_or_empty("bos_token_id", token);
  if (!bos.empty()) config.bos = bos.front();
  config.eos = in.integers_or_empty("eos_token_id", token);
}

void read_deepseek(ConfigReader& in, ModelConfig& config) {
  config.rope.layout = RopeLayout::kInterleaved;
  if (config.architecture == Architecture::kDeepseekV3 && !in.boolean_or("rope_interleave", true))
    config.rope.layout = RopeLayout::kHalfSplit;
  config.mla = read_mla(in, config);
  config.moe = read_moe(in, config);
  config.mtp_layers = in.integer_or("num_nextn_predict_layers", {0, 64}, 0);
  in.value("num_key_value_heads");  // MLA has one latent for all heads: the number has no meaning (specs 1.2)
  in.value("head_dim");             // transformers' alias of qk_rope_head_dim
}

void read_dense(ConfigReader& in, ModelConfig& config) {
  config.rope.layout = RopeLayout::kHalfSplit;
  config.gqa = read_gqa(in, config);
  if (config.architecture == Architecture::kLlama) config.mlp_bias = in.boolean_or("mlp_bias", false);
  if (config.architecture == Architecture::kQwen2) {
    in.value("sliding_window");  // without use_sliding_window neither counts, even if it is a number
    in.value("max_window_layers");
  }
}

}  // namespace

const char* architecture_name(Architecture architecture) {
  for (const ArchitectureFacts& row : kArchitectures)
    if (row.architecture == architecture) return row.name;
  return "unknown";
}

StatusOr<ModelConfig> parse_model_config(std::string_view config_json) {
  ASSIGN_OR_RETURN(const Json json, parse_config_object(config_json, "config.json"));
  ConfigReader in(json, "config.json");
  ModelConfig config;
  if (read_architecture(in, config) == nullptr) return in.status();
  read_sizes(in, config);
  refuse_switches(in, config);
  config.tie_embeddings = in.boolean_or("tie_word_embeddings", false);
  config.torch_dtype = read_torch_dtype(in);
  config.rope = read_rope(in);
  config.quant = read_quantization(in);
  read_tokens(in, config);
  const bool deepseek =
      config.architecture == Architecture::kDeepseekV2 || config.architecture == Architecture::kDeepseekV3;
  if (deepseek) {
    read_deepseek(in, config);
  } else {
    read_dense(in, config);
  }
  RETURN_IF_ERROR(in.finish(kHarmless));
  return config;
}

StatusOr<ModelConfig> load_model_config(const std::string& folder) {
  ASSIGN_OR_RETURN(const std::string text, read_file(folder + "/config.json", kMaxFileBytes));
  auto config = parse_model_config(text);
  if (!config.ok()) return annotate(config.status(), folder);
  const std::string generation_path = folder + "/generation_config.json";
  if (file_exists(generation_path)) {
    ASSIGN_OR_RETURN(const std::string generation, read_file(generation_path, kMaxFileBytes));
    if (Status status = apply_generation_config(generation, *config); !status.ok())
      return annotate(status, folder);
  }
  return config;
}

}  // namespace hadal
