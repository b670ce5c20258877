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

/// Errors: invalid_argument naming what is wrong and the limit.
Status check_request(const EngineRequest& request, const RunnerInfo& info, const StepBudget& budget,
                     const KvCache& cache, bool has_text);

}  // namespace hadal
