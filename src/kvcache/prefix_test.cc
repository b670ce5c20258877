// The prefix cache and the accounts: hits, keys, eviction by account, against plain maps under random use.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "kvcache/kv_cache.h"

namespace hadal {
namespace {

using Tokens = std::vector<int32_t>;

KvCache make_cache(const std::vector<CacheGroupSpec>& groups, PrefixCacheOptions options = {}) {
  StatusOr<KvCache> cache = KvCache::create(groups, options);
  EXPECT_TRUE(cache.ok()) << cache.status();
  return std::move(cache).value();
}

Tokens counting(int32_t count, int32_t from = 0) {
  Tokens tokens;
  for (int32_t i = 0; i < count; ++i) tokens.push_back(from + i);
  return tokens;
}

/// Computes a prompt as an engine would: hit, blocks, publish. Returns the hit's tokens.
struct User {
  explicit User(KvCache& of, AccountId charged = kSharedAccount) : cache(of), account(charged) {}
  int32_t run(const Tokens& tokens, std::string_view salt = "", int32_t shared = 0, int32_t outputs = 0) {
    chain = cache.new_chain(tokens, salt, shared);
    blocks = cache.new_sequence(account);
    const PrefixHit hit = cache.find_prefix(chain, static_cast<int32_t>(tokens.size()) - 1);
    cache.take_prefix(blocks, hit);
    const auto size = static_cast<int32_t>(tokens.size());
    fits = cache.extend(blocks, hit.tokens, size, 0, &copies);
    if (!fits) return hit.tokens;
    cache.publish(blocks, chain, size);
    for (int32_t i = 0; i < outputs; ++i) {
      cache.append(chain, 1000 + i);
      EXPECT_TRUE(cache.extend(blocks, size + i, size + i + 1, 0, &copies));
      cache.publish(blocks, chain, size + i + 1);
      cache.trim(blocks, size + i + 1);
    }
    return hit.tokens;
  }
  void end() { cache.release(blocks); }
  int32_t run_and_end(const Tokens& tokens, std::string_view salt = "", int32_t shared = 0,
                      int32_t outputs = 0) {
    const int32_t hit = run(tokens, salt, shared, outputs);
    end();
    return hit;
  }

