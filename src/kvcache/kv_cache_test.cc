#include "kvcache/kv_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

namespace hadal {
namespace {

using ::testing::ElementsAre;

KvCache make_cache(const std::vector<CacheGroupSpec>& groups) {
  StatusOr<KvCache> cache = KvCache::create(groups);
  EXPECT_TRUE(cache.ok()) << cache.status();
  return std::move(cache).value();
}

TEST(KvCache, RefusesGroupsThatHoldNothing) {
  EXPECT_FALSE(KvCache::create({}).ok());
  EXPECT_FALSE(KvCache::create({{"mla", 64, 1, 0}}).ok());
  EXPECT_FALSE(KvCache::create({{"mla", 0, 8, 0}}).ok());
  EXPECT_FALSE(KvCache::create({{"mla", 64, 8, -1}}).ok());
}

TEST(KvCache, NeverHandsOutTheNullBlock) {
  KvCache cache = make_cache({{"mla", 4, 5, 0}});
  SequenceBlocks blocks = cache.new_sequence();
  std::vector<CacheCopy> copies;
  EXPECT_FALSE(cache.extend(blocks, 0, 17, 1, &copies));  // 5 blocks wanted, 4 are there
  EXPECT_TRUE(blocks.tables[0].empty());
  ASSERT_TRUE(cache.extend(blocks, 0, 16, 1, &copies));
  EXPECT_THAT(blocks.tables[0], ElementsAre(1, 2, 3, 4));
  EXPECT_TRUE(copies.empty());
}

TEST(KvCache, AllGroupsOrNone) {
  KvCache cache = make_cache({{"a", 4, 9, 0}, {"b", 2, 4, 0}});
  SequenceBlocks blocks = cache.new_sequence();
  std::vector<CacheCopy> copies;
  EXPECT_FALSE(cache.extend(blocks, 0, 8, 1, &copies));  // b would need 4, has 3
  EXPECT_EQ(cache.accounts().held, 0);
  EXPECT_TRUE(cache.extend(blocks, 0, 6, 1, &copies));
  EXPECT_EQ(blocks.tables[0].size(), 2u);
  EXPECT_EQ(blocks.tables[1].size(), 3u);
}

TEST(KvCache, ABlockIsNotFreeBeforeTheLastStepThatUsesItHasRetired) {
  KvCache cache = make_cache({{"mla", 4, 4, 0}});
  SequenceBlocks blocks = cache.new_sequence();
  std::vector<CacheCopy> copies;
  ASSERT_TRUE(cache.extend(blocks, 0, 8, 1, &copies));
  ASSERT_TRUE(cache.extend(blocks, 8, 9, 2, &copies));
  cache.release(blocks);
  EXPECT_EQ(cache.accounts().in_flight, 3);
  EXPECT_EQ(cache.accounts().held, 0);
  cache.retire(1);
  EXPECT_EQ(cache.accounts().free, 0);  // step 2 read the first two blocks as well
  cache.retire(2);
  EXPECT_EQ(cache.accounts().free, 3);
}

TEST(KvCache, ForkSharesAndCopiesOnlyThePartlyFilledBlock) {
  KvCache cache = make_cache({{"mla", 4, 8, 0}});
  SequenceBlocks one = cache.new_sequence();
  std::vector<CacheCopy> copies;
  ASSERT_TRUE(cache.extend(one, 0, 6, 1, &copies));
  SequenceBlocks two = cache.fork(one);
  SequenceBlocks three = cache.fork(one);
  EXPECT_EQ(cache.accounts().held, 2);
  ASSERT_TRUE(cache.extend(one, 6, 7, 2, &copies));
  ASSERT_TRUE(cache.extend(two, 6, 7, 2, &copies));
  ASSERT_TRUE(cache.extend(three, 6, 7, 2, &copies));  // the last holder writes in place
  ASSERT_EQ(copies.size(), 2u);
  EXPECT_EQ(copies[0].from, 2);
  EXPECT_EQ(copies[0].to, one.tables[0][1]);
  EXPECT_EQ(copies[1].to, two.tables[0][1]);
  EXPECT_EQ(three.tables[0][1], 2);
  EXPECT_EQ(one.tables[0][0], two.tables[0][0]);
  EXPECT_EQ(cache.accounts().held, 4);
  EXPECT_EQ(cache.accounts().used_places, 4 + 3 * 3);
  cache.release(one);
  cache.release(two);
  EXPECT_EQ(cache.pool(0).refs(1), 1);
  cache.release(three);
  cache.retire(2);
  EXPECT_EQ(cache.accounts().free, 7);
  EXPECT_EQ(cache.accounts().used_places, 0);
}

// The copy reads the shared block in the coming step, even if its other holder lets go before that step
// retires.
TEST(KvCache, ACopiedBlockWaitsForTheStepThatCopiesIt) {
  KvCache cache = make_cache({{"mla", 4, 8, 0}});
  SequenceBlocks one = cache.new_sequence();
  std::vector<CacheCopy> copies;
  ASSERT_TRUE(cache.extend(one, 0, 2, 1, &copies));
  SequenceBlocks two = cache.fork(one);
  cache.retire(1);
  ASSERT_TRUE(cache.extend(two, 2, 3, 2, &copies));
  cache.release(one);  // last ran in step 1
  EXPECT_EQ(cache.accounts().in_flight, 1);
  cache.retire(2);
  EXPECT_EQ(cache.accounts().in_flight, 0);
}

TEST(KvCache, BlocksWhollyBeforeTheWindowAreGivenBack) {
  KvCache cache = make_cache({{"full", 4, 9, 0}, {"window", 4, 9, 6}});
  SequenceBlocks blocks = cache.new_sequence();
  std::vector<CacheCopy> copies;
  ASSERT_TRUE(cache.extend(blocks, 0, 20, 1, &copies));
  cache.retire(1);
  cache.trim(blocks, 20);  // the next query reads 15..20
  EXPECT_THAT(blocks.tables[1], ElementsAre(0, 0, 0, 4, 5));
  EXPECT_THAT(blocks.tables[0], ElementsAre(1, 2, 3, 4, 5));
  EXPECT_EQ(blocks_in(blocks.tables[1]), 2);
  cache.trim(blocks, 21);  // 16..21: the fourth block goes too
  EXPECT_THAT(blocks.tables[1], ElementsAre(0, 0, 0, 0, 5));
  cache.release(blocks);
  EXPECT_EQ(cache.accounts().free, 16);
}

TEST(KvCache, MostBlocksHeldIsReachedAndNeverPassed) {
  for (const int32_t window : {0, 1, 2, 5, 8, 11}) {
    for (const int32_t piece : {1, 2, 3, 7}) {
      for (int32_t tokens = 1; tokens < 40; ++tokens) {
        KvCache cache = make_cache({{"g", 4, 100, window}});
        SequenceBlocks blocks = cache.new_sequence();
        std::vector<CacheCopy> copies;
        int32_t most = 0;
        for (int32_t at = 0; at < tokens; at += piece) {
          ASSERT_TRUE(cache.extend(blocks, at, std::min(at + piece, tokens), 0, &copies));
          most = std::max(most, cache.pool(0).held_count());
          cache.trim(blocks, std::min(at + piece, tokens));
        }
        ASSERT_LE(most, most_blocks_held(cache.groups()[0], tokens, piece))
            << window << " " << piece << " " << tokens;
      }
    }
  }
}

// Random holders against plain maps: same counts, no block with two owners who did not fork, none reused in
// flight.
TEST(KvCache, AgreesWithMapsUnderRandomUse) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    std::mt19937_64 random(seed);
    const int32_t bt = 1 + static_cast<int32_t>(random() % 5);
    KvCache cache = make_cache({{"g", bt, 20, 0}});
    struct Holder {
      SequenceBlocks blocks;
      int32_t tokens = 0;
    };
    std::map<int, Holder> holders;
    std::map<BlockId, uint64_t> busy_until;
    uint64_t step = 1, retired = 0;
    int next = 0;
    for (int round = 0; round < 400; ++round) {
      const int what = static_cast<int>(random() % 6);
      if (what == 0 || holders.empty()) {
        holders[next++] = {cache.new_sequence(), 0};
      } else if (what == 1 && holders.size() < 6) {
        auto source = std::next(holders.begin(), static_cast<long>(random() % holders.size()));
        Holder twin{cache.fork(source->second.blocks), source->second.tokens};
        holders[next++] = std::move(twin);
      } else if (what == 2) {
        auto victim = std::next(holders.begin(), static_cast<long>(random() % holders.size()));
        cache.release(victim->second.blocks);
        holders.erase(victim);
      } else if (what == 3) {
        retired = step++;
        cache.retire(retired);
      } else {
        Holder& holder = std::next(holders.begin(), static_cast<long>(random() % holders.size()))->second;
        const int32_t more = 1 + static_cast<int32_t>(random() % 7);
        std::set<BlockId> before;
        for (const auto& [id, other] : holders) {
          before.insert(other.blocks.tables[0].begin(), other.blocks.tables[0].end());
        }
        std::vector<CacheCopy> copies;
        if (cache.extend(holder.blocks, holder.tokens, holder.tokens + more, step, &copies)) {
          holder.tokens += more;
          for (const CacheCopy& copy : copies)
            ASSERT_TRUE(before.count(copy.from) == 1 && before.count(copy.to) == 0);
          for (const BlockId block : holder.blocks.tables[0]) {
            if (before.count(block) == 0) {
              ASSERT_LE(busy_until[block], retired) << "reused in flight, seed " << seed;
            }
            busy_until[block] = step;
          }
          for (const CacheCopy& copy : copies) busy_until[copy.from] = step;
        }
      }
      std::map<BlockId, int32_t> refs;
      std::map<BlockId, int32_t> filled;
      for (const auto& [id, holder] : holders) {
        const std::vector<BlockId>& table = holder.blocks.tables[0];
        ASSERT_EQ(static_cast<int32_t>(table.size()), blocks_for(holder.tokens, bt));
        for (size_t i = 0; i < table.size(); ++i) {
          ++refs[table[i]];
          filled[table[i]] =
              std::max(filled[table[i]], std::min(bt, holder.tokens - static_cast<int32_t>(i) * bt));
        }
      }
      int64_t used = 0;
      for (const auto& [block, count] : refs) ASSERT_EQ(cache.pool(0).refs(block), count);
      for (const auto& [block, count] : filled) used += count;
      ASSERT_EQ(cache.accounts().held, static_cast<int64_t>(refs.size()));
      ASSERT_EQ(cache.accounts().used_places, used) << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace hadal
