// A model on one rank: weights prepared on a device, and the forward pass over a batch of tokens with a paged
// cache. `deepseek` (MLA, mixture of experts) and `dense` (Llama, Qwen2) are written once against Device and
// Communicator.
//
// Threads: one thread at a time (the runner's). Ownership: the model keeps checkpoint and device alive.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "comm/communicator.h"
#include "device/device.h"
#include "model/config.h"
#include "tensor/checkpoint.h"

namespace hadal {

enum class CacheRetention : uint8_t { kFull, kWindow, kState };

/// One cache group as the attention kind declares it: layers that share a block table.
struct CacheGroupLayout {
  std::string name;             // "mla", "gqa", "gqa_window"
  std::vector<int32_t> layers;  // model layers, ascending
  int64_t token_bytes = 0;      // of one layer's record
  CacheRetention retention = CacheRetention::kFull;
  int32_t window = 0;              // kWindow: keys with 0 <= i - j < window are read
  DType dtype = DType::kF32;       // latent, keys, values
  DType rope_dtype = DType::kF32;  // MLA's rotary key (stays bf16 under an fp8 cache)
  int32_t default_block_tokens = 64;
};

struct ModelOptions {
  DType compute = DType::kBF16;  // kF32 or kBF16: dtype of every matrix product's activations
  DType cache = DType::kBF16;    // kF32, kBF16, kF8E4M3, kF8E5M2
  int32_t max_tokens = 512;      // rows of the largest step
  int32_t max_logit_rows = 64;   // rows of the largest step that want logits
  int32_t max_model_len = 4096;  // positions the rotary table covers
};

/// One step's inputs. Everything lies in device memory at addresses that stay the same from step to step.
struct ForwardArgs {
  BackendStream* stream = nullptr;
  const BatchMeta* batch = nullptr;
  const GroupMeta* groups = nullptr;    // one per cache group, in cache_groups() order
  const int32_t* logit_rows = nullptr;  // [logit_count] rows of the batch whose logits are wanted
  int64_t logit_count = 0;
  Mat logits;  // out [logit_count, vocab] F32
};

/// How often each routed expert was chosen by rows that are no padding: counters in device memory that wrap
/// around, added to by every forward pass.
struct ExpertCounters {
  const uint32_t* data = nullptr;  // [layers.size()][experts]; null without routed experts
  std::vector<int32_t> layers;     // model layers, ascending
  int32_t experts = 0;
};

class Model {
 public:
  /// Loads and prepares the weights; a null checkpoint makes them up (model/dummy_weights.h). Errors name the
  /// tensor or the config key.
  static StatusOr<std::unique_ptr<Model>> create(const ModelConfig& config,
                                                 std::shared_ptr<const Checkpoint> checkpoint,
                                                 std::shared_ptr<Device> device, Communicator& communicator,
                                                 const ModelOptions& options);
  virtual ~Model() = default;

  virtual const ModelConfig& config() const = 0;
  virtual const std::vector<CacheGroupLayout>& cache_groups() const = 0;
  /// Where layer `layer` (a model layer) keeps its records: before the first forward, and again where it moves.
  virtual Status bind_cache(int32_t layer, const CacheLayer& cache) = 0;
  virtual Status forward(const ForwardArgs& args) = 0;
  virtual ExpertCounters expert_counters() const { return {}; }
};

/// The cache groups that a config asks for, without loading anything (`hadal inspect`, sizing).
std::vector<CacheGroupLayout> cache_groups_of(const ModelConfig& config, DType cache);

/// Bytes of one token over all layers of all groups.
int64_t cache_bytes_per_token(const std::vector<CacheGroupLayout>& groups);

}  // namespace hadal
