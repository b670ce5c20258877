#include "cli/engine_options.h"

namespace hadal {

void add_model_option(OptionTable& table, EngineConfig& config) {
  table.positional("MODEL", &config.model,
                   "checkpoint folder, or hub id (org/name) in the local Hugging Face cache");
}

void add_device_options(OptionTable& table, EngineConfig& config) {
  table.option("--device", &config.device, "where to run", {"auto", "cpu", "ref"});
  table.option("--dtype", &config.dtype, "dtype of activations and matrix products",
               {"auto", "float32", "bfloat16"});
  table.option("--kv-cache-dtype", &config.kv_cache_dtype, "dtype of the KV cache",
               {"auto", "bfloat16", "fp8", "fp8_e4m3", "fp8_e5m2"});
  table.option("--threads", &config.threads, "CPU threads; 0: all that this process may use");
  table.option("--cpu-isa", &config.cpu_isa, "CPU instruction set; default: the best of this machine",
               {"", "portable", "avx2", "avx512", "avx512bf16"});
}

void add_capacity_options(OptionTable& table, EngineConfig& config) {
  table.option("--max-model-len", &config.max_model_len,
               "longest context in tokens; 0: the model's, if the cache holds it");
  table.option("--max-num-seqs", &config.max_num_seqs, "sequences that run together");
  table.option("--max-num-batched-tokens", &config.max_num_batched_tokens, "tokens of one step");
  table.option("--max-num-queued-reqs", &config.max_num_queued_reqs,
               "requests that may wait; more are answered 429");
  table.option("--block-size", &config.block_size, "tokens in a block of the KV cache");
  table.option("--kv-cache-memory-bytes", &config.kv_cache_bytes,
               "bytes of KV cache; 0: up to 2 GiB, at most a quarter of free memory");
  table.option("--num-gpu-blocks-override", &config.num_blocks, "blocks of KV cache, in place of bytes");
}

}  // namespace hadal
