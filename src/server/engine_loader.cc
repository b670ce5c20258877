#include "server/engine_loader.h"

#include <algorithm>

#include "base/files.h"
#include "base/log.h"
#include "model/model.h"
#include "model/weight_bytes.h"
#include "runner/device_runner.h"
#include "server/cache_plan.h"
#include "server/checkpoint_facts.h"
#include "server/device_choice.h"
#include "server/shared_prefixes.h"
#include "server/tenants_file.h"
#include "tensor/checkpoint.h"
#include "tensor/hub_cache.h"

namespace hadal {
namespace {

Status load_text(const EngineConfig& options, LoadedEngine& loaded) {
  if (options.skip_tokenizer) return OkStatus();
  ASSIGN_OR_RETURN(loaded.tokenizer, Tokenizer::load(loaded.folder));
  ASSIGN_OR_RETURN(loaded.chat_template,
                   load_chat_template(loaded.folder, loaded.tokenizer.get(), options.chat_template_file));
  return OkStatus();
}

CacheQuestion cache_question(const EngineConfig& options, const LoadedEngine& loaded, DType cache,
                             const Checkpoint* checkpoint) {
  const BackendFacts facts = loaded.device->facts();
  const uint64_t weights =
      checkpoint == nullptr ? weight_bytes_of(loaded.config).total : checkpoint->total_bytes();
  return {.token_bytes = cache_bytes_per_token(cache_groups_of(loaded.config, cache)),
          .block_tokens = options.block_size,
          .model_max_len = loaded.config.max_position,
          .max_model_len = options.max_model_len,
          .max_num_seqs = options.max_num_seqs,
          .num_blocks = options.num_blocks,
          .cache_bytes = options.kv_cache_bytes,
          .memory_utilization = options.gpu_memory_utilization,
          .weight_bytes = weights,
          .total_memory = facts.total_bytes,
          .free_memory = facts.free_bytes,
          .host_memory = facts.host_memory != 0};
}

StatusOr<std::unique_ptr<Runner>> load_runner(const EngineConfig& options, LoadedEngine& loaded) {
  DeviceRunnerOptions runner;
  ASSIGN_OR_RETURN(runner.model.compute, compute_dtype(options.dtype, loaded.config));
  ASSIGN_OR_RETURN(runner.model.cache, cache_dtype(options.kv_cache_dtype, runner.model.compute));
  std::shared_ptr<const Checkpoint> checkpoint;
  if (options.load_format != "dummy") {
    ASSIGN_OR_RETURN(checkpoint, Checkpoint::open(loaded.folder));
  }
  ASSIGN_OR_RETURN(const CachePlan cache,
                   plan_cache(cache_question(options, loaded, runner.model.cache, checkpoint.get())));
  runner.block_tokens = options.block_size;
  runner.num_blocks = options.num_blocks;
  runner.cache_bytes = cache.bytes;
  runner.memory_bytes = cache.memory_bytes;
  runner.fit_max_model_len = options.max_model_len == 0;
  // a sequence that recomputes has two rows in a step
  runner.max_rows = 2 * options.max_num_seqs;
  runner.enforce_eager = options.enforce_eager;
  runner.measure_gaps = options.measure_step_gaps;
  runner.max_cudagraph_capture_size = options.max_cudagraph_capture_size != 0
                                          ? options.max_cudagraph_capture_size
                                          : std::min(options.max_num_seqs, 512);
  runner.model.max_tokens = std::max(options.max_num_batched_tokens, options.max_num_seqs);
  runner.model.max_logit_rows = options.return_prompt_logits ? runner.model.max_tokens : options.max_num_seqs;
  runner.model.max_model_len = cache.max_model_len;
  auto made = make_device_runner(loaded.config, std::move(checkpoint), loaded.device, runner);
  if (made.ok()) loaded.max_model_len = (*made)->info().max_model_len;
  return made;
}

/// What --tenants declares.
Status load_tenants(const EngineConfig& options, const LoadedEngine& loaded, EngineOptions& engine) {
  constexpr uint64_t kMaxBytes = uint64_t{16} << 20;
  if (options.tenants_file.empty()) return OkStatus();
  ASSIGN_OR_RETURN(const std::string text, read_file(options.tenants_file, kMaxBytes));
  auto file = parse_tenants(text);
  if (!file.ok()) return annotate(file.status(), options.tenants_file);
  engine.tenants = std::move(file->tenants);
  engine.default_tenant = file->default_tenant;
  const PromptMaker maker{loaded.tokenizer.get(), loaded.chat_template.get(), loaded.config.vocab};
  for (size_t index = 0; index < file->shared_prefixes.size(); ++index) {
    const std::string place = fmt::format("{}: shared_prefixes[{}]", options.tenants_file, index);
    auto ids = shared_prefix_ids(file->shared_prefixes[index], maker);
    if (!ids.ok()) return annotate(ids.status(), place);
    if (static_cast<int64_t>(ids->size()) < options.block_size) {
      log_warning("{} has {} tokens, less than a block of {}: nothing of it can be shared", place,
                  ids->size(), options.block_size);
    }
    engine.shared_prefixes.push_back(std::move(*ids));
  }
  return OkStatus();
}

/// The defaults of requests: the checkpoint's, none, or another folder's, and what goes over them.
Status choose_generation_defaults(const EngineConfig& options, ModelConfig& config) {
  constexpr uint64_t kMaxBytes = uint64_t{1} << 20;
  if (options.generation_config == "vllm") {
    config.generation = {};
  } else if (options.generation_config != "auto") {
    const std::string path = options.generation_config + "/generation_config.json";
    ASSIGN_OR_RETURN(const std::string text, read_file(path, kMaxBytes));
    if (const Status status = apply_generation_config(text, config); !status.ok())
      return annotate(status, options.generation_config);
  }
  if (options.override_generation_config.empty()) return OkStatus();
  const GenerationDefaults under = config.generation;
  if (const Status status = apply_generation_config(options.override_generation_config, config); !status.ok())
    return annotate(status, "--override-generation-config");
  const auto fill = [](auto& over, const auto& below) {
    if (!over) over = below;
  };
  fill(config.generation.temperature, under.temperature);
  fill(config.generation.top_p, under.top_p);
  fill(config.generation.min_p, under.min_p);
  fill(config.generation.repetition_penalty, under.repetition_penalty);
  fill(config.generation.top_k, under.top_k);
  fill(config.generation.max_new_tokens, under.max_new_tokens);
  return OkStatus();
}

StatusOr<EngineOptions> engine_options(const EngineConfig& options, const LoadedEngine& loaded) {
  EngineOptions engine;
  engine.max_num_seqs = options.max_num_seqs;
  engine.max_num_batched_tokens = std::max(options.max_num_batched_tokens, options.max_num_seqs);
  engine.long_prefill_token_threshold = options.long_prefill_token_threshold;
  // rows of logits that one pass makes
  if (options.chunk == 0 && !options.return_prompt_logits) engine.max_prompt_logits = options.max_num_seqs;
  engine.chunk = options.chunk;
  engine.max_queued_requests = options.max_num_queued_reqs;
  engine.max_queued_tokens = options.max_num_queued_tokens;
  ASSIGN_OR_RETURN(engine.policy, scheduling_policy(options.scheduling_policy));
  engine.output_token_cost = options.output_token_cost;
  engine.prefix_caching = options.enable_prefix_caching;
  engine.exact = options.exact;
  engine.salt_tenants = !options.no_tenant_cache_salt;
  engine.cache_metrics = options.kv_cache_metrics;
  engine.step_timeout_s = options.step_timeout_s;
  RETURN_IF_ERROR(load_tenants(options, loaded, engine));
  return engine;
}

/// What the device decides where nothing was said: a CPU's step is short of arithmetic, a GPU's of work.
EngineConfig with_device_defaults(EngineConfig options, const BackendFacts& facts) {
  const bool gpu = facts.graphs != 0;
  if (options.max_num_seqs == 0) options.max_num_seqs = gpu ? 256 : 64;
  if (options.max_num_batched_tokens == 0) options.max_num_batched_tokens = gpu ? 8192 : 512;
  return options;
}

/// What would only be noticed when a request is served.
Status check_limits(const EngineConfig& options) {
  if (options.max_num_seqs < 1)
    return invalid_argument("--max-num-seqs {} must be at least 1", options.max_num_seqs);
  if (options.max_num_queued_reqs < 1)
    return invalid_argument("--max-num-queued-reqs {} must be at least 1", options.max_num_queued_reqs);
  if (options.max_num_queued_tokens < 0 || options.long_prefill_token_threshold < 0)
    return invalid_argument(
        "--max-num-queued-tokens and --long-prefill-token-threshold must not be negative");
  if (!(options.output_token_cost > 0.0 && options.output_token_cost <= 1000.0))
    return invalid_argument("--output-token-cost {} must be over 0 and at most 1000",
                            options.output_token_cost);
  if (!(options.step_timeout_s >= 0.0 && options.step_timeout_s <= 86400.0))
    return invalid_argument("--step-timeout {} must be from 0 (no watchdog) to 86400 seconds",
                            options.step_timeout_s);
  return OkStatus();
}

}  // namespace

StatusOr<SchedulingPolicy> scheduling_policy(const std::string& name) {
  if (name == "fair" || name == "priority") return SchedulingPolicy::kFair;  // fair honours priorities
  if (name == "fcfs") return SchedulingPolicy::kFcfs;
  if (name == "static") return SchedulingPolicy::kStatic;
  return invalid_argument("--scheduling-policy {}: fair, fcfs, static or priority are supported", name);
}

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
  return invalid_argument(
      "--kv-cache-dtype {}: auto, bfloat16 (bf16), fp8 (fp8_e4m3) or fp8_e5m2 are supported", kv_cache_dtype);
}

