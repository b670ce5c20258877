#include "engine/limits.h"

#include <algorithm>
#include <cmath>

namespace hadal {
namespace {

Status check_ids(const std::vector<int32_t>& ids, const char* what, int32_t vocab) {
  for (const int32_t id : ids) {
    if (id < 0 || id >= vocab) {
      return invalid_argument("{} {} is outside the model's vocabulary of {} tokens", what, id, vocab);
    }
  }
  return OkStatus();
}

Status check_stops(const StopParams& stop, bool has_text, bool detokenize, int32_t vocab) {
  if (stop.max_tokens < 1) return invalid_argument("max_tokens must be at least 1, got {}", stop.max_tokens);
  if (stop.min_tokens < 0 || stop.min_tokens > stop.max_tokens) {
    return invalid_argument("min_tokens must lie between 0 and max_tokens ({}), got {}", stop.max_tokens,
                            stop.min_tokens);
  }
  RETURN_IF_ERROR(check_ids(stop.stop_token_ids, "stop token id", vocab));
  if (stop.stop.empty()) return OkStatus();
  if (!has_text) return invalid_argument("stop strings need a tokenizer, and this engine runs without one");
  if (!detokenize) return invalid_argument("stop strings need detokenize to be true");
  const bool empty =
      std::any_of(stop.stop.begin(), stop.stop.end(), [](const auto& text) { return text.empty(); });
  if (empty) return invalid_argument("a stop string must not be empty");
  return OkStatus();
}

Status check_sampling(const SamplingParams& sampling, int32_t vocab) {
  const bool finite = std::isfinite(sampling.temperature) && std::isfinite(sampling.top_p) &&
                      std::isfinite(sampling.min_p) && std::isfinite(sampling.presence_penalty) &&
                      std::isfinite(sampling.frequency_penalty) && std::isfinite(sampling.repetition_penalty);
  if (!finite) return invalid_argument("a sampling parameter is not a finite number");
  if (sampling.temperature < 0) return invalid_argument("temperature must not be negative");
  if (sampling.top_p <= 0 || sampling.top_p > 1) return invalid_argument("top_p must lie in (0, 1]");
  if (sampling.min_p < 0 || sampling.min_p > 1) return invalid_argument("min_p must lie in [0, 1]");
  if (sampling.repetition_penalty <= 0) return invalid_argument("repetition_penalty must be positive");
  if (sampling.logprobs > vocab)
    return invalid_argument("logprobs {} is more than the vocabulary", sampling.logprobs);
  for (const auto& [id, value] : sampling.logit_bias) {
    RETURN_IF_ERROR(check_ids({id}, "logit_bias token id", vocab));
    if (!std::isfinite(value)) return invalid_argument("logit_bias of token {} is not a finite number", id);
  }
  return OkStatus();
}

Status check_rules(const DrawRules& rules, int32_t vocab) {
  RETURN_IF_ERROR(check_ids(rules.allowed_token_ids, "allowed token id", vocab));
  for (const auto& word : rules.bad_words) {
    if (word.empty()) return invalid_argument("a bad word has no tokens");
    RETURN_IF_ERROR(check_ids(word, "token id of a bad word", vocab));
  }
  const std::vector<uint32_t> mask = rules.mask(vocab);
  if (!mask.empty() && std::all_of(mask.begin(), mask.end(), [](uint32_t word) { return word == 0; }))
    return invalid_argument("the bad words leave none of the allowed tokens");
  if (rules.thinking_budget >= 0) return check_ids({rules.end_of_thinking}, "end of thinking", vocab);
  return OkStatus();
}

/// The piece that the scheduler can always fall back to.
int32_t smallest_piece(const StepBudget& budget) { return std::max(budget.chunk, 1); }

Status check_choices(const EngineRequest& request, const StepBudget& budget) {
  const int32_t n = request.num_choices;
  if (n < 1) return invalid_argument("n must be at least 1, got {}", n);
  if (n > budget.max_sequences) {
    return invalid_argument("n is {}, and at most {} sequences run together (max_num_seqs)", n,
                            budget.max_sequences);
  }
  if (request.wants_prompt_logits() && n + 1 > budget.max_rows) {
    return invalid_argument("returning prompt logits for n = {} needs {} rows in a step, which has {}", n,
                            n + 1, budget.max_rows);
  }
  return OkStatus();
}

Status check_resume(const EngineRequest& request, int32_t vocab) {
  if (request.resume_ids.empty()) return OkStatus();
  if (request.num_choices != 1)
    return invalid_argument("a resumed request continues one choice, not n = {}", request.num_choices);
  if (request.wants_prompt_logits()) return invalid_argument("a resumed request returns no prompt logits");
  return check_ids(request.resume_ids, "resumed token id", vocab);
}

Status check_length(const EngineRequest& request, const TenantSettings& tenant, const RunnerInfo& info,
                    const StepBudget& budget, const CacheShares& shares) {
  const auto prompt = static_cast<int64_t>(request.prompt_ids.size());
  if (prompt == 0) return invalid_argument("the prompt is empty");
  if (prompt >= info.max_model_len) {
    return invalid_argument("the prompt has {} tokens; the context of {} leaves room for at most {}", prompt,
                            info.max_model_len, info.max_model_len - 1);
  }
  if (prompt + static_cast<int64_t>(request.resume_ids.size()) > info.max_model_len) {
    return invalid_argument("the prompt's {} tokens and the {} resumed ones are over the context of {}",
                            prompt, request.resume_ids.size(), info.max_model_len);
  }
  // the last token is never read back, so it needs no place
  const int64_t longest = std::min<int64_t>(prompt + request.stop.max_tokens, info.max_model_len) - 1;
  if (!shares.can_ever_hold(tenant, static_cast<int32_t>(longest), smallest_piece(budget))) {
    return invalid_argument(
        "the prompt's {} tokens and max_tokens {} are more than the KV cache can hold{}; "
        "ask for less or give the engine more cache memory",
        prompt, request.stop.max_tokens,
        tenant.name.empty() ? "" : fmt::format(" for tenant '{}'", tenant.name));
  }
  return OkStatus();
}

}  // namespace

std::vector<CacheGroupSpec> cache_specs(const RunnerInfo& info) {
  std::vector<CacheGroupSpec> specs;
  for (const RunnerCacheGroup& group : info.groups) {
    specs.push_back({group.name, group.block_tokens, group.num_blocks, group.window});
  }
  return specs;
}

Status check_options(const EngineOptions& options, const RunnerInfo& info) {
  if (options.max_num_seqs < 1)
    return invalid_argument("max_num_seqs must be at least 1, got {}", options.max_num_seqs);
  if (options.max_num_seqs > info.max_rows_per_step) {
    return invalid_argument("max_num_seqs is {}, and the runner takes {} rows in a step",
                            options.max_num_seqs, info.max_rows_per_step);
  }
  if (options.max_num_batched_tokens > info.max_tokens_per_step) {
    return invalid_argument("max_num_batched_tokens is {}, and the runner takes {} tokens in a step",
                            options.max_num_batched_tokens, info.max_tokens_per_step);
  }
  if (options.max_num_batched_tokens < options.max_num_seqs) {
    return invalid_argument("max_num_batched_tokens ({}) must be at least max_num_seqs ({})",
                            options.max_num_batched_tokens, options.max_num_seqs);
  }
  if (options.chunk < 0 || options.chunk > options.max_num_batched_tokens) {
    return invalid_argument("chunk must lie between 0 and max_num_batched_tokens ({}), got {}",
                            options.max_num_batched_tokens, options.chunk);
  }
  if (options.max_queued_requests < 1) {
    return invalid_argument("max_queued_requests must be at least 1, got {}", options.max_queued_requests);
  }
  if (options.max_queued_tokens < 0 || options.long_prefill_token_threshold < 0) {
    return invalid_argument("max_queued_tokens and long_prefill_token_threshold must not be negative");
  }
  if (!std::isfinite(options.output_token_cost) || options.output_token_cost <= 0) {
    return invalid_argument("output_token_cost must be positive, got {}", options.output_token_cost);
  }
  if (info.vocab_size < 1 || info.max_model_len < 2) {
    return invalid_argument("the runner has a vocabulary of {} and a context of {}", info.vocab_size,
                            info.max_model_len);
  }
  return OkStatus();
}

StepBudget step_budget(const EngineOptions& options, const RunnerInfo& info) {
  return {.max_tokens = options.max_num_batched_tokens,
          .max_rows = info.max_rows_per_step,
          .max_sequences = options.max_num_seqs,
          .chunk = options.chunk,
          .long_prefill_threshold = options.long_prefill_token_threshold,
          .most_prompt_logits = options.max_prompt_logits,
          .output_token_cost = options.output_token_cost,
          .policy = options.policy};
}

Status check_request(const EngineRequest& request, const TenantSettings& tenant, const RunnerInfo& info,
                     const StepBudget& budget, const CacheShares& shares, bool has_text) {
  if (request.sink == nullptr) return invalid_argument("the request has no sink");
  RETURN_IF_ERROR(check_stops(request.stop, has_text, request.detokenize, info.vocab_size));
  RETURN_IF_ERROR(check_sampling(request.sampling, info.vocab_size));
  RETURN_IF_ERROR(check_rules(request.rules, info.vocab_size));
  if (request.prompt_logprobs > info.vocab_size)
    return invalid_argument("prompt_logprobs {} is more than the vocabulary", request.prompt_logprobs);
  RETURN_IF_ERROR(check_choices(request, budget));
  if (tenant.max_running > 0 && request.num_choices > tenant.max_running) {
    return invalid_argument("n is {}, and at most {} sequences of tenant '{}' run together",
                            request.num_choices, tenant.max_running, tenant.name);
  }
  RETURN_IF_ERROR(check_ids(request.prompt_ids, "prompt token id", info.vocab_size));
  RETURN_IF_ERROR(check_resume(request, info.vocab_size));
  return check_length(request, tenant, info, budget, shares);
}

StatusOr<CacheShares> CacheShares::create(const EngineOptions& options,
                                          const std::vector<CacheGroupSpec>& groups) {
  CacheShares shares;
  shares.groups_ = groups;
  for (const CacheGroupSpec& group : groups) {
    int64_t shared = 0;
    for (const std::vector<int32_t>& prefix : options.shared_prefixes)
      shared += static_cast<int64_t>(prefix.size()) / group.block_tokens;
    int64_t floors = shared;
    for (const TenantSettings& tenant : options.tenants)
      floors += static_cast<int64_t>(tenant.kv_floor * (group.num_blocks - 1));
    if (floors > group.num_blocks - 1) {
      return invalid_argument(
          "cache group {} has {} blocks, and the declared shared prefixes ({} blocks) with the tenants' "
          "floors are {}; "
          "lower kv_floor, shorten the prefixes or give the engine more cache memory",
          group.name, group.num_blocks - 1, shared, floors);
    }
    shares.shared_.push_back(static_cast<int32_t>(shared));
    shares.floors_.push_back(static_cast<int32_t>(floors));
  }
  return shares;
}

std::vector<AccountLimits> CacheShares::limits_of(const TenantSettings& tenant) const {
  std::vector<AccountLimits> limits;
  for (const CacheGroupSpec& group : groups_) {
    const int32_t usable = group.num_blocks - 1;
    limits.push_back({.floor = static_cast<int32_t>(tenant.kv_floor * usable),
                      .ceiling = std::max(1, static_cast<int32_t>(tenant.kv_ceiling * usable))});
  }
  return limits;
}

std::vector<AccountLimits> CacheShares::shared_limits() const {
  std::vector<AccountLimits> limits;
  for (const int32_t blocks : shared_) limits.push_back({.floor = blocks});
  return limits;
}

bool CacheShares::can_ever_hold(const TenantSettings& tenant, int32_t tokens, int32_t piece) const {
  const std::vector<AccountLimits> own = limits_of(tenant);
  for (size_t g = 0; g < groups_.size(); ++g) {
    const int32_t left = groups_[g].num_blocks - 1 - (floors_[g] - own[g].floor);
    if (most_blocks_held(groups_[g], tokens, piece) > std::min(left, own[g].ceiling)) return false;
  }
  return true;
}

}  // namespace hadal
