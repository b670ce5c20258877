// The engine on its own thread: an inbox before the core, a consistent reading of its figures behind it.
#pragma once

#include <memory>
#include <thread>

#include "base/mutex.h"
#include "engine/engine.h"
#include "engine/engine_core.h"
#include "engine/inbox.h"

namespace hadal {

class ThreadedEngine final : public Engine {
 public:
  static StatusOr<std::unique_ptr<Engine>> start(std::unique_ptr<EngineCore> core, int64_t max_queued,
                                                 const Clock& clock);
  ~ThreadedEngine() override;

  StatusOr<RequestId> submit(EngineRequest request) override;
  void cancel(RequestId id) override { inbox_.cancel(id); }
  void stop_admission() override { inbox_.stop_admission(); }
  bool idle() const override { return inbox_.idle(); }
  EngineStats stats() const override;
  const RunnerInfo& runner_info() const override { return core_->runner_info(); }
  Status health() const override;

 private:
  ThreadedEngine(std::unique_ptr<EngineCore> core, int64_t max_queued, const Clock& clock);
  void run();
  void run_guarded();
  void accept(Inbox::Mail mail);
  void publish();

  const std::unique_ptr<EngineCore> core_;  // the thread's; others call check() and runner_info() only
  const Clock& clock_;
  Inbox inbox_;
  mutable Mutex mutex_;
  EngineStats stats_ GUARDED_BY(mutex_);
  Status health_ GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace hadal
