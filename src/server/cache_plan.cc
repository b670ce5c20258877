#include "server/cache_plan.h"

#include <algorithm>

#include "base/log.h"

namespace hadal {
namespace {

// Without a size the cache takes this much, or a quarter of free memory if that is less: a server on a laptop
// shares the machine.
constexpr uint64_t kDefaultCacheBytes = uint64_t{2} << 30;

StatusOr<uint64_t> bytes_of_share(const CacheQuestion& question) {
  const double share = question.memory_utilization.value_or(kDefaultMemoryUtilization);
  if (!(share > 0.0 && share <= 1.0))
    return invalid_argument("--gpu-memory-utilization {} must be over 0 and at most 1", share);
  const uint64_t memory = question.host_memory ? question.free_memory : question.total_memory;
  // what others (and this process's own context) hold of a device counts against the share
  const uint64_t taken = question.host_memory ? 0 : question.total_memory - question.free_memory;
  const auto share_bytes = static_cast<uint64_t>(share * static_cast<double>(memory));
  const uint64_t budget = share_bytes > taken ? share_bytes - taken : 0;
  if (budget <= question.weight_bytes) {
    return resource_exhausted(
        "--gpu-memory-utilization {}: {} MiB of {} MiB of {} memory, {} MiB of them are taken, and the "
        "weights "
        "take {} MiB; a higher share leaves room for a KV cache",
        share, share_bytes >> 20, memory >> 20, question.host_memory ? "free" : "the device's", taken >> 20,
        question.weight_bytes >> 20);
  }
  return budget - question.weight_bytes;
}

/// On a CPU, when nothing is said.
uint64_t modest_bytes(const CacheQuestion& question, int32_t wanted) {
  const auto token = static_cast<uint64_t>(question.token_bytes);
  const auto block = static_cast<uint64_t>(question.block_tokens);
  const uint64_t usable = token * (static_cast<uint64_t>(wanted) + block) *
                              static_cast<uint64_t>(std::max(question.max_num_seqs, 1)) +
                          block * token;  // with the null block
  return std::min({kDefaultCacheBytes, question.free_memory / 4, usable});
}

StatusOr<uint64_t> choose_bytes(const CacheQuestion& question, int32_t wanted) {
  if (question.num_blocks > 0) {
    return static_cast<uint64_t>(question.num_blocks + 1) *
           static_cast<uint64_t>(question.block_tokens * question.token_bytes);
  }
  if (question.cache_bytes > 0) return question.cache_bytes;
  if (question.memory_utilization || !question.host_memory) return bytes_of_share(question);
  return modest_bytes(question, wanted);
}

/// Before anything is read: a device's memory is all there is.
Status check_weights_fit(const CacheQuestion& question) {
  if (question.host_memory || question.weight_bytes < question.free_memory) return OkStatus();
  return resource_exhausted(
      "the device has {} MiB free of {} MiB, and the weights take {} MiB: a smaller or more strongly "
      "quantised "
      "checkpoint is needed, or more GPUs",
      question.free_memory >> 20, question.total_memory >> 20, question.weight_bytes >> 20);
}

Status check_cache_fits(const CacheQuestion& question, uint64_t cache_bytes) {
  if (question.host_memory || question.weight_bytes + cache_bytes <= question.free_memory) return OkStatus();
  return resource_exhausted(
      "the device has {} MiB free of {} MiB; weights of {} MiB and a KV cache of {} MiB do not fit: a KV "
      "cache "
      "of at most {} MiB would",
      question.free_memory >> 20, question.total_memory >> 20, question.weight_bytes >> 20, cache_bytes >> 20,
      (question.free_memory - question.weight_bytes) >> 20);
}

}  // namespace

StatusOr<CachePlan> plan_cache(const CacheQuestion& question) {
  if (question.block_tokens < 1)
    return invalid_argument("--block-size {} must be at least 1", question.block_tokens);
  const int32_t wanted = question.max_model_len > 0 ? question.max_model_len : question.model_max_len;
  if (wanted > question.model_max_len) {
    return invalid_argument("--max-model-len {} is over the checkpoint's max_position_embeddings {}", wanted,
                            question.model_max_len);
  }
  RETURN_IF_ERROR(check_weights_fit(question));
  ASSIGN_OR_RETURN(const uint64_t bytes, choose_bytes(question, wanted));
  RETURN_IF_ERROR(check_cache_fits(question, bytes));
  // one block is the null block
  const int64_t blocks = static_cast<int64_t>(bytes) / (question.block_tokens * question.token_bytes) - 1;
  const int64_t fits = std::max<int64_t>(blocks, 0) * question.block_tokens;
  if (fits < 1) {
    return resource_exhausted(
        "a KV cache of {} bytes does not hold one block of {} tokens ({} bytes a token); raise "
        "--kv-cache-memory-bytes",
        bytes, question.block_tokens, question.token_bytes);
  }
  CachePlan plan;
  plan.bytes = question.num_blocks > 0 ? 0 : bytes;
  if (!question.host_memory && question.num_blocks == 0 && question.cache_bytes == 0)
    plan.memory_bytes = bytes + question.weight_bytes;
  plan.max_model_len = wanted;
  if (question.max_model_len == 0 && fits < wanted) {
    plan.max_model_len = static_cast<int32_t>(fits);
    log_info(
        "context limited to {} tokens by the KV cache of {} MiB ({} bytes a token); --max-model-len and "
        "--kv-cache-memory-bytes change it",
        fits, bytes >> 20, question.token_bytes);
  }
  if (fits < plan.max_model_len) {
    return resource_exhausted(
        "a KV cache of {} bytes holds {} tokens ({} bytes a token), but --max-model-len is {}; raise "
        "--kv-cache-memory-bytes or lower --max-model-len",
        bytes, fits, question.token_bytes, plan.max_model_len);
  }
  return plan;
}

}  // namespace hadal
