#include "server/engine_loader.h"

#include <algorithm>

#include "base/files.h"
#include "base/log.h"
#include "model/model.h"
#include "runner/device_runner.h"
#include "server/checkpoint_facts.h"
#include "tensor/checkpoint.h"
#include "tensor/hub_cache.h"

namespace hadal {
namespace {

// Without a size the cache takes this much, or a quarter of free memory if that is less: a server on a laptop
// shares the machine.
constexpr uint64_t kDefaultCacheBytes = uint64_t{2} << 30;

Status load_text(const EngineConfig& options, LoadedEngine& loaded) {
  if (options.skip_tokenizer) return OkStatus();
  ASSIGN_OR_RETURN(loaded.tokenizer, Tokenizer::load(loaded.folder));
  ASSIGN_OR_RETURN(loaded.chat_template,
                   load_chat_template(loaded.folder, loaded.tokenizer.get(), options.chat_template_file));
  return OkStatus();
}

/// How many cache bytes to ask for, and the context that fits them.
struct CachePlan {
  uint64_t bytes = 0;  // 0: the runner goes by num_blocks
  int32_t max_model_len = 0;
};

StatusOr<CachePlan> plan_cache(const EngineConfig& options, const ModelConfig& config, DType cache,
                               const Device& device) {
  CachePlan plan;
  const auto groups = cache_groups_of(config, cache);
  const int64_t token_bytes = cache_bytes_per_token(groups);
  const int32_t wanted = options.max_model_len > 0 ? options.max_model_len : config.max_position;
  if (wanted > config.max_position) {
    return invalid_argument("--max-model-len {} is over the checkpoint's max_position_embeddings {}", wanted,
                            config.max_position);
  }
  uint64_t bytes = options.kv_cache_bytes;
  if (bytes == 0 && options.num_blocks > 0) {
    bytes =
        static_cast<uint64_t>(options.num_blocks) * static_cast<uint64_t>(options.block_size * token_bytes);
  } else if (bytes == 0) {
    bytes = std::min(kDefaultCacheBytes, device.facts().free_bytes / 4);
    const auto needed = static_cast<uint64_t>(token_bytes) *
                        static_cast<uint64_t>(wanted + options.block_size) *
                        static_cast<uint64_t>(options.max_num_seqs);
    bytes = std::min(bytes, needed + static_cast<uint64_t>(options.block_size *
                                                           token_bytes));  // never more than can be used
  }
  plan.bytes = options.num_blocks > 0 ? 0 : bytes;
  // one block is the null block
  const int64_t blocks = static_cast<int64_t>(bytes) / (options.block_size * token_bytes) - 1;
  const int64_t fits = std::max<int64_t>(blocks, 0) * options.block_size;
  if (fits < 1) {
    return resource_exhausted(
        "a KV cache of {} bytes does not hold one block of {} tokens ({} bytes a token); raise "
        "--kv-cache-memory-bytes",
        bytes, options.block_size, token_bytes);
  }
  plan.max_model_len = wanted;
  if (options.max_model_len == 0 && fits < wanted) {
    plan.max_model_len = static_cast<int32_t>(fits);
    log_info(
        "context limited to {} tokens by the KV cache of {} MiB ({} bytes a token); --max-model-len and "
        "--kv-cache-memory-bytes change it",
        fits, bytes >> 20, token_bytes);
  }
  if (plan.max_model_len < 1 || fits < plan.max_model_len) {
    return resource_exhausted(
        "a KV cache of {} bytes holds {} tokens ({} bytes a token), but --max-model-len is {}; raise "
        "--kv-cache-memory-bytes or lower --max-model-len",
        bytes, fits, token_bytes, plan.max_model_len);
  }
  return plan;
}

StatusOr<std::unique_ptr<Runner>> load_runner(const EngineConfig& options, LoadedEngine& loaded) {
  DeviceRunnerOptions runner;
  ASSIGN_OR_RETURN(runner.model.compute, compute_dtype(options.dtype, loaded.config));
  ASSIGN_OR_RETURN(runner.model.cache, cache_dtype(options.kv_cache_dtype, runner.model.compute));
  ASSIGN_OR_RETURN(const CachePlan cache,
                   plan_cache(options, loaded.config, runner.model.cache, *loaded.device));
  ASSIGN_OR_RETURN(std::shared_ptr<const Checkpoint> checkpoint, Checkpoint::open(loaded.folder));
  loaded.max_model_len = cache.max_model_len;
  runner.block_tokens = options.block_size;
  runner.num_blocks = options.num_blocks;
  runner.cache_bytes = cache.bytes;
  // a sequence that recomputes has two rows in a step
  runner.max_rows = 2 * options.max_num_seqs;
  runner.model.max_tokens = std::max(options.max_num_batched_tokens, options.max_num_seqs);
  runner.model.max_logit_rows = options.return_prompt_logits ? runner.model.max_tokens : options.max_num_seqs;
  runner.model.max_model_len = cache.max_model_len;
  return make_device_runner(loaded.config, std::move(checkpoint), loaded.device, runner);
}

}  // namespace

StatusOr<DType> compute_dtype(const std::string& dtype, const ModelConfig& config) {
  if (dtype == "float32") return DType::kF32;
  if (dtype == "bfloat16") return DType::kBF16;
  // half precision overflows in these models' attention, so float16 checkpoints compute in bfloat16 (specs,
  // part 5)
  if (dtype == "auto") return config.torch_dtype == DType::kF32 ? DType::kF32 : DType::kBF16;
  return invalid_argument("--dtype {}: auto, float32 or bfloat16 are supported", dtype);
}

StatusOr<DType> cache_dtype(const std::string& kv_cache_dtype, DType compute) {
  if (kv_cache_dtype == "auto") return compute;
  if (kv_cache_dtype == "bfloat16" || kv_cache_dtype == "bf16") return DType::kBF16;
  if (kv_cache_dtype == "fp8" || kv_cache_dtype == "fp8_e4m3") return DType::kF8E4M3;
  if (kv_cache_dtype == "fp8_e5m2") return DType::kF8E5M2;
  return invalid_argument("--kv-cache-dtype {}: auto, bfloat16, fp8, fp8_e4m3 or fp8_e5m2 are supported",
                          kv_cache_dtype);
}

StatusOr<std::shared_ptr<const ChatTemplate>> load_chat_template(const std::string& folder,
                                                                 const Tokenizer* tokenizer,
                                                                 const std::optional<std::string>& file) {
  std::optional<std::string> source;
  if (file) {
    ASSIGN_OR_RETURN(source, read_file(*file));
  } else if (tokenizer != nullptr) {
    source = tokenizer->chat_template();
  }
  const std::string model_type = model_type_of(folder);
  if (!source && !has_prompt_encoder(model_type)) return std::shared_ptr<const ChatTemplate>();
  return choose_chat_template(source, model_type);
}

StatusOr<LoadedEngine> load_engine(const EngineConfig& options, const ObserverMaker& observer) {
  LoadedEngine loaded;
  ASSIGN_OR_RETURN(const ResolvedModel model, resolve_model(options.model));
  loaded.folder = model.folder;
  loaded.id = model.id;
  ASSIGN_OR_RETURN(loaded.config, load_model_config(loaded.folder));
  if (options.only_layers > 0) loaded.config.layers = std::min(loaded.config.layers, options.only_layers);
  RETURN_IF_ERROR(load_text(options, loaded));
  ASSIGN_OR_RETURN(loaded.device,
                   Device::open(options.device == "auto" ? "cpu" : options.device,
                                DeviceOptions{.threads = options.threads, .isa = options.cpu_isa}));
  ASSIGN_OR_RETURN(std::unique_ptr<Runner> runner, load_runner(options, loaded));
  EngineOptions engine;
  engine.max_num_seqs = options.max_num_seqs;
  engine.max_num_batched_tokens = std::max(options.max_num_batched_tokens, options.max_num_seqs);
  engine.chunk = options.chunk;
  engine.max_queued_requests = options.max_num_queued_reqs;
  ASSIGN_OR_RETURN(loaded.engine, Engine::create(engine, std::move(runner), loaded.tokenizer,
                                                 observer ? observer(loaded) : nullptr));
  return loaded;
}

}  // namespace hadal
