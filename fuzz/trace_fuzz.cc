// Bytes of a trace file: what is accepted keeps the rules of lab/traces.h and can be used.
// deps: hadal_lab
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "lab/cache_simulation.h"
#include "lab/traces.h"
#include "lab/workload.h"

namespace {

void check(const hadal::Trace& trace) {
  if (trace.requests.empty() || trace.requests.front().arrival_s != 0.0) std::abort();
  double before = 0.0;
  for (const hadal::TraceRequest& request : trace.requests) {
    if (!(request.arrival_s >= before)) std::abort();
    before = request.arrival_s;
    if (request.input_tokens < 1 || request.input_tokens > hadal::kMaxTraceTokens) std::abort();
    if (request.output_tokens < 0 || request.output_tokens > hadal::kMaxTraceTokens) std::abort();
    const auto blocks =
        (request.input_tokens + hadal::kMooncakeBlockTokens - 1) / hadal::kMooncakeBlockTokens;
    if (request.hash_ids.size() > static_cast<size_t>(blocks)) std::abort();
  }
}

/// What is made of an accepted trace: prompts of the promised length, and a cache that hits no more than the
/// future allows.
void use(const hadal::Trace& trace) {
  hadal::WorkloadOptions options;
  options.num_prompts = 4;
  options.arrivals.kind = hadal::ArrivalKind::kRecorded;
  options.tokens.length_scale = 0.3;
  options.limits.max_input = 2000;
  const auto workload = hadal::trace_workload(trace, options);
  if (!workload.ok()) std::abort();
  for (const hadal::PlannedRequest& request : workload->requests) {
    const auto tokens = hadal::prompt_tokens(request, workload->tokens);
    if (tokens.size() != static_cast<size_t>(request.input_tokens)) std::abort();
  }
  const auto blocks = hadal::block_trace(trace);
  if (!blocks.ok()) return;
  const auto hits =
      hadal::simulate_cache(*blocks, blocks->longest, hadal::default_reuse_bonus(blocks->longest));
  if (!hits.ok() || hits->hits > hadal::simulate_unlimited(*blocks).hits) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto trace = hadal::parse_trace(bytes);
  if (!trace.ok()) {
    if (trace.status().message().empty()) std::abort();
    return 0;
  }
  check(*trace);
  use(*trace);
  return 0;
}
