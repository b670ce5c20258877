// An engine that does as a test says, over the demo model's text.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "server/engine_loader.h"

namespace hadal {

class FakeEngine final : public Engine {
 public:
  /// Answers a submitted request; called on the submitting thread. Null: it just lies there.
  using OnSubmit = std::function<void(const EngineRequest&)>;

  ~FakeEngine() override {
    // a hung engine's thread never comes back: whoever waits for it lingers for ever
    while (hangs_.load()) std::this_thread::sleep_for(std::chrono::seconds(1));
  }

  void on_submit(OnSubmit answer) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    answer_ = std::move(answer);
  }
  void refuse_with(Status refusal) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    refusal_ = std::move(refusal);
  }
  EngineRequest last() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return last_;
  }
  /// What an engine does whose step hangs: fails its requests, and is not well any more.
  void die() EXCLUDES(mutex_) {
    hangs_ = true;
    MutexLock lock(mutex_);
    health_ = internal_error("a step has taken more than 5 s");
    for (const auto& sink : sinks_) deliver_error(*sink, ErrorKind::kEngineDead);
    sinks_.clear();
  }
  void let_go() { hangs_ = false; }
  static void deliver_error(OutputSink& sink, ErrorKind kind) {
    RequestOutput output;
    output.finish = FinishReason::kError;
    output.error_kind = kind;
    output.error = internal_error("it broke");
    sink.deliver(std::move(output));
  }

  StatusOr<RequestId> submit(EngineRequest request) override EXCLUDES(mutex_) {
    OnSubmit answer;
    {
      MutexLock lock(mutex_);
      if (!refusal_.ok()) return refusal_;
      last_ = request;
      answer = answer_;
      if (answer == nullptr) sinks_.push_back(request.sink);
    }
    submitted = submitted + 1;
    if (answer != nullptr) answer(request);
    return RequestId{1};
  }
  void cancel(RequestId id) override {}
  void stop_admission() override {}
  bool idle() const override { return false; }
  int32_t retry_after_seconds() const override { return 7; }
  void reset_prefix_cache() override { resets = resets + 1; }
  EngineStats stats() const override { return {}; }
  const RunnerInfo& runner_info() const override { return info_; }
  Status health() const override EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return health_;
  }

  std::atomic<int> resets = 0, submitted = 0;

 private:
  mutable Mutex mutex_;
  OnSubmit answer_ GUARDED_BY(mutex_);
  EngineRequest last_ GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<OutputSink>> sinks_ GUARDED_BY(mutex_);
  Status refusal_ GUARDED_BY(mutex_);
  Status health_ GUARDED_BY(mutex_);
  std::atomic<bool> hangs_ = false;
  RunnerInfo info_{.vocab_size = 4096,
                   .max_model_len = 4096,
                   .groups = {{.name = "all", .block_tokens = 64, .num_blocks = 100, .window = 0}}};
};

/// The demo model's text and configuration around `engine`.
inline LoadedEngine demo_around(std::unique_ptr<Engine> engine) {
  LoadedEngine loaded;
  loaded.folder = loaded.id = HADAL_SOURCE_DIR "/models/demo";
  loaded.config = *load_model_config(loaded.folder);
  loaded.tokenizer = *Tokenizer::load(loaded.folder);
  loaded.chat_template = *load_chat_template(loaded.folder, loaded.tokenizer.get(), std::nullopt);
  loaded.max_model_len = 4096;
  loaded.engine = std::move(engine);
  return loaded;
}

}  // namespace hadal
