// The engine: takes requests from any thread, runs them together step by step on a Runner, gives tokens and
// text back through each request's sink.
//
//   drain inbox > plan > commit > runner.launch ... runner.collect > stop check > emit
//
// The engine thread owns scheduler, sequences and blocks without locks. Other threads reach it through a
// bounded inbox; a full inbox is an answer (resource_exhausted), never a block.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "engine/request.h"
#include "engine/scheduler.h"
#include "engine/tenants.h"
#include "runner/runner.h"
#include "text/tokenizer.h"

namespace hadal {

struct EngineOptions {
  int32_t max_num_seqs = 64;
  int32_t max_num_batched_tokens = 512;      // tokens of one step
  int32_t long_prefill_token_threshold = 0;  // > 0: most prompt tokens of one request in a step
  int32_t max_prompt_logits = 0;             // > 0: most tokens of a prompt in a step whose logits are wanted
  int32_t chunk = 0;  // > 0: prefill pieces of exactly this many tokens (tests, `hadal eval --chunk`)
  int32_t max_queued_requests = 1024;
  int64_t max_queued_tokens = 0;  // prompt tokens that may wait; 0: no limit
  SchedulingPolicy policy = SchedulingPolicy::kFair;
  double output_token_cost = 2.0;  // in the tenants' counters; a prompt token costs 1

  std::vector<TenantSettings> tenants;  // declared ones
  TenantSettings default_tenant;        // of all others

  bool prefix_caching = true;
  bool exact = false;        // reuse only blocks of the same form: bit-identical with and without hits
  bool salt_tenants = true;  // keep tenants' prefixes apart
  std::vector<std::vector<int32_t>> shared_prefixes;  // declared: stored once, pinned, serve all tenants
  EvictionPolicy eviction = EvictionPolicy::kReuse;
  std::optional<uint64_t> hash_secret;  // tests; default: drawn at start
  bool cache_metrics = false;           // kv_block_* observations

  double step_timeout_s =
      0.0;  // > 0: a step that takes longer is a hang: everything fails, health() is not ok
};

struct TenantStats {
  std::string name;
  int64_t running = 0, waiting = 0;  // sequences; requests
  int64_t blocks_held = 0, blocks_cached = 0;
  int64_t prompt_tokens = 0, generation_tokens = 0, preemptions = 0;
  double counter = 0.0;  // virtual tokens over the weight
};

/// Figures for /metrics and logs; one consistent reading.
struct EngineStats {
  int64_t running = 0, waiting = 0;
  int64_t blocks_total = 0, blocks_used = 0;  // used: held or in flight
  int64_t blocks_free = 0, blocks_cached = 0, blocks_pinned = 0;
  int64_t held_places = 0, used_places = 0;  // token places in held blocks; of them in use
  int64_t prompt_tokens = 0, generation_tokens = 0, preemptions = 0, steps = 0;
  int64_t prompt_tokens_cached = 0, prompt_tokens_recomputed = 0;
  int64_t prefix_queries = 0, prefix_hits = 0;  // tokens
  int64_t evictions = 0, resumed = 0;
  int64_t refused_deadline = 0;
  double tokens_per_second = 0.0;    // of steps that were full; 0: not measured
  double requests_per_second = 0.0;  // how fast the queue drains; 0: not measured
  std::vector<TenantStats> tenants;
};

/// Observations that become histograms; called on the engine's thread, must be quick.
class EngineObserver {
 public:
  virtual ~EngineObserver() = default;
  virtual void on_step(int32_t tokens, double seconds) {}
  virtual void on_block_life(const BlockLifeEvent& event) {}
  virtual void on_tenant_first_token(const std::string& tenant, double seconds_since_arrival) {}
  virtual void on_first_token(double seconds_since_arrival) {}
  virtual void on_next_token(double seconds_since_last) {}
  struct Finished {
    FinishReason reason = FinishReason::kNone;
    int32_t prompt_tokens = 0, cached_tokens = 0, output_tokens = 0, max_tokens = 0, num_choices = 1;
    std::string tenant;
    double queue_seconds = 0, prefill_seconds = 0, decode_seconds = 0, e2e_seconds = 0;
  };
  virtual void on_finished(const Finished& finished) {}
};

class Engine {
 public:
  /// `tokenizer` may be null (--skip-tokenizer-init): then no text is made and stop strings are refused.
  static StatusOr<std::unique_ptr<Engine>> create(const EngineOptions& options,
                                                  std::unique_ptr<Runner> runner,
                                                  std::shared_ptr<const Tokenizer> tokenizer,
                                                  std::shared_ptr<EngineObserver> observer = nullptr,
                                                  const Clock& clock = Clock::real());
  virtual ~Engine() = default;  // stops the thread; unfinished requests get kAbort

  /// Any thread. Errors: invalid_argument (a prompt over the context, ids out of range, nothing to do),
  /// resource_exhausted (the tenant's queue is full), unavailable (the engine's queue is full, or it is
  /// draining or dead; queue_full() tells them apart). On success the sink gets exactly one output with a
  /// finish for each choice, however the request ends.
  virtual StatusOr<RequestId> submit(EngineRequest request) = 0;

  /// Any thread. Frees the request's blocks as soon as no launched step uses them. Unknown ids are ignored.
  virtual void cancel(RequestId id) = 0;

  /// Refuses new requests from now on; running ones go on.
  virtual void stop_admission() = 0;
  /// True once nothing runs or waits.
  virtual bool idle() const = 0;

  /// Did submit() refuse for a full queue?
  static bool queue_full(const Status& status);
  /// When a refused request may find room, from the measured rate at which the queue drains; at least 1.
  virtual int32_t retry_after_seconds() const = 0;

  /// Any thread. Forgets what the prefix cache can find; blocks in use stay. Done before the next step.
  virtual void reset_prefix_cache() = 0;

  virtual EngineStats stats() const = 0;
  virtual const RunnerInfo& runner_info() const = 0;
  /// Not ok after the engine died (a step failed in a way that cannot be contained).
  virtual Status health() const = 0;
};

}  // namespace hadal