  KvCache& cache;
  AccountId account;
  SequenceBlocks blocks;
  PrefixChain chain;
  std::vector<CacheCopy> copies;
  bool fits = false;
};

TEST(PrefixCache, WholeBlocksAreFoundAndOneTokenIsLeft) {
  KvCache cache = make_cache({{"mla", 4, 20, 0}});
  EXPECT_EQ(User(cache).run_and_end(counting(10)), 0);
  EXPECT_EQ(cache.accounts().cached, 2);  // the third block is not complete
  EXPECT_EQ(cache.accounts().free, 17);
  EXPECT_EQ(User(cache).run_and_end(counting(10)), 8);
  EXPECT_EQ(User(cache).run_and_end(counting(8)), 4) << "the last token must be computed";
  EXPECT_EQ(User(cache).run_and_end(counting(9)), 8);
  Tokens other = counting(10);
  other[5] = 77;
  EXPECT_EQ(User(cache).run_and_end(other), 4);
  other[0] = 77;
  EXPECT_EQ(User(cache).run_and_end(other), 0) << "equal blocks behind another beginning";
}

TEST(PrefixCache, HeldBlocksAreSharedAndCountOnce) {
  KvCache cache = make_cache({{"mla", 4, 20, 0}});
  User a(cache), b(cache);
  a.run(counting(13));
  EXPECT_EQ(b.run(counting(13)), 12);
  EXPECT_EQ(cache.accounts().held, 3 + 1 + 1);
  EXPECT_EQ(cache.pool(0).refs(a.blocks.tables[0][0]), 2);
  EXPECT_TRUE(b.copies.empty()) << "a hit ends at a block's border, so nothing shared is written";
  a.end();
  b.end();
  EXPECT_EQ(cache.accounts().cached, 3);
  EXPECT_EQ(cache.accounts().free, 16);
}

TEST(PrefixCache, AnswersAreFoundToo) {
  KvCache cache = make_cache({{"mla", 4, 20, 0}});
  User(cache).run_and_end(counting(6), "", 0, 6);
  Tokens next = counting(6);
  for (int32_t i = 0; i < 6; ++i) next.push_back(1000 + i);
  next.push_back(5);
  EXPECT_EQ(User(cache).run_and_end(next), 12);
  KvCache exact = make_cache({{"mla", 4, 20, 0}}, {.exact = true});
  User(exact).run_and_end(counting(6), "", 0, 6);
  EXPECT_EQ(User(exact).run_and_end(next), 4) << "only the block that is all prompt has the same form";
  KvCache dense = make_cache({{"gqa", 4, 20, 0}}, {.exact = true, .forms_differ = false});
  User(dense).run_and_end(counting(6), "", 0, 6);
  EXPECT_EQ(User(dense).run_and_end(next), 12) << "one form only, so every block has it";
}

TEST(PrefixCache, SaltsKeepApartAndDeclaredPrefixesDoNot) {
  KvCache cache = make_cache({{"mla", 4, 40, 0}});
  const AccountId a = cache.add_account({{}}), b = cache.add_account({{}});
  User(cache, a).run_and_end(counting(17), "a");
  EXPECT_EQ(User(cache, b).run_and_end(counting(17), "b"), 0);
  EXPECT_EQ(User(cache, a).run_and_end(counting(17), "a"), 16);
  // ten declared tokens: two whole blocks serve everybody, what is behind is each one's own
  cache.set_limits(kSharedAccount, {{.floor = 2}});
  User(cache, a).run_and_end(counting(17, 100), "a", 10);
  EXPECT_EQ(cache.accounts().pinned, 2);
  EXPECT_EQ(User(cache, b).run_and_end(counting(17, 100), "b", 10), 8);
  EXPECT_EQ(User(cache, b).run_and_end(counting(17, 100), "b", 10), 16);
  EXPECT_EQ(User(cache, a).run_and_end(counting(17, 100), "a", 10), 16);
  EXPECT_EQ(cache.accounts().pinned, 2) << "stored once";
  EXPECT_EQ(User(cache, a).run_and_end(counting(17, 100), "a", 0), 0) << "a request with a salt of its own";
}

TEST(PrefixCache, GroupsMustAllHaveIt) {
  KvCache cache = make_cache({{"full", 4, 40, 0}, {"window", 2, 40, 5}});
  User user(cache);
  user.run(counting(16), "", 0, 20);
  user.end();
  // behind the whole answer the window group still has what it can see
  Tokens all = counting(16);
  for (int32_t i = 0; i < 20; ++i) all.push_back(1000 + i);
  all.push_back(1);
  User again(cache);
  EXPECT_EQ(again.run(all), 36);
  EXPECT_EQ(again.blocks.tables[1][0], kNullBlock);
  EXPECT_EQ(blocks_in(again.blocks.tables[1]), 2 + 1);  // positions 32..35, and the new block
  again.end();
  EXPECT_EQ(cache.accounts().held, 0);
}

TEST(PrefixCache, ForgettingFreesWhatNobodyHolds) {
  KvCache cache = make_cache({{"mla", 4, 20, 0}});
  User(cache).run_and_end(counting(9));
  User holder(cache);
  holder.run(counting(9, 50));
  EXPECT_EQ(cache.forget_prefixes(), 2);
  EXPECT_EQ(User(cache).run_and_end(counting(9)), 0);
  EXPECT_EQ(User(cache).run_and_end(counting(9, 50)), 0);
  holder.end();
  EXPECT_EQ(cache.accounts().held, 0);
  EXPECT_EQ(cache.accounts().cached + cache.accounts().free, 19);
}

TEST(PrefixCache, ABlockInFlightCanBeHitAndIsNotTaken) {
  KvCache cache = make_cache({{"mla", 4, 4, 0}});
  User a(cache);
  a.run(counting(9));
  a.blocks.last_step = 7;  // a launched step reads them
  a.end();
  EXPECT_EQ(cache.accounts().in_flight, 3);
  User b(cache);
  EXPECT_EQ(b.run(counting(9)), 8);
  EXPECT_FALSE(b.fits) << "the third block is still in flight";
  cache.retire(7);
  EXPECT_TRUE(cache.extend(b.blocks, 8, 9, 8, &b.copies));
  b.end();
  cache.retire(8);
  EXPECT_EQ(cache.accounts().in_flight, 0);
  EXPECT_EQ(cache.accounts().cached, 2);
}

TEST(Accounts, EvictionTakesFromWhoIsAboveTheFloor) {
  KvCache cache = make_cache({{"mla", 4, 11, 0}});
  const AccountId guarded = cache.add_account({{.floor = 3}}), greedy = cache.add_account({{}});
  User(cache, guarded).run_and_end(counting(21), "g");  // five complete blocks, two over the floor
  EXPECT_EQ(cache.pool(0).available_to(greedy), 7);
  EXPECT_EQ(cache.pool(0).available_to(guarded), 10);
  User taker(cache, greedy);
  taker.run(counting(28, 100), "x");
  EXPECT_TRUE(taker.fits);
  EXPECT_EQ(cache.pool(0).accounts()[static_cast<size_t>(guarded)].cached, 3);
  EXPECT_EQ(cache.pool(0).available_to(greedy), 0);
  EXPECT_FALSE(cache.extend(taker.blocks, 28, 29, 0, &taker.copies)) << "the rest is the other's floor";
  User own(cache, guarded);
  EXPECT_EQ(own.run(counting(13), "g"), 12) << "the deepest blocks went, the first three are there";
  EXPECT_FALSE(own.fits) << "all ten blocks are held";
}

TEST(Accounts, TheCeilingIsKeptByEvictingOnesOwn) {
  KvCache cache = make_cache({{"mla", 4, 30, 0}});
  const AccountId account = cache.add_account({{.ceiling = 4}});
  User(cache, account).run_and_end(counting(16));
  EXPECT_EQ(cache.pool(0).accounts()[static_cast<size_t>(account)].cached, 4);
  User next(cache, account);
  next.run(counting(12, 100));
  EXPECT_TRUE(next.fits);
  EXPECT_EQ(cache.pool(0).accounts()[static_cast<size_t>(account)].usage(), 4);
  EXPECT_FALSE(cache.extend(next.blocks, 12, 20, 0, &next.copies));
}

// The proof in accounts.h, tried: what each account can take, whatever was picked before.
TEST(Accounts, RandomUseKeepsFloorsAndCounts) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    std::mt19937_64 random(seed);
    const auto pick = [&](uint64_t below) { return static_cast<int32_t>(random() % below); };
    const int32_t total = 12 + pick(20);
    KvCache cache = make_cache({{"g", 2, total + 1, 0}});
    std::vector<AccountId> accounts;
    int32_t left = total;
    for (int32_t i = 0; i < 3; ++i) {
      const int32_t floor = pick(static_cast<uint64_t>(left / 2 + 1));
      left -= floor;
      const int32_t ceiling = pick(3) == 0 ? std::max(1, floor + pick(8)) : total;
      accounts.push_back(cache.add_account({{.floor = floor, .ceiling = ceiling}}));
    }
    std::vector<std::unique_ptr<User>> running;
    for (int round = 0; round < 300; ++round) {
      const auto before = cache.pool(0).accounts();
      const int32_t what = pick(3);
      if (what == 0 && !running.empty()) {
        const auto victim = running.begin() + pick(running.size());
        (*victim)->end();
        running.erase(victim);
      } else {
        const AccountId account = accounts[static_cast<size_t>(pick(3))];
        auto user = std::make_unique<User>(cache, account);
        const int32_t able = cache.pool(0).available_to(account);
        const int32_t tokens = 1 + pick(14);
        const std::string salt(1, static_cast<char>('a' + account));
        const int32_t hit = user->run(counting(tokens, 100 * pick(3)), salt);
        const int32_t wanted = blocks_for(tokens, 2) - hit / 2;
        if (hit == 0) {
          ASSERT_EQ(user->fits, wanted <= able) << "seed " << seed << " round " << round;
        }
        for (const AccountId other : accounts) {
          const AccountCounts& now = cache.pool(0).accounts()[static_cast<size_t>(other)];
          const AccountCounts& then = before[static_cast<size_t>(other)];
          if (other == account) continue;
          ASSERT_GE(now.usage(), std::min(then.usage(), now.limits.floor))
              << "a floor was broken, seed " << seed;
        }
        ASSERT_LE(cache.pool(0).accounts()[static_cast<size_t>(account)].held,
                  cache.pool(0).accounts()[static_cast<size_t>(account)].limits.ceiling);
        running.push_back(std::move(user));
      }
      int32_t held = 0, cached = 0;
      std::map<AccountId, std::set<BlockId>> by_account;
      for (const auto& user : running) {
        for (const BlockId block : user->blocks.tables[0])
          by_account[cache.pool(0).account(block)].insert(block);
      }
      for (size_t a = 0; a < cache.pool(0).accounts().size(); ++a) {
        const AccountCounts& one = cache.pool(0).accounts()[a];
        ASSERT_EQ(one.held, static_cast<int32_t>(by_account[static_cast<AccountId>(a)].size()))
            << "seed " << seed;
        held += one.held;
        cached += one.cached;
      }
      ASSERT_EQ(held + cached + cache.pool(0).free_count(), total);
      ASSERT_EQ(cached, cache.pool(0).cached_count());
    }
  }
}

}  // namespace
}  // namespace hadal
