// The engine without its thread: requests in, one turn after the other, outputs to the sinks. Everything is
// decided here, in one thread and from values alone, so that a run can be replayed (tests, simulation).
//
//   turn():  (plan ▸ commit ▸ runner.launch) while fewer than depth() are out ▸ collect the oldest ▸ stop
//   check ▸
//            deliver
//
// Launched steps are kept in a queue and collected in order (engine_core_steps.cc; docs/contracts/runner.md,
// "Two steps in flight").
//
// Threads: one. Errors: a failed step ends its requests with kError and the core goes on; after
// kMaxFailedSteps in a row, or when the runner throws, health() is not ok and everything has been ended.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

#include "engine/engine.h"
#include "engine/limits.h"
#include "engine/rate_meter.h"
#include "engine/request_state.h"
#include "engine/step_builder.h"

namespace hadal {

class EngineCore {
 public:
  static constexpr int32_t kMaxFailedSteps = 3;

  static StatusOr<std::unique_ptr<EngineCore>> create(const EngineOptions& options,
                                                      std::unique_ptr<Runner> runner,
                                                      TextStreamFactory make_text,
                                                      std::shared_ptr<EngineObserver> observer,
                                                      const Clock& clock);

  /// Would this request be taken? Reads nothing that changes without a lock: any thread may call it.
  Status check(const EngineRequest& request) const;
  /// Names to numbers; any thread. Policies without tenants know only the default one.
  TenantId tenant_of(const EngineRequest& request) const;
  const TenantTable& tenant_table() const { return *tenants_; }

  /// Takes a request that check() found good.
  void add(AcceptedRequest submission);
  /// Ends a request with kAbort; unknown ids are ignored.
  void cancel(RequestId id);
  /// Ends all with kAbort.
  void abort_all();
  /// Ends all with kError and makes health() not ok.
  void die(const Status& why);
  /// Forgets what the prefix cache can find.
  void reset_prefix_cache();

  /// Requests, or a step that has not been collected.
  bool has_work() const { return !requests_.empty() || !in_flight_.empty(); }
  /// Collects what is in flight and launches nothing.
  void drain();
  /// Launches what can be launched and collects the oldest step.
  void turn();

  int64_t requests() const { return static_cast<int64_t>(requests_.size()); }
  /// Requests that no step has touched yet.
  int64_t queued() const { return queued_; }
  /// Waiting requests of each tenant that no step has touched yet, and their prompt tokens.
  const std::vector<int64_t>& queued_by_tenant() const { return queued_by_tenant_; }
  int64_t queued_tokens() const { return queued_tokens_; }
  const EngineStats& stats();
  CacheAccounts cache_accounts() const { return cache_.accounts(); }
  const KvCache& cache() const { return cache_; }  // tests: counts by account
  /// Tests: whom the last step preempted, in order.
  const std::vector<SequenceId>& last_preempted() const { return last_preempted_; }
  const RunnerInfo& runner_info() const { return runner_->info(); }
  /// Any thread.
  ExpertLoad expert_load() const { return runner_->expert_load(); }
  const Status& health() const { return health_; }

 private:
  enum class Fatal : uint8_t { kNo, kYes };  // may the engine go on after a failed step?
  struct InFlight {
    Runner::Ticket ticket = 0;
    CommittedStep step;
    MonotonicTime launched;
  };
  struct Place {  // of a sequence
    RequestState* request = nullptr;
    Choice* choice = nullptr;
  };

  struct Parts {
    std::unique_ptr<Runner> runner;
    KvCache cache;
    CacheShares shares;
    std::unique_ptr<TenantTable> tenants;
  };
  EngineCore(const EngineOptions& options, Parts parts, TextStreamFactory make_text,
             std::shared_ptr<EngineObserver> observer, const Clock& clock);

  void know_tenants();
  SequenceOrigin origin_of(const AcceptedRequest& submission);
  bool feed_resumed(RequestState& request);
  void refuse_late(const std::vector<SequenceId>& refused);
  void measure(const CommittedStep& step, double seconds);

  size_t depth() const;
  bool launch_step();
  void retire_collected();
  void forget_row_in_flight(const Sequence& sequence);
  void collect_step();
  StatusOr<StepResult> collect_checked(const InFlight& flight, Fatal* fatal);
  void note_scheduled(const CommittedStep& step);
  void advance(const CommittedStep::Part& part);
  void take_result(const StepPlan& plan, const ExpectedResult& expected, RowResult& row);
  void take_sample(Place place, const SampledToken& sampled);
  void observe_token(RequestState& request, Choice& choice);

  void finish_choice(RequestState& request, Choice& choice, RequestOutput output);
  void end_request(RequestState& request, FinishReason reason, const Status& error, ErrorKind kind);
  void fail_step(const CommittedStep& step, const Status& error, Fatal fatal);
  void unqueue(RequestState& request);
  TenantStats& tenant_stats(TenantId tenant) { return stats_.tenants[static_cast<size_t>(tenant)]; }
  void reap();
  Place find(SequenceId id) const;

  const EngineOptions options_;
  const StepBudget budget_;
  std::unique_ptr<Runner> runner_;
  KvCache cache_;
  const CacheShares shares_;
  const std::unique_ptr<TenantTable> tenants_;
  const TextStreamFactory make_text_;
  const std::shared_ptr<EngineObserver> observer_;
  const Clock& clock_;

  std::map<RequestId, std::unique_ptr<RequestState>> requests_;
  std::unordered_map<SequenceId, Place> places_;  // for look-up only; nothing iterates over it
  SequenceLists lists_;
  FairClock fair_;
  std::vector<TenantLimits> tenant_limits_;
  std::vector<int64_t> queued_by_tenant_;
  int64_t queued_tokens_ = 0;
  std::deque<InFlight> in_flight_;
  std::vector<SequenceId> last_preempted_;
  std::vector<RequestId> done_;  // to be erased at the end of the turn
  SequenceId next_sequence_ = 1;
  StepId next_step_ = 1;
  int64_t queued_ = 0;
  int32_t failed_steps_ = 0;
  MonotonicTime last_collect_;
  EngineStats stats_;
  RateMeter drained_;  // requests that left the queue
  Status health_;
};

}  // namespace hadal
