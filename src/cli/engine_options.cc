#include "cli/engine_options.h"

namespace hadal {
namespace {
constexpr double kDefaultStepTimeout = 300.0;
}

void add_model_option(OptionTable& table, EngineConfig& config) {
  table.positional("MODEL", &config.model,
                   "checkpoint folder, or hub id (org/name) in the local Hugging Face cache");
}

void add_device_options(OptionTable& table, EngineConfig& config) {
  table.option("--device", &config.device,
               "where to run; auto: a GPU where one can be used, else the CPU (one line says why)",
               {"auto", "cpu", "cuda", "ref"});
  table.option(
      "--load-format", &config.load_format,
      "dummy: no weights are read, random ones are made up (only config.json is needed): for measuring",
      {"auto", "safetensors", "dummy"});
  table.option("--enforce-eager", &config.enforce_eager, "GPU: launch every kernel, capture no graphs");
  table.option("--max-cudagraph-capture-size", &config.max_cudagraph_capture_size,
               "GPU: largest decode batch that is replayed as a graph; 0: --max-num-seqs, at most 512");
  table.option("--batch-invariant", &config.batch_invariant,
               "GPU: a request's logits do not change in a single bit with what it is batched with (slower; "
               "on a CPU that always holds)");
  table.option("--dtype", &config.dtype, "dtype of activations and matrix products",
               {"auto", "float32", "bfloat16"});
  table.option("--kv-cache-dtype", &config.kv_cache_dtype, "dtype of the KV cache",
               {"auto", "bfloat16", "bf16", "fp8", "fp8_e4m3", "fp8_e5m2"});
  table.option("--threads", &config.threads, "CPU threads; 0: all that this process may use");
  table.option("--cpu-isa", &config.cpu_isa, "CPU instruction set; default: the best of this machine",
               {"", "portable", "avx2", "avx512", "avx512bf16"});
}

void add_capacity_options(OptionTable& table, EngineConfig& config) {
  table.option("--max-model-len", &config.max_model_len,
               "longest context in tokens; 0: the model's, if the cache holds it");
  table.option("--max-num-seqs", &config.max_num_seqs,
               "sequences that run together; 0: 64 on a CPU, 256 on a GPU");
  table.option("--max-num-batched-tokens", &config.max_num_batched_tokens,
               "tokens of one step; 0: 512 on a CPU, 8192 on a GPU");
  table.option("--block-size", &config.block_size, "tokens in a block of the KV cache");
  table.option("--kv-cache-memory-bytes", &config.kv_cache_bytes,
               "bytes of KV cache; 0: see --gpu-memory-utilization");
  table.option(
      "--gpu-memory-utilization", &config.gpu_memory_utilization,
      "share of the device's memory for all that is taken of it; the KV cache gets what the rest leaves "
      "(0.92). On a CPU: a share of the memory that is "
      "free at start, and only when given; else the cache takes up to 2 GiB, at most a quarter of free "
      "memory");
  table.option("--num-gpu-blocks-override", &config.num_blocks, "blocks of KV cache, in place of bytes");
}

void add_sharing_options(OptionTable& table, EngineConfig& config) {
  // a step of this length is no step any more; who has larger ones says so
  if (config.step_timeout_s == 0.0) config.step_timeout_s = kDefaultStepTimeout;
  table.option("--max-num-queued-reqs", &config.max_num_queued_reqs,
               "requests that may wait; more are answered 503");
  table.option("--max-num-queued-tokens", &config.max_num_queued_tokens,
               "prompt tokens that may wait; more are answered 503; 0: no limit");
  table.option("--long-prefill-token-threshold", &config.long_prefill_token_threshold,
               "most prompt tokens of one request in a step; 0: no limit of its own");
  table.option("--scheduling-policy", &config.scheduling_policy,
               "fair: tenants share by weight, inside a tenant by priority, then arrival; priority: the same "
               "(vLLM's word); "
               "fcfs: first come, first served; static: fcfs in whole batches (for comparison)",
               {"fair", "fcfs", "static", "priority"});
  table.option("--tenants", &config.tenants_file,
               "JSON file of tenants (weights, limits, shares of the cache) and shared prefixes");
  table.option(
      "--no-tenant-cache-salt", &config.no_tenant_cache_salt,
      "let tenants find each other's prefixes (they can then tell by latency what others have sent)");
  table.option("--output-token-cost", &config.output_token_cost,
               "what an output token counts in a tenant's share; a prompt token counts 1");
  table.option("--enable-prefix-caching,!--no-enable-prefix-caching", &config.enable_prefix_caching,
               "keep computed prefixes for later requests (on)");
  table.option(
      "--exact", &config.exact,
      "reuse only what was computed in the same form: not a bit differs with and without prefix hits");
  table.option("--kv-cache-metrics", &config.kv_cache_metrics,
               "histograms of cache blocks' lives in /metrics");
  table.option(
      "--expert-load-metrics", &config.expert_load_metrics,
      "routed experts' load in /metrics: of each expert, of each layer, or not at all; auto: of each "
      "expert up to 4,096 series",
      {"auto", "experts", "layers", "off"});
  table.option(
      "--step-timeout", &config.step_timeout_s,
      "seconds after which a step counts as hung: its requests fail and the server exits 1; 0: never");
}

}  // namespace hadal
