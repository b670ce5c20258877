#include "lab/cache_simulation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace hadal {
namespace {

BlockTrace make_trace(std::vector<std::vector<int64_t>> prompts) {
  Trace trace;
  for (auto& ids : prompts) trace.requests.push_back({.hash_ids = std::move(ids)});
  return *block_trace(trace);
}

int64_t lru_hits(const BlockTrace& trace, int32_t capacity) {
  return simulate_cache(trace, capacity, 0)->hits;
}

TEST(CacheSimulation, NumbersBlocksAndCuts) {
  Trace trace;
  for (const auto& ids : std::vector<std::vector<int64_t>>{{7}, {900, 5, 3}, {900, 5}, {900}}) {
    trace.requests.push_back({.hash_ids = ids});
  }
  const BlockTrace blocks = *block_trace(trace, {.skip = 1, .limit = 2, .max_blocks = 2});
  EXPECT_THAT(blocks.prompts, ::testing::ElementsAre(std::vector<int32_t>{0, 1}, std::vector<int32_t>{0, 1}));
  EXPECT_EQ(blocks.blocks, 4);
  EXPECT_EQ(blocks.distinct, 2);
  EXPECT_EQ(blocks.longest, 2);
  EXPECT_FALSE(block_trace(Trace{.requests = {{.input_tokens = 5}}}).ok());
}

TEST(CacheSimulation, AHitNeedsAllBlocksBeforeIt) {
  // 3 follows a block that was never seen: it is there, and no hit
  const BlockTrace trace = make_trace({{1, 2, 3}, {1, 9, 3}, {1, 2}});
  EXPECT_EQ(simulate_unlimited(trace).hits, 1 + 2);
  EXPECT_EQ(lru_hits(trace, 10), 3);
}

TEST(CacheSimulation, TheDeepestBlockOfAPromptGoesFirst) {
  // room for three: the fourth block pushes out 3 and not 1
  const BlockTrace trace = make_trace({{1, 2, 3}, {4}, {1, 2}});
  EXPECT_EQ(lru_hits(trace, 3), 2);
}

TEST(CacheSimulation, ReuseOutlivesRecency) {
  // 1 was hit, then three blocks nobody wants again come by
  const BlockTrace trace = make_trace({{1}, {1}, {2}, {3}, {4}, {1}});
  EXPECT_EQ(lru_hits(trace, 3), 1);
  EXPECT_EQ(simulate_cache(trace, 3, default_reuse_bonus(3))->hits, 2);
  EXPECT_EQ(simulate_oracle(trace, 3)->hits, 2);
}

TEST(CacheSimulation, RefusesACacheThatCannotHoldAPrompt) {
  const BlockTrace trace = make_trace({{1, 2, 3}});
  EXPECT_FALSE(simulate_cache(trace, 2, 0).ok());
  EXPECT_FALSE(simulate_oracle(trace, 2).ok());
  EXPECT_TRUE(simulate_cache(trace, 3, 0).ok());
}

/// LRU as a plain list, to hold the simulation against.
int64_t naive_lru_hits(const BlockTrace& trace, size_t capacity) {
  std::vector<int32_t> order;  // least recent first
  int64_t hits = 0;
  for (const auto& prompt : trace.prompts) {
    for (const int32_t id : prompt) {
      if (std::find(order.begin(), order.end(), id) == order.end()) break;
      ++hits;
    }
    for (const int32_t id : prompt) order.erase(std::remove(order.begin(), order.end(), id), order.end());
    while (order.size() + prompt.size() > capacity) order.erase(order.begin());
    order.insert(order.end(), prompt.rbegin(), prompt.rend());
  }
  return hits;
}

TEST(CacheSimulation, AgreesWithANaiveLruAndStaysBelowTheOracle) {
  for (uint32_t seed = 0; seed < 30; ++seed) {
    std::mt19937 random(seed);
    std::vector<std::vector<int64_t>> prompts;
    for (int i = 0; i < 200; ++i) {
      std::vector<int64_t> ids;
      int64_t node = 0;  // a walk down a tree, so that equal ids follow equal ids
      for (uint32_t depth = 0; depth < 1 + random() % 6; ++depth) {
        node = node * 4 + 1 + static_cast<int64_t>(random() % 3);
        ids.push_back(node);
      }
      prompts.push_back(std::move(ids));
    }
    const BlockTrace trace = make_trace(std::move(prompts));
    const int32_t capacity = trace.longest + static_cast<int32_t>(random() % 40);
    EXPECT_EQ(lru_hits(trace, capacity), naive_lru_hits(trace, static_cast<size_t>(capacity))) << seed;
    const int64_t oracle = simulate_oracle(trace, capacity)->hits;
    EXPECT_LE(lru_hits(trace, capacity), oracle) << seed;
    EXPECT_LE(simulate_cache(trace, capacity, default_reuse_bonus(capacity))->hits, oracle) << seed;
    EXPECT_LE(oracle, simulate_unlimited(trace).hits) << seed;
    EXPECT_EQ(lru_hits(trace, trace.distinct), simulate_unlimited(trace).hits) << seed;
  }
}

}  // namespace
}  // namespace hadal
