// Where other threads leave requests and cancellations for the engine's thread.
//
// New requests are bounded, in all (requests, prompt tokens) and for each tenant: what counts are those here
// and those that the engine has taken and not yet scheduled. Cancellations are not, for one that was dropped
// would leak a request; each names a request that was accepted.
//
// Threads: any; take() and report_queued() are the engine's.
#pragma once

#include <cstdint>
#include <vector>

#include "base/mutex.h"
#include "base/status.h"
#include "engine/request_state.h"

namespace hadal {

class Inbox {
 public:
  struct Limits {
    int64_t requests = 0;
    int64_t tokens = 0;  // 0: no limit
  };
  explicit Inbox(const Limits& limits) : limits_(limits) {}

  struct Mail {
    std::vector<AcceptedRequest> submissions;   // in order of their ids
    std::vector<RequestId> cancellations;  // of requests in `submissions` or taken earlier
    bool reset_prefix_cache = false;
    bool closed = false;
  };

  /// Gives the request its id. `tenant_limit`: how many of the tenant's may wait; 0: any number. Errors:
  /// resource_exhausted (the tenant's queue is full), unavailable (the whole queue is full, or nothing is
  /// accepted any more).
  StatusOr<RequestId> push(EngineRequest request, MonotonicTime now, TenantId tenant, int32_t tenant_limit)
      EXCLUDES(mutex_);
  void reset_prefix_cache() EXCLUDES(mutex_);
  void cancel(RequestId id) EXCLUDES(mutex_);
  void stop_admission() EXCLUDES(mutex_);
  /// The end: nothing more is accepted, and take() returns at once.
  void close() EXCLUDES(mutex_);
  /// Nothing more is accepted, for this reason.
  void refuse(const Status& why) EXCLUDES(mutex_);

  enum class Wait : uint8_t { kNo, kForMail };
  Mail take(Wait wait) EXCLUDES(mutex_);
  /// What the engine has taken and not finished; of this what is not scheduled yet.
  struct Taken {
    int64_t unfinished = 0, queued = 0, queued_tokens = 0;
    std::vector<int64_t> queued_by_tenant;
  };
  void report(Taken taken) EXCLUDES(mutex_);

  /// Nothing here, and nothing that the engine has taken is unfinished.
  bool idle() const EXCLUDES(mutex_);
  int64_t queued_here() const EXCLUDES(mutex_);
  int64_t queued_in_all() const EXCLUDES(mutex_);
  Status refusal() const EXCLUDES(mutex_);

 private:
  int64_t of_tenant(TenantId tenant) const REQUIRES(mutex_);
  const Limits limits_;
  mutable Mutex mutex_;
  CondVar arrived_;
  Mail mail_ GUARDED_BY(mutex_);
  RequestId next_id_ GUARDED_BY(mutex_) = 1;
  int64_t tokens_here_ GUARDED_BY(mutex_) = 0;
  Taken taken_ GUARDED_BY(mutex_);
  Status refusal_ GUARDED_BY(mutex_);
};

}  // namespace hadal
