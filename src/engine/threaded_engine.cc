#include "engine/threaded_engine.h"

#include <exception>
#include <system_error>

#include "base/log.h"

namespace hadal {

StatusOr<std::unique_ptr<Engine>> ThreadedEngine::start(std::unique_ptr<EngineCore> core, int64_t max_queued,
                                                        const Clock& clock) {
  std::unique_ptr<ThreadedEngine> engine(new ThreadedEngine(std::move(core), max_queued, clock));
  engine->publish();
  try {
    engine->thread_ = std::thread([raw = engine.get()] { raw->run_guarded(); });
  } catch (const std::system_error& error) {
    return resource_exhausted("cannot start the engine's thread: {}", error.what());
  }
  return engine;
}

ThreadedEngine::ThreadedEngine(std::unique_ptr<EngineCore> core, int64_t max_queued, const Clock& clock)
    : core_(std::move(core)), clock_(clock), inbox_(max_queued) {}

ThreadedEngine::~ThreadedEngine() {
  inbox_.close();
  if (thread_.joinable()) thread_.join();
}

StatusOr<RequestId> ThreadedEngine::submit(EngineRequest request) {
  RETURN_IF_ERROR(core_->check(request));
  return inbox_.push(std::move(request), clock_.now());
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
    core_->turn();
    if (!core_->health().ok()) inbox_.refuse(core_->health());
    publish();
  }
  core_->abort_all();
  publish();
}

void ThreadedEngine::accept(Inbox::Mail mail) {
  for (Submission& submission : mail.submissions) core_->add(std::move(submission));
  for (const RequestId id : mail.cancellations) core_->cancel(id);
}

void ThreadedEngine::publish() {
  {
    MutexLock lock(mutex_);
    stats_ = core_->stats();
    health_ = core_->health();
  }
  inbox_.report(core_->requests(), core_->queued());
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
