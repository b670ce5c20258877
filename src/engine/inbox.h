// Where other threads leave requests and cancellations for the engine's thread.
//
// New requests are bounded: max_queued counts those here and those that the engine has taken and not yet
// scheduled. Cancellations are not, for one that was dropped would leak a request; each names a request that
// was accepted.
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
  explicit Inbox(int64_t max_queued) : max_queued_(max_queued) {}

  struct Mail {
    std::vector<Submission> submissions;   // in order of their ids
    std::vector<RequestId> cancellations;  // of requests in `submissions` or taken earlier
    bool closed = false;
  };

  /// Gives the request its id. Errors: resource_exhausted, unavailable.
  StatusOr<RequestId> push(EngineRequest request, MonotonicTime now) EXCLUDES(mutex_);
  void cancel(RequestId id) EXCLUDES(mutex_);
  void stop_admission() EXCLUDES(mutex_);
  /// The end: nothing more is accepted, and take() returns at once.
  void close() EXCLUDES(mutex_);
  /// Nothing more is accepted, for this reason.
  void refuse(const Status& why) EXCLUDES(mutex_);

  enum class Wait : uint8_t { kNo, kForMail };
  Mail take(Wait wait) EXCLUDES(mutex_);
  /// How many requests the engine has taken and not finished; of these how many not scheduled yet.
  void report(int64_t unfinished, int64_t queued) EXCLUDES(mutex_);

  /// Nothing here, and nothing that the engine has taken is unfinished.
  bool idle() const EXCLUDES(mutex_);
  int64_t queued_here() const EXCLUDES(mutex_);
  Status refusal() const EXCLUDES(mutex_);

 private:
  const int64_t max_queued_;
  mutable Mutex mutex_;
  CondVar arrived_;
  Mail mail_ GUARDED_BY(mutex_);
  RequestId next_id_ GUARDED_BY(mutex_) = 1;
  int64_t taken_unfinished_ GUARDED_BY(mutex_) = 0;
  int64_t taken_queued_ GUARDED_BY(mutex_) = 0;
  Status refusal_ GUARDED_BY(mutex_);
};

}  // namespace hadal
