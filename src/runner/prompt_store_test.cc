#include "runner/prompt_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

namespace hadal {
namespace {

SharedIds ids(size_t count) { return std::make_shared<const std::vector<int32_t>>(count, 7); }

class PromptStoreTest : public ::testing::Test {
 protected:
  explicit PromptStoreTest(int64_t size = 32)
      : device_(*Device::open("ref")), store_(*PromptStore::create(*device_, size)) {}
  /// A step with one prompt. Whether it has to be sent; nothing: no room.
  std::optional<bool> step(const SharedIds& prompt) {
    store_.begin_step();
    const auto place = store_.place(prompt);
    store_.sent();
    if (!place) return std::nullopt;
    return place->is_new;
  }
  std::shared_ptr<Device> device_;
  PromptStore store_;
};

TEST_F(PromptStoreTest, APromptIsSentOnceAndStaysWhereItIs) {
  const SharedIds a = ids(5), b = ids(6);
  store_.begin_step();
  const auto first = store_.place(a), second = store_.place(b);
  ASSERT_TRUE(first && first->is_new && second && second->is_new);
  EXPECT_GE(second->ids, first->ids + 5);
  EXPECT_EQ((second->ids - first->ids) % 4, 0) << "copies go by 16 bytes";
  const auto again = store_.place(a);
  EXPECT_EQ(again->ids, first->ids) << "two choices of one request";
  EXPECT_FALSE(again->is_new);
  store_.sent();
  EXPECT_EQ(step(b), false);
  EXPECT_EQ(step(a), false);
  EXPECT_EQ(step(ids(5)), true) << "equal ids, another prompt";
}

TEST_F(PromptStoreTest, WhatWasNotSentIsForgotten) {
  const SharedIds a = ids(8), b = ids(8);
  EXPECT_EQ(step(a), true);
  store_.begin_step();
  const auto lost = store_.place(b);
  ASSERT_TRUE(lost && lost->is_new);  // the step fails before its copies
  store_.begin_step();
  EXPECT_FALSE(store_.keep(b));
  const auto again = store_.place(b);
  ASSERT_TRUE(again && again->is_new);
  EXPECT_EQ(again->ids, lost->ids);
  EXPECT_TRUE(store_.keep(a));
}

TEST_F(PromptStoreTest, TheOldestMakeRoomButNoneOfTheStep) {
  const SharedIds a = ids(16), b = ids(16), c = ids(20), d = ids(12);
  EXPECT_EQ(step(a), true);
  EXPECT_EQ(step(b), true);
  store_.begin_step();
  ASSERT_TRUE(store_.keep(b));
  EXPECT_EQ(store_.place(c), std::nullopt) << "b lies in the way and is used";
  EXPECT_TRUE(store_.place(d)->is_new) << "where a was";
  store_.sent();
  EXPECT_EQ(step(b), false);
  EXPECT_EQ(step(a), true) << "behind d, where b was";
  EXPECT_EQ(step(b), true);
  EXPECT_EQ(step(ids(33)), std::nullopt);
}

TEST_F(PromptStoreTest, NothingIsKeptWithoutMemory) {
  store_ = *PromptStore::create(*device_, 0);
  EXPECT_EQ(step(ids(1)), std::nullopt);
}

/// Against a map: places of one step never overlap, and what is not new was sent there and not overwritten.
TEST_F(PromptStoreTest, RandomStepsNeverReadWhatWasNotSent) {
  store_ = *PromptStore::create(*device_, 96);
  std::mt19937 random(5);
  std::vector<SharedIds> prompts;
  std::map<int32_t*, const void*> content;  // of every id's place
  int64_t kept = 0, sent = 0, refused = 0;
  for (int round = 0; round < 4000; ++round) {
    if (prompts.size() < 8 || random() % 4 == 0) prompts.push_back(ids(1 + random() % 30));
    if (prompts.size() > 8) prompts.erase(prompts.begin() + random() % 4);
    store_.begin_step();
    std::vector<SharedIds> rows;
    for (const SharedIds& one : prompts) {
      if (random() % 3 == 0) rows.push_back(one);
    }
    for (const SharedIds& one : rows) (void)store_.keep(one);
    std::set<int32_t*> taken;
    std::vector<SharedIds> fresh;
    for (const SharedIds& one : rows) {
      const auto place = store_.place(one);
      if (!place) {
        ++refused;
        continue;
      }
      ++(place->is_new ? sent : kept);
      if (place->is_new) fresh.push_back(one);
      for (size_t i = 0; i < one->size(); ++i) {
        ASSERT_TRUE(taken.insert(place->ids + i).second) << "round " << round;
        if (place->is_new) {
          content[place->ids + i] = one.get();
        } else {
          ASSERT_EQ(content[place->ids + i], one.get()) << "round " << round;
        }
      }
    }
    if (random() % 16 == 0) {  // the step fails before its copies
      for (const SharedIds& one : fresh) {
        for (auto& [place, owner] : content) owner = owner == one.get() ? nullptr : owner;
      }
    } else {
      store_.sent();
    }
  }
  EXPECT_GT(kept, 1000);
  EXPECT_GT(sent, 1000);
  EXPECT_GT(refused, 10);
}

}  // namespace
}  // namespace hadal
