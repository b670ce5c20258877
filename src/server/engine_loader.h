// From a MODEL argument to a running engine: the steps that serve, generate, eval and bench share.
//
//   resolve the folder > config > tokenizer and template > device > checkpoint > runner > tenants > engine
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/status.h"
#include "device/device.h"
#include "engine/engine.h"
#include "model/config.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace hadal {

/// Names and meanings follow vLLM where it has them.
struct EngineConfig {
  std::string model;                 // folder, or hub id in the local cache
  std::string device = "auto";       // auto, cpu, cuda, ref (server/device_choice.h)
  std::string load_format = "auto";  // auto, safetensors; dummy: made-up weights
  std::string dtype = "auto";  // auto (the checkpoint's; float16 computes in bfloat16), float32, bfloat16
  std::string kv_cache_dtype = "auto";  // auto (as dtype), bfloat16 (bf16), fp8_e4m3, fp8_e5m2
  int32_t max_model_len = 0;            // 0: the model's, bounded by what the cache holds
  int32_t block_size = 64;
  int32_t num_blocks = 0;                        // --num-gpu-blocks-override
  uint64_t kv_cache_bytes = 0;                   // --kv-cache-memory-bytes
  std::optional<double> gpu_memory_utilization;  // see server/cache_plan.h
  int32_t max_num_seqs = 0;                      // 0: by the device, 64 on a CPU, 256 on a GPU
  int32_t max_num_batched_tokens = 0;            // 0: by the device, 512 on a CPU, 8192 on a GPU
  bool enforce_eager = false;                    // GPU: no graphs
  int32_t max_cudagraph_capture_size = 0;  // GPU: largest batch with a graph; 0: max_num_seqs, at most 512
  bool batch_invariant = false;            // GPU: BackendOptions::batch_invariant
  int32_t long_prefill_token_threshold = 0;
  int32_t max_num_queued_reqs = 1024;
  int64_t max_num_queued_tokens = 0;

  std::string scheduling_policy = "fair";  // fair, fcfs, static; priority is fair
  std::string tenants_file;                // server/tenants_file.h
  bool no_tenant_cache_salt = false;
  double output_token_cost = 2.0;
  bool enable_prefix_caching = true;
  bool exact = false;
  bool kv_cache_metrics = false;
  std::string expert_load_metrics = "auto";  // auto, experts, layers, off (server/expert_metrics.h)
  double step_timeout_s = 0.0;

  int32_t chunk = 0;                  // eval only
  bool measure_step_gaps = false;     // bench only: EngineObserver::on_step_gap
  bool return_prompt_logits = false;  // eval only: room for the logits of every row of a step
  int32_t threads = 0;
  std::string cpu_isa;
  bool skip_tokenizer = false;
  std::optional<std::string> chat_template_file;  // or, with "{" in it, the template itself
  std::string generation_config = "auto";         // auto: the checkpoint's; vllm: the API's defaults; a folder
  std::string override_generation_config;         // a JSON object over that; empty: nothing
  int32_t only_layers = 0;  // > 0: the first layers alone (inspect's trial step)
};

struct LoadedEngine {
  std::string folder;
  std::string id;        // the model as the user named it
  EngineConfig options;  // with what the device decided
  ModelConfig config;
  std::shared_ptr<const Tokenizer> tokenizer;         // null with skip_tokenizer
  std::shared_ptr<const ChatTemplate> chat_template;  // null where the checkpoint has none
  std::shared_ptr<Device> device;
  int32_t max_model_len = 0;
  std::unique_ptr<Engine> engine;
};

/// Makes the engine's observer once the model's facts are known.
using ObserverMaker = std::function<std::shared_ptr<EngineObserver>(const LoadedEngine&)>;

StatusOr<LoadedEngine> load_engine(const EngineConfig& options, const ObserverMaker& observer = nullptr);

/// The compute dtype that `dtype` asks for ("auto": by the checkpoint's torch_dtype).
StatusOr<DType> compute_dtype(const std::string& dtype, const ModelConfig& config);
StatusOr<DType> cache_dtype(const std::string& kv_cache_dtype, DType compute);
StatusOr<SchedulingPolicy> scheduling_policy(const std::string& name);

/// The template of a checkpoint folder: `file` if given, else its own, else its family's encoder; null if
/// none.
StatusOr<std::shared_ptr<const ChatTemplate>> load_chat_template(const std::string& folder,
                                                                 const Tokenizer* tokenizer,
                                                                 const std::optional<std::string>& file);

}  // namespace hadal
