#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "base/bounded_queue.h"
#include "base/clock.h"
#include "base/files.h"
#include "base/status.h"

namespace hadal {
namespace {

StatusOr<int> half(int value) {
  if (value % 2 != 0) return invalid_argument("{} is odd", value);
  return value / 2;
}

StatusOr<int> quarter(int value) {
  ASSIGN_OR_RETURN(const int once, half(value));
  ASSIGN_OR_RETURN(const int twice, half(once));
  return twice;
}

TEST(Status, MacrosPassValuesAndErrorsOn) {
  EXPECT_EQ(*quarter(12), 3);
  const Status status = annotate(quarter(6).status(), "quarter");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(message_of(status), "quarter: 3 is odd");
}

TEST(BoundedQueue, FullAndClosedAreAnswers) {
  BoundedQueue<int> queue(2);
  EXPECT_TRUE(queue.try_push(1));
  EXPECT_TRUE(queue.try_push(2));
  EXPECT_FALSE(queue.try_push(3));
  EXPECT_EQ(queue.pop_for(Duration(0)), 1);
  queue.close();
  EXPECT_FALSE(queue.try_push(4));
  EXPECT_EQ(queue.pop_for(Duration(0)), 2);
  EXPECT_EQ(queue.pop_for(std::chrono::seconds(10)), std::nullopt);
}

TEST(BoundedQueue, ManyProducersLoseNothing) {
  BoundedQueue<int> queue(64);
  constexpr int kEach = 2000;
  std::vector<std::thread> producers;
  for (int producer = 0; producer < 4; ++producer) {
    producers.emplace_back([&queue] {
      for (int item = 0; item < kEach; ++item) {
        while (!queue.try_push(1)) std::this_thread::yield();
      }
    });
  }
  int64_t sum = 0;
  while (sum < 4 * kEach) {
    if (auto item = queue.pop_for(std::chrono::seconds(30))) sum += *item;
  }
  for (auto& thread : producers) thread.join();
  EXPECT_EQ(sum, 4 * kEach);
  EXPECT_EQ(queue.size(), 0u);
}

TEST(Files, ErrorsNameThePath) {
  const auto missing = read_file("/nonexistent/file");
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_NE(message_of(missing.status()).find("/nonexistent/file"), std::string_view::npos);
}

}  // namespace
}  // namespace hadal
