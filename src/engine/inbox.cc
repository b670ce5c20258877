#include "engine/inbox.h"

#include <utility>

#include "engine/engine.h"

namespace hadal {
namespace {

constexpr std::string_view kQueueFull = "the queue is full: ";

Status queue_full_error(const std::string& why) {
  return unavailable("{}{}; try again later", kQueueFull, why);
}

}  // namespace

bool Engine::queue_full(const Status& status) {
  return absl::IsUnavailable(status) && message_of(status).substr(0, kQueueFull.size()) == kQueueFull;
}

int64_t Inbox::of_tenant(TenantId tenant) const {
  const auto t = static_cast<size_t>(tenant);
  int64_t count = t < taken_.queued_by_tenant.size() ? taken_.queued_by_tenant[t] : 0;
  for (const AcceptedRequest& one : mail_.submissions) count += one.tenant == tenant ? 1 : 0;
  return count;
}

StatusOr<RequestId> Inbox::push(EngineRequest request, MonotonicTime now, TenantId tenant,
                                int32_t tenant_limit) {
  RequestId id = 0;
  {
    MutexLock lock(mutex_);
    RETURN_IF_ERROR(refusal_);
    const int64_t queued = static_cast<int64_t>(mail_.submissions.size()) + taken_.queued;
    const int64_t tokens = tokens_here_ + taken_.queued_tokens;
    const auto prompt = static_cast<int64_t>(request.prompt_ids.size());
    if (tenant_limit > 0 && of_tenant(tenant) >= tenant_limit) {
      return resource_exhausted(
          "{} requests of tenant '{}' are waiting already (max_queued); try again later", tenant_limit,
          request.tenant);
    }
    if (queued >= limits_.requests) {
      return queue_full_error(fmt::format("{} requests are waiting already (max_num_queued_reqs)", queued));
    }
    // a request alone is taken however long it is: whether it fits is another check's matter
    if (limits_.tokens > 0 && tokens > 0 && tokens + prompt > limits_.tokens) {
      return queue_full_error(
          fmt::format("{} prompt tokens are waiting already (max_num_queued_tokens)", tokens));
    }
    id = next_id_++;
    tokens_here_ += prompt;
    mail_.submissions.push_back({id, std::move(request), now, tenant});
  }
  arrived_.notify_one();
  return id;
}

void Inbox::reset_prefix_cache() {
  {
    MutexLock lock(mutex_);
    mail_.reset_prefix_cache = true;
  }
  arrived_.notify_one();
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
         mail_.cancellations.empty() && !mail_.reset_prefix_cache) {
    arrived_.wait(mutex_);
  }
  Mail mail = std::exchange(mail_, {});
  mail_.closed = mail.closed;
  const auto count = static_cast<int64_t>(mail.submissions.size());
  taken_.unfinished += count;
  taken_.queued += count;
  taken_.queued_tokens += std::exchange(tokens_here_, 0);
  for (const AcceptedRequest& one : mail.submissions) {
    const auto t = static_cast<size_t>(one.tenant);
    if (t >= taken_.queued_by_tenant.size()) taken_.queued_by_tenant.resize(t + 1, 0);
    ++taken_.queued_by_tenant[t];
  }
  mutex_.unlock();
  return mail;
}

void Inbox::report(Taken taken) {
  MutexLock lock(mutex_);
  taken_ = std::move(taken);
}

bool Inbox::idle() const {
  MutexLock lock(mutex_);
  return mail_.submissions.empty() && taken_.unfinished == 0;
}

int64_t Inbox::queued_here() const {
  MutexLock lock(mutex_);
  return static_cast<int64_t>(mail_.submissions.size());
}

int64_t Inbox::queued_in_all() const {
  MutexLock lock(mutex_);
  return static_cast<int64_t>(mail_.submissions.size()) + taken_.queued;
}

Status Inbox::refusal() const {
  MutexLock lock(mutex_);
  return refusal_;
}

}  // namespace hadal
