// The cache sized by what a device has left. Everything else is made first, with a cache of one block; then
// the largest steps are run for once, so that whatever the device takes for them has been taken (code of
// kernels, scratch of libraries), one graph is captured to see what it takes, and what is left of
// DeviceRunnerOptions::memory_bytes becomes the cache.
#include <algorithm>

#include "base/log.h"
#include "runner/device_runner_impl.h"

namespace hadal {
namespace {

/// A device gives memory out in pieces of this size; a buffer a layer wastes up to one each.
constexpr uint64_t kGranule = uint64_t{2} << 20;

/// Asks the sampler for all that a request may.
std::shared_ptr<const SamplingParams> greedy_for_nothing(int32_t vocab) {
  auto params = std::make_shared<SamplingParams>();
  params->repetition_penalty = 1.5f;
  params->top_k = 50;
  params->top_p = 0.9f;
  params->logprobs = std::min(20, vocab);
  params->logit_bias = {{0, 1.0f}};
  return params;
}

StepRow profiled_row(const RunnerInfo& info, size_t index, TokenForm form, int32_t tokens,
                     const std::shared_ptr<const SamplingParams>& sampling) {
  StepRow row;
  row.sequence = index;
  row.form = form;
  row.tokens.assign(static_cast<size_t>(tokens), 0);
  for (const RunnerCacheGroup& group : info.groups)
    row.block_table.emplace_back(static_cast<size_t>(blocks_for(tokens, group.block_tokens)), 1);
  row.logits = LogitsWanted::kSampleLast;
  row.sampling = sampling;
  row.prompt = std::make_shared<const std::vector<int32_t>>(row.tokens);
  row.forbidden = {0};
  return row;
}

}  // namespace

std::vector<CacheGroupSpec> DeviceRunner::smallest_cache() const {
  std::vector<CacheGroupSpec> specs = specs_;
  for (CacheGroupSpec& spec : specs) spec.num_blocks = 2;  // the null block and one
  return specs;
}

/// All tokens of all rows lie in the one block: what they compute is of no use, what it takes is the same.
Status DeviceRunner::run_largest_steps() {
  const auto sampling = greedy_for_nothing(info_.vocab_size);
  StepPlan prompts, decodes;
  for (int32_t left = options_.model.max_tokens; left > 0 && prompts.rows.size() < sequence_rows();) {
    const int32_t tokens = std::min(left, info_.max_model_len);
    prompts.rows.push_back(profiled_row(info_, prompts.rows.size(), TokenForm::kPrompt, tokens, sampling));
    left -= tokens;
  }
  for (size_t row = 0; row < sequence_rows(); ++row)
    decodes.rows.push_back(profiled_row(info_, row, TokenForm::kOutput, 1, sampling));
  for (const StepPlan* plan : {&prompts, &decodes}) {
    ASSIGN_OR_RETURN(const Ticket ticket, launch(*plan));
    RETURN_IF_ERROR(collect(ticket).status());
  }
  return OkStatus();
}

size_t DeviceRunner::sequence_rows() const {
  return static_cast<size_t>(std::min(options_.max_rows, options_.model.max_tokens));
}

/// Of all graphs, going by the largest.
StatusOr<uint64_t> DeviceRunner::measure_graphs() {
  if (!captures()) return uint64_t{0};
  const uint64_t before = device_->facts().free_bytes;
  ASSIGN_OR_RETURN(const Graph largest, capture_graph(graphs_.buckets().back()));
  const uint64_t after = device_->facts().free_bytes;
  return (before - std::min(before, after)) * graphs_.buckets().size();
}

/// `free_at_start`: of the device, before the runner took any.
Status DeviceRunner::size_by_use(const ModelConfig& config, uint64_t free_at_start) {
  const uint64_t provisional = cache_bytes_of(model_->cache_groups(), specs_);
  RETURN_IF_ERROR(run_largest_steps());
  const uint64_t in_use = free_at_start - std::min(free_at_start, device_->facts().free_bytes);
  const uint64_t taken = in_use - std::min(in_use, provisional);
  ASSIGN_OR_RETURN(const uint64_t graphs, measure_graphs());
  const uint64_t sampling = sampler_->bytes_to_come();
  const uint64_t rounding = kGranule * static_cast<uint64_t>(config.layers);
  const uint64_t other = taken + graphs + sampling + rounding;
  const std::string sum = fmt::format(
      "of {} MiB of device memory weights, buffers and kernels take {} MiB, graphs {} MiB, "
      "sampling up to {} MiB more",
      options_.memory_bytes >> 20, taken >> 20, graphs >> 20, (sampling + rounding) >> 20);
  if (other >= options_.memory_bytes) {
    return resource_exhausted(
        "{}: nothing is left for the KV cache; a larger --gpu-memory-utilization, or a smaller "
        "--max-num-batched-tokens or --max-num-seqs would help",
        sum);
  }
  CacheSizing sizing = cache_sizing();
  sizing.num_blocks = 0;
  sizing.cache_bytes = options_.memory_bytes - other;
  // without room for one token it stays, and is refused below
  const int32_t longest = options_.fit_max_model_len ? longest_context(model_->cache_groups(), sizing) : 0;
  if (longest > 0) sizing.max_model_len = longest;
  StatusOr<std::vector<CacheGroupSpec>> specs = size_cache(model_->cache_groups(), sizing);
  if (!specs.ok()) return annotate(specs.status(), sum);
  if (sizing.max_model_len < info_.max_model_len) {
    log_info("context limited to {} tokens by the KV cache of {} MiB", sizing.max_model_len,
             sizing.cache_bytes >> 20);
  }
  log_info("{}; {} MiB are KV cache", sum, cache_bytes_of(model_->cache_groups(), *specs) >> 20);
  specs_ = *std::move(specs);
  cache_.reset();  // the one block
  RETURN_IF_ERROR(make_cache());
  describe(config);
  info_.max_model_len = sizing.max_model_len;
  batch_->set_blocks(specs_);
  return OkStatus();
}

}  // namespace hadal
