#include "kernels/cpu/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace hadal::cpu {
namespace {

class ThreadPoolTest : public ::testing::TestWithParam<int> {};

TEST_P(ThreadPoolTest, RunsEveryTaskOnceAndIsDoneWhenRunReturns) {
  ThreadPool pool(GetParam());
  EXPECT_EQ(pool.threads(), GetParam());
  for (int64_t tasks : {0, 1, 2, 3, 7, 64, 1000}) {
    std::vector<int> runs(static_cast<size_t>(tasks));  // plain: a race is ThreadSanitizer's to find
    pool.run(tasks, [&](int64_t task, int thread) {
      EXPECT_GE(thread, 0);
      EXPECT_LT(thread, GetParam());
      ++runs[static_cast<size_t>(task)];
    });
    for (int count : runs) EXPECT_EQ(count, 1);
  }
}

TEST_P(ThreadPoolTest, SeesWhatTheCallerWroteBeforeAndShowsWhatTasksWrote) {
  ThreadPool pool(GetParam());
  std::vector<int64_t> in(64), out(64);
  for (int round = 0; round < 3000; ++round) {
    for (size_t i = 0; i < in.size(); ++i) in[i] = round + static_cast<int64_t>(i);
    pool.run(64,
             [&](int64_t task, int) { out[static_cast<size_t>(task)] = 2 * in[static_cast<size_t>(task)]; });
    for (size_t i = 0; i < in.size(); ++i) ASSERT_EQ(out[i], 2 * in[i]);
  }
}

TEST_P(ThreadPoolTest, WakesWorkersThatWentToSleep) {
  ThreadPool pool(GetParam());
  std::atomic<int> sum{0};
  for (int round = 0; round < 10; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // longer than they spin
    pool.run(100, [&](int64_t, int) { sum.fetch_add(1); });
  }
  EXPECT_EQ(sum.load(), 1000);
}

TEST_P(ThreadPoolTest, CallerWaitsForALongTaskOfAWorker) {
  ThreadPool pool(GetParam());
  std::atomic<int> finished{0};
  for (int round = 0; round < 5; ++round) {
    finished = 0;
    pool.run(8, [&](int64_t, int thread) {
      if (thread > 0)
        std::this_thread::sleep_for(std::chrono::milliseconds(3));  // the caller has long gone to sleep
      finished.fetch_add(1);
    });
    EXPECT_EQ(finished.load(), 8);
  }
}

INSTANTIATE_TEST_SUITE_P(Threads, ThreadPoolTest, ::testing::Values(1, 2, 3, 16, 64));

TEST(ThreadPoolTest, UsableProcessorsIsAtLeastOne) {
  EXPECT_GE(usable_processors(), 1);
  EXPECT_LE(usable_processors(), kMaxThreads);
}

}  // namespace
}  // namespace hadal::cpu
