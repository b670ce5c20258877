// An OutputSink that another thread waits on.
#pragma once

#include <memory>
#include <vector>

#include "base/mutex.h"
#include "engine/request.h"

namespace hadal {

/// Everything one choice of a request gave, joined.
struct Collected {
  std::string text;
  std::vector<OutputToken> tokens;
  std::vector<float> prompt_logits;
  FinishReason finish = FinishReason::kNone;
  Status error;
};

class Collector final : public OutputSink {
 public:
  void deliver(RequestOutput output) override EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      collected_.text += output.text;
      for (OutputToken& token : output.tokens) collected_.tokens.push_back(std::move(token));
      if (!output.prompt_logits.empty()) collected_.prompt_logits = std::move(output.prompt_logits);
      collected_.finish = output.finish;
      collected_.error = output.error;
      done_ = output.finish != FinishReason::kNone;
    }
    changed_.notify_all();
  }

  /// Waits for the end. Call once.
  Collected wait() EXCLUDES(mutex_) {
    mutex_.lock();
    changed_.wait(mutex_, [this] { return done_; });
    Collected taken = std::move(collected_);
    mutex_.unlock();
    return taken;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  Collected collected_ GUARDED_BY(mutex_);
  bool done_ GUARDED_BY(mutex_) = false;
};

}  // namespace hadal
