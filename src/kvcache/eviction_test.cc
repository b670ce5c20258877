#include "kvcache/eviction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <random>
#include <tuple>

namespace hadal {
namespace {

using ::testing::ElementsAre;

std::vector<BlockId> drain(EvictionQueue& queue) {
  std::vector<BlockId> order;
  while (!queue.empty()) {
    order.push_back(queue.worst());
    queue.remove(queue.worst());
  }
  return order;
}

TEST(EvictionRank, GrowsWithTheLogarithmOfUses) {
  EXPECT_EQ(eviction_rank({.last_use = 5, .hits = 0}, 100), 5u);
  EXPECT_EQ(eviction_rank({.last_use = 5, .hits = 1}, 100), 105u);
  EXPECT_EQ(eviction_rank({.last_use = 5, .hits = 2}, 100), 155u);  // straight between 1 and 2
  EXPECT_EQ(eviction_rank({.last_use = 5, .hits = 3}, 100), 205u);
  EXPECT_EQ(eviction_rank({.last_use = 5, .hits = 1023}, 100), 1005u);
  EXPECT_EQ(eviction_rank({.last_use = 5, .hits = 1023}, 0), 5u);
  for (uint32_t hits = 0; hits < 5000; ++hits) {
    EXPECT_LE(eviction_rank({.hits = hits}, 1000), eviction_rank({.hits = hits + 1}, 1000)) << hits;
  }
}

TEST(EvictionRank, EndsAtTheLargestValue) {
  constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();
  constexpr uint32_t kManyHits = std::numeric_limits<uint32_t>::max();
  EXPECT_EQ(eviction_rank({.last_use = kMost - 1, .hits = 1}, 100), kMost);
  EXPECT_EQ(eviction_rank({.last_use = 0, .hits = kManyHits}, kMost), kMost);
  EXPECT_EQ(eviction_rank({.last_use = 0, .hits = kManyHits}, 10), 320u);
}

TEST(EvictionQueue, LruOrderWithoutABonus) {
  EvictionQueue queue(reuse_bonus(EvictionPolicy::kLru, 1000));
  queue.add(1, {.last_use = 30, .hits = 9});
  queue.add(2, {.last_use = 10, .hits = 50});
  queue.add(3, {.last_use = 20});
  EXPECT_THAT(drain(queue), ElementsAre(2, 3, 1));
}

TEST(EvictionQueue, AHitEarnsOneTurnOfTheCache) {
  EvictionQueue queue(reuse_bonus(EvictionPolicy::kReuse, 100));
  queue.add(1, {.last_use = 0, .hits = 1});
  queue.add(2, {.last_use = 99});
  queue.add(3, {.last_use = 101});
  EXPECT_THAT(drain(queue), ElementsAre(2, 1, 3));
}

TEST(EvictionQueue, TheDeepEndGoesFirstAndThenTheLowestId) {
  EvictionQueue queue(10);
  queue.add(4, {.last_use = 7, .depth = 0});
  queue.add(9, {.last_use = 7, .depth = 2});
  queue.add(2, {.last_use = 7, .depth = 1});
  queue.add(8, {.last_use = 7, .depth = 2});
  EXPECT_THAT(drain(queue), ElementsAre(8, 9, 2, 4));
}

TEST(EvictionQueue, WorstKeysCompareBetweenQueues) {
  EvictionQueue one(10), other(10);
  one.add(1, {.last_use = 7, .depth = 3});
  other.add(2, {.last_use = 7, .depth = 4});
  EXPECT_LT(other.worst_key(), one.worst_key());
  one.add(3, {.last_use = 6});
  EXPECT_LT(one.worst_key(), other.worst_key());
  EXPECT_EQ(one.worst_key(), (EvictionKey{.rank = 6, .depth = 0, .block = 3}));
}

TEST(EvictionQueue, KnowsWhatItHolds) {
  EvictionQueue queue(0);
  EXPECT_TRUE(queue.empty());
  EXPECT_FALSE(queue.contains(5));
  EXPECT_FALSE(queue.contains(-1));
  queue.add(5, {});
  EXPECT_TRUE(queue.contains(5));
  EXPECT_FALSE(queue.contains(4));
  EXPECT_EQ(queue.size(), 1);
  queue.remove(5);
  EXPECT_FALSE(queue.contains(5));
  EXPECT_TRUE(queue.empty());
}

TEST(EvictionQueueDeathTest, RefusesWrongCalls) {
  EvictionQueue queue(0);
  EXPECT_DEATH(queue.worst(), "empty");
  EXPECT_DEATH(queue.remove(1), "not in it");
  EXPECT_DEATH(queue.add(kNullBlock, {}), "block");
  queue.add(1, {});
  EXPECT_DEATH(queue.add(1, {}), "twice");
}

/// The same order kept by a sorted map over tuples.
TEST(EvictionQueue, AgreesWithASortedMapUnderRandomWork) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    std::mt19937 random(seed);
    const auto below = [&](uint32_t limit) { return static_cast<int32_t>(random() % limit); };
    EvictionQueue queue(64);
    using Rank = std::tuple<uint64_t, int32_t, BlockId>;
    std::map<Rank, BlockId> sorted;
    std::map<BlockId, Rank> ranks;
    for (int step = 0; step < 3000; ++step) {
      const BlockId block = 1 + below(200);
      const auto held = ranks.find(block);
      if (held != ranks.end()) {
        queue.remove(block);
        sorted.erase(held->second);
        ranks.erase(held);
      } else {
        // small ranges, so that ties of every kind come often
        const BlockUse use{.last_use = static_cast<uint64_t>(below(20)),
                           .hits = static_cast<uint32_t>(below(2)),
                           .depth = below(4)};
        const Rank rank{use.last_use + (use.hits == 1 ? 64 : 0), -use.depth, block};
        queue.add(block, use);
        sorted.emplace(rank, block);
        ranks.emplace(block, rank);
      }
      ASSERT_EQ(queue.size(), static_cast<int32_t>(sorted.size()));
      if (!sorted.empty()) {
        ASSERT_EQ(queue.worst(), sorted.begin()->second) << "seed " << seed << " step " << step;
      }
    }
    for (const auto& [rank, block] : sorted) {
      ASSERT_EQ(queue.worst(), block);
      queue.remove(block);
    }
    EXPECT_TRUE(queue.empty());
  }
}

}  // namespace
}  // namespace hadal
