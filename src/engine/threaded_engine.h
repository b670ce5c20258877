// The engine on its own thread: an inbox before the core, a consistent reading of its figures behind it, and
// a watchdog beside it that tells everybody when a step hangs.
#pragma once

#include <atomic>
#include <memory>
#include <thread>

#include "base/mutex.h"
#include "engine/engine.h"
#include "engine/engine_core.h"
#include "engine/inbox.h"
#include "engine/live_sinks.h"

namespace hadal {

class ThreadedEngine final : public Engine {
 public:
  static StatusOr<std::unique_ptr<Engine>> start(std::unique_ptr<EngineCore> core,
                                                 const EngineOptions& options, const Clock& clock);
  /// Waits for the step that runs, a hanging one too: a process that wants to end in spite of it leaves by
  /// _exit.
  ~ThreadedEngine() override;

  StatusOr<RequestId> submit(EngineRequest request) override;
  void cancel(RequestId id) override { inbox_.cancel(id); }
  void stop_admission() override { inbox_.stop_admission(); }
  bool idle() const override { return hung_.load() || inbox_.idle(); }
  int32_t retry_after_seconds() const override;
  void reset_prefix_cache() override { inbox_.reset_prefix_cache(); }
  EngineStats stats() const override;
  ExpertLoad expert_load() const override { return core_->expert_load(); }
  const RunnerInfo& runner_info() const override { return core_->runner_info(); }
  Status health() const override;

 private:
  ThreadedEngine(std::unique_ptr<EngineCore> core, const EngineOptions& options, const Clock& clock);
  void run();
  void run_guarded();
  void accept(Inbox::Mail mail);
  void publish();
  void watch();
  void declare_hung(double seconds);

  const std::unique_ptr<EngineCore>
      core_;  // the thread's; others call check(), tenant_of(), runner_info(), expert_load()
  const Clock& clock_;
  const double step_timeout_s_;
  Inbox inbox_;
  LiveSinks sinks_;
  std::atomic<int64_t> step_began_ns_{0};  // of the step that runs, by the steady clock; 0: none does
  std::atomic<bool> hung_{false};
  mutable Mutex mutex_;
  CondVar wake_watchdog_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  EngineStats stats_ GUARDED_BY(mutex_);
  Status health_ GUARDED_BY(mutex_);
  std::thread thread_, watchdog_;
};

}  // namespace hadal
