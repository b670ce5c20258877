#include "kernels/cpu/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace hadal::cpu {
namespace {

// A decode step has gaps of microseconds between kernels; longer idling should not burn a core that others
// could use.
constexpr auto kSpin = std::chrono::microseconds(50);

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

/// Spins until `ready()` or the time is over; true if ready.
template <typename Ready>
bool spin(const Ready& ready) {
  const auto end = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 64; ++i) {
      if (ready()) return true;
      relax();
    }
  } while (std::chrono::steady_clock::now() < end);
  return ready();
}

int cgroup_processors() {
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen("/sys/fs/cgroup/cpu.max", "r"),
                                                       &std::fclose);
  long long quota = 0, period = 0;
  if (file == nullptr || std::fscanf(file.get(), "%lld %lld", &quota, &period) != 2) return kMaxThreads;
  if (quota <= 0 || period <= 0) return kMaxThreads;
  return static_cast<int>(std::clamp<long long>((quota + period - 1) / period, 1, kMaxThreads));
}

}  // namespace

int usable_processors() {
  int count = static_cast<int>(std::thread::hardware_concurrency());
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) count = CPU_COUNT(&set);
  return std::clamp(std::min(count, cgroup_processors()), 1, kMaxThreads);
}

ThreadPool::ThreadPool(int threads) {
  workers_.reserve(static_cast<size_t>(threads - 1));
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
}

ThreadPool::~ThreadPool() {
  stop_.store(true);
  state_.fetch_add(kEpoch);
  {
    std::lock_guard lock(mutex_);
    wake_.notify_all();
  }
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::claim(int thread) {
  for (;;) {
    const int64_t task = next_.fetch_add(1, std::memory_order_relaxed);
    if (task >= tasks_) return;
    call_(context_, task, thread);
  }
}

void ThreadPool::fork_join(int64_t tasks, Call call, const void* context) {
  call_ = call;
  context_ = context;
  tasks_ = tasks;
  next_.store(0, std::memory_order_relaxed);
  // Sequentially consistent against wait_for_job: either the worker sees the new job or we see that it
  // sleeps.
  state_.fetch_add(kEpoch + kOpen);
  if (sleeping_.load() > 0) {
    std::lock_guard lock(mutex_);
    wake_.notify_all();
  }
  claim(0);
  state_.fetch_sub(kOpen);  // nobody enters from here on
  const auto empty = [this] { return (state_.load(std::memory_order_acquire) & kCountMask) == 0; };
  if (spin(empty)) return;
  std::unique_lock lock(mutex_);
  caller_sleeps_.store(true);
  done_.wait(lock, [this] { return (state_.load() & kCountMask) == 0; });
  caller_sleeps_.store(false);
}

uint64_t ThreadPool::wait_for_job(uint64_t seen) {
  const auto changed = [&] { return (state_.load() & ~(kCountMask | kOpen)) != seen; };
  if (!spin(changed)) {
    std::unique_lock lock(mutex_);
    sleeping_.fetch_add(1);
    wake_.wait(lock, changed);
    sleeping_.fetch_sub(1);
  }
  return state_.load() & ~(kCountMask | kOpen);
}

void ThreadPool::work(int thread) {
  uint64_t seen = 0;
  for (;;) {
    seen = wait_for_job(seen);
    if (stop_.load()) return;
    const bool entered = (state_.fetch_add(1) & kOpen) != 0;
    if (entered) claim(thread);
    // Sequentially consistent against fork_join: either the caller sees 0 or we see that it sleeps.
    if ((state_.fetch_sub(1) & kCountMask) == 1 && caller_sleeps_.load()) {
      std::lock_guard lock(mutex_);
      done_.notify_one();
    }
  }
}

}  // namespace hadal::cpu
