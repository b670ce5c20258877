// Fork-join over a fixed set of threads, for kernels that last microseconds.
//
//   pool.run(tasks, [&](int64_t task, int thread) { ... });   // returns when all tasks are done
//
// Tasks are claimed one by one from a counter, and a worker that comes late is not waited for, so a thread
// that the system takes away delays its own task alone. Which thread runs a task must therefore not change
// the result. Workers spin for a short while after a job, then sleep.
//
// Threads: one thread at a time calls run(); it takes part as thread 0. Tasks must not call run().
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace hadal::cpu {

inline constexpr int kMaxThreads = 256;

/// Processors that this process may use: its affinity, and a cgroup's CPU quota where there is one.
int usable_processors();

class ThreadPool {
 public:
  explicit ThreadPool(int threads);  // 1 .. kMaxThreads, the caller included
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  template <typename Body>
  void run(int64_t tasks, const Body& body) {
    if (tasks <= 1 || workers_.empty()) {
      for (int64_t task = 0; task < tasks; ++task) body(task, 0);
      return;
    }
    fork_join(
        tasks,
        [](const void* context, int64_t task, int thread) {
          (*static_cast<const Body*>(context))(task, thread);
        },
        &body);
  }

 private:
  using Call = void (*)(const void* context, int64_t task, int thread);

  // state_: a job's number, whether it takes workers, and how many are in it
  static constexpr uint64_t kCountMask = 0xFFFF;
  static constexpr uint64_t kOpen = 0x10000;
  static constexpr uint64_t kEpoch = 0x20000;

  void fork_join(int64_t tasks, Call call, const void* context);
  void work(int thread);
  void claim(int thread);
  uint64_t wait_for_job(uint64_t seen);

  // the job: written while no worker is in one
  Call call_ = nullptr;
  const void* context_ = nullptr;
  int64_t tasks_ = 0;

  alignas(64) std::atomic<uint64_t> state_{0};
  alignas(64) std::atomic<int64_t> next_{0};  // next task to claim
  alignas(64) std::atomic<int> sleeping_{0};
  std::atomic<bool> caller_sleeps_{false};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  std::vector<std::thread> workers_;
};

}  // namespace hadal::cpu
