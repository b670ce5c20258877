// What the engine takes and refuses: options against the runner's limits, requests against both.
#pragma once

#include <vector>

#include "base/status.h"
#include "engine/engine.h"
#include "engine/scheduler.h"
#include "kvcache/kv_cache.h"

namespace hadal {

std::vector<CacheGroupSpec> cache_specs(const RunnerInfo& info);

/// Errors: invalid_argument naming the option.
Status check_options(const EngineOptions& options, const RunnerInfo& info);
StepBudget step_budget(const EngineOptions& options, const RunnerInfo& info);

/// Blocks of every cache group that are promised to somebody; fixed at start, so that any thread may read it.
class CacheShares {
 public:
  /// Errors: invalid_argument where declared prefixes and floors are more than the cache.
  static StatusOr<CacheShares> create(const EngineOptions& options,
                                      const std::vector<CacheGroupSpec>& groups);

  /// Floor and ceiling of a tenant, per group.
  std::vector<AccountLimits> limits_of(const TenantSettings& tenant) const;
  /// Of the shared account: declared prefixes.
  std::vector<AccountLimits> shared_limits() const;
  /// Can one sequence of this tenant alone, computed in pieces of at most `piece` tokens, ever hold `tokens`
  /// tokens while the others use their floors?
  bool can_ever_hold(const TenantSettings& tenant, int32_t tokens, int32_t piece) const;

 private:
  std::vector<CacheGroupSpec> groups_;
  std::vector<int32_t> shared_;  // blocks of declared prefixes
  std::vector<int32_t> floors_;  // of all tenants and the declared prefixes
};

/// Errors: invalid_argument naming what is wrong and the limit.
Status check_request(const EngineRequest& request, const TenantSettings& tenant, const RunnerInfo& info,
                     const StepBudget& budget, const CacheShares& shares, bool has_text);

}  // namespace hadal
