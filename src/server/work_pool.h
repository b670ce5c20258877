// A few threads for work that is too long for an io thread (templates, tokenizing a long prompt). A full
// queue is an answer: submit() returns false and the caller says 503.
#pragma once

#include <functional>
#include <thread>
#include <vector>

#include "base/bounded_queue.h"

namespace hadal {

class WorkPool {
 public:
  WorkPool(int threads, size_t queue) : queue_(queue) {
    for (int thread = 0; thread < threads; ++thread) threads_.emplace_back([this] { run(); });
  }
  ~WorkPool() {
    queue_.close();
    for (std::thread& thread : threads_) thread.join();  // what is queued is still done
  }

  bool submit(std::function<void()> work) { return queue_.try_push(std::move(work)); }

 private:
  void run() {
    for (;;) {
      auto work = queue_.pop_for(std::chrono::seconds(1));
      if (work) {
        (*work)();
      } else if (queue_.closed()) {
        return;
      }
    }
  }

  BoundedQueue<std::function<void()>> queue_;
  std::vector<std::thread> threads_;
};

}  // namespace hadal
