#include "engine/threaded_engine.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <system_error>

#include "base/log.h"

namespace hadal {

StatusOr<std::unique_ptr<Engine>> ThreadedEngine::start(std::unique_ptr<EngineCore> core,
                                                        const EngineOptions& options, const Clock& clock) {
  std::unique_ptr<ThreadedEngine> engine(new ThreadedEngine(std::move(core), options, clock));
  engine->publish();
  try {
    engine->thread_ = std::thread([raw = engine.get()] { raw->run_guarded(); });
    if (options.step_timeout_s > 0) engine->watchdog_ = std::thread([raw = engine.get()] { raw->watch(); });
  } catch (const std::system_error& error) {
    return resource_exhausted("cannot start the engine's thread: {}", error.what());
  }
  return engine;
}

ThreadedEngine::ThreadedEngine(std::unique_ptr<EngineCore> core, const EngineOptions& options,
                               const Clock& clock)
    : core_(std::move(core)),
      clock_(clock),
      step_timeout_s_(options.step_timeout_s),
      inbox_({.requests = options.max_queued_requests, .tokens = options.max_queued_tokens}) {}

ThreadedEngine::~ThreadedEngine() {
  inbox_.close();
  if (thread_.joinable()) thread_.join();
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_watchdog_.notify_all();
  if (watchdog_.joinable()) watchdog_.join();
}

StatusOr<RequestId> ThreadedEngine::submit(EngineRequest request) {
  RETURN_IF_ERROR(core_->check(request));
  const TenantId tenant = core_->tenant_of(request);
  const int32_t limit = core_->tenant_table().settings(tenant).max_queued;
  request.sink = sinks_.watch(std::move(request.sink), request.num_choices);
  return inbox_.push(std::move(request), clock_.now(), tenant, limit);
}

/// Steps are timed by the machine's clock whatever clock the engine has: a hang is a fact of the machine.
void ThreadedEngine::watch() {
  const auto period = std::chrono::duration<double>(std::clamp(step_timeout_s_ / 8, 0.01, 1.0));
  const auto steady_ns = [] { return std::chrono::steady_clock::now().time_since_epoch().count(); };
  mutex_.lock();
  while (!stopping_) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::duration_cast<Duration>(period);
    wake_watchdog_.wait_until(mutex_, until);
    const int64_t began = step_began_ns_.load();
    const double seconds = began == 0 ? 0.0 : static_cast<double>(steady_ns() - began) * 1e-9;
    if (seconds < step_timeout_s_) continue;
    mutex_.unlock();
    declare_hung(seconds);
    return;
  }
  mutex_.unlock();
}

void ThreadedEngine::declare_hung(double seconds) {
  const Status why = internal_error(
      "a step has been running for {:.0f} s (--step-timeout {:.0f}); the engine is taken to hang and serves "
      "no more",
      seconds, step_timeout_s_);
  log_error("{}", message_of(why));
  hung_.store(true);
  inbox_.refuse(why);
  {
    MutexLock lock(mutex_);
    health_ = why;
  }
  sinks_.fail_all(why);
}

int32_t ThreadedEngine::retry_after_seconds() const {
  constexpr double kLongest = 600.0;
  double rate = 0.0;
  {
    MutexLock lock(mutex_);
    rate = stats_.requests_per_second;
  }
  if (rate <= 0) return 1;
  const double seconds = static_cast<double>(inbox_.queued_in_all()) / rate;
  return static_cast<int32_t>(std::ceil(std::clamp(seconds, 1.0, kLongest)));
}

void ThreadedEngine::run_guarded() {
  try {
    run();
    return;
  } catch (const std::exception& error) {
    core_->die(internal_error("the engine's thread threw: {}", error.what()));
  } catch (...) {
    core_->die(internal_error("the engine's thread threw"));
  }
  inbox_.refuse(core_->health());
  publish();
  for (Inbox::Mail mail; !mail.closed; publish()) {  // whoever came in just before is told, too
    mail = inbox_.take(Inbox::Wait::kForMail);
    const bool closed = mail.closed;
    accept(std::move(mail));
    mail.closed = closed;
  }
}

void ThreadedEngine::run() {
  while (true) {
    Inbox::Mail mail = inbox_.take(core_->has_work() ? Inbox::Wait::kNo : Inbox::Wait::kForMail);
    const bool closed = mail.closed;
    accept(std::move(mail));
    if (closed) break;
    step_began_ns_.store(std::chrono::steady_clock::now().time_since_epoch().count());
    core_->turn();
    step_began_ns_.store(0);
    if (!core_->health().ok()) inbox_.refuse(core_->health());
    publish();
  }
  core_->abort_all();
  core_->drain();
  publish();
}

void ThreadedEngine::accept(Inbox::Mail mail) {
  for (AcceptedRequest& submission : mail.submissions) core_->add(std::move(submission));
  for (const RequestId id : mail.cancellations) core_->cancel(id);
  if (mail.reset_prefix_cache) core_->reset_prefix_cache();
}

void ThreadedEngine::publish() {
  {
    MutexLock lock(mutex_);
    stats_ = core_->stats();
    if (!hung_.load()) health_ = core_->health();
  }
  // a step in flight that is nobody's any more is still work
  inbox_.report({.unfinished = std::max<int64_t>(core_->requests(), core_->has_work() ? 1 : 0),
                 .queued = core_->queued(),
                 .queued_tokens = core_->queued_tokens(),
                 .queued_by_tenant = core_->queued_by_tenant()});
}

EngineStats ThreadedEngine::stats() const {
  EngineStats stats;
  {
    MutexLock lock(mutex_);
    stats = stats_;
  }
  stats.waiting += inbox_.queued_here();
  return stats;
}

Status ThreadedEngine::health() const {
  MutexLock lock(mutex_);
  return health_;
}

}  // namespace hadal
