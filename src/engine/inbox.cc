#include "engine/inbox.h"

#include <utility>

namespace hadal {

StatusOr<RequestId> Inbox::push(EngineRequest request, MonotonicTime now) {
  RequestId id = 0;
  {
    MutexLock lock(mutex_);
    RETURN_IF_ERROR(refusal_);
    const int64_t queued = static_cast<int64_t>(mail_.submissions.size()) + taken_queued_;
    if (queued >= max_queued_) {
      return resource_exhausted("{} requests are waiting already (max_queued_requests); try again later",
                                queued);
    }
    id = next_id_++;
    mail_.submissions.push_back({id, std::move(request), now});
  }
  arrived_.notify_one();
  return id;
}

void Inbox::cancel(RequestId id) {
  {
    MutexLock lock(mutex_);
    if (id == 0 || id >= next_id_) return;
    mail_.cancellations.push_back(id);
  }
  arrived_.notify_one();
}

void Inbox::stop_admission() { refuse(unavailable("the engine is shutting down and takes no new requests")); }

void Inbox::refuse(const Status& why) {
  MutexLock lock(mutex_);
  if (refusal_.ok()) refusal_ = why;
}

void Inbox::close() {
  stop_admission();
  {
    MutexLock lock(mutex_);
    mail_.closed = true;
  }
  arrived_.notify_one();
}

Inbox::Mail Inbox::take(Wait wait) {
  mutex_.lock();
  while (wait == Wait::kForMail && !mail_.closed && mail_.submissions.empty() &&
         mail_.cancellations.empty()) {
    arrived_.wait(mutex_);
  }
  Mail mail = std::exchange(mail_, {});
  mail_.closed = mail.closed;
  taken_unfinished_ += static_cast<int64_t>(mail.submissions.size());
  taken_queued_ += static_cast<int64_t>(mail.submissions.size());
  mutex_.unlock();
  return mail;
}

void Inbox::report(int64_t unfinished, int64_t queued) {
  MutexLock lock(mutex_);
  taken_unfinished_ = unfinished;
  taken_queued_ = queued;
}

bool Inbox::idle() const {
  MutexLock lock(mutex_);
  return mail_.submissions.empty() && taken_unfinished_ == 0;
}

int64_t Inbox::queued_here() const {
  MutexLock lock(mutex_);
  return static_cast<int64_t>(mail_.submissions.size());
}

Status Inbox::refusal() const {
  MutexLock lock(mutex_);
  return refusal_;
}

}  // namespace hadal