StatusOr<std::shared_ptr<const ChatTemplate>> load_chat_template(const std::string& folder,
                                                                 const Tokenizer* tokenizer,
                                                                 const std::optional<std::string>& file) {
  std::optional<std::string> source;
  if (file && !file_exists(*file) && file->find('{') != std::string::npos) {
    source = *file;  // as vLLM: the template itself, in one line
  } else if (file) {
    ASSIGN_OR_RETURN(source, read_file(*file));
  } else if (tokenizer != nullptr) {
    source = tokenizer->chat_template();
  }
  const std::string model_type = model_type_of(folder);
  if (!source && !has_prompt_encoder(model_type)) return std::shared_ptr<const ChatTemplate>();
  return choose_chat_template(source, model_type);
}

StatusOr<LoadedEngine> load_engine(const EngineConfig& asked, const ObserverMaker& observer) {
  EngineConfig options = asked;
  RETURN_IF_ERROR(check_limits(with_device_defaults(options, {})));
  LoadedEngine loaded;
  ASSIGN_OR_RETURN(const ResolvedModel model, resolve_model(options.model));
  loaded.folder = model.folder;
  loaded.id = model.id;
  ASSIGN_OR_RETURN(loaded.config, load_model_config(loaded.folder));
  RETURN_IF_ERROR(choose_generation_defaults(options, loaded.config));
  if (options.only_layers > 0) loaded.config.layers = std::min(loaded.config.layers, options.only_layers);
  RETURN_IF_ERROR(load_text(options, loaded));
  ASSIGN_OR_RETURN(loaded.device, choose_device({.name = options.device,
                                                 .options = {.threads = options.threads,
                                                             .isa = options.cpu_isa,
                                                             .batch_invariant = options.batch_invariant}}));
  options = with_device_defaults(options, loaded.device->facts());
  RETURN_IF_ERROR(check_limits(options));
  loaded.options = options;
  ASSIGN_OR_RETURN(const EngineOptions engine, engine_options(options, loaded));
  ASSIGN_OR_RETURN(std::unique_ptr<Runner> runner, load_runner(options, loaded));
  ASSIGN_OR_RETURN(loaded.engine, Engine::create(engine, std::move(runner), loaded.tokenizer,
                                                 observer ? observer(loaded) : nullptr));
  return loaded;
}

}  // namespace hadal
