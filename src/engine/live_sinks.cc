#include "engine/live_sinks.h"

#include <exception>
#include <vector>

#include "base/log.h"

namespace hadal {

class LiveSinks::Watched final : public OutputSink {
 public:
  Watched(std::shared_ptr<Shared> shared, uint64_t id, std::shared_ptr<OutputSink> sink, int32_t num_choices)
      : shared_(std::move(shared)),
        id_(id),
        sink_(std::move(sink)),
        finished_(static_cast<size_t>(num_choices), 0) {}
  ~Watched() override { forget(); }

  /// The engine's thread. What the sink throws is the engine's to handle.
  void deliver(RequestOutput output) override {
    bool last = false;
    {
      MutexLock lock(mutex_);
      if (dead_) return;
      const auto choice = static_cast<size_t>(output.choice);
      if (output.finish != FinishReason::kNone && choice < finished_.size()) {
        finished_[choice] = 1;
        last = ++finished_count_ == finished_.size();
      }
      // the lock is held: fail() of another thread must not come between
      sink_->deliver(std::move(output));
    }
    if (last) forget();
  }

  void fail(const Status& why) {
    MutexLock lock(mutex_);
    if (dead_) return;
    dead_ = true;
    for (size_t choice = 0; choice < finished_.size(); ++choice) {
      if (finished_[choice] != 0) continue;
      RequestOutput output;
      output.choice = static_cast<int32_t>(choice);
      output.finish = FinishReason::kError;
      output.error = why;
      output.error_kind = ErrorKind::kEngineDead;
      try {
        sink_->deliver(std::move(output));
      } catch (const std::exception& error) {
        log_error("a request's sink threw: {}", error.what());
      }
    }
  }

 private:
  void forget() {
    MutexLock lock(shared_->mutex);
    shared_->live.erase(id_);
  }

  const std::shared_ptr<Shared> shared_;
  const uint64_t id_;
  const std::shared_ptr<OutputSink> sink_;
  Mutex mutex_;
  std::vector<uint8_t> finished_ GUARDED_BY(mutex_);
  size_t finished_count_ GUARDED_BY(mutex_) = 0;
  bool dead_ GUARDED_BY(mutex_) = false;
};

std::shared_ptr<OutputSink> LiveSinks::watch(std::shared_ptr<OutputSink> sink, int32_t num_choices) {
  MutexLock lock(shared_->mutex);
  const uint64_t id = shared_->next++;
  auto watched = std::make_shared<Watched>(shared_, id, std::move(sink), num_choices);
  shared_->live[id] = watched;
  return watched;
}

void LiveSinks::fail_all(const Status& why) {
  std::vector<std::shared_ptr<Watched>> all;
  {
    MutexLock lock(shared_->mutex);
    for (const auto& [id, weak] : shared_->live) {
      if (auto sink = weak.lock()) all.push_back(std::move(sink));
    }
  }
  for (const auto& sink : all) sink->fail(why);
}

}  // namespace hadal
