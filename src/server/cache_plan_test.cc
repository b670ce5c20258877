#include "server/cache_plan.h"

#include <gtest/gtest.h>

#include "base/log.h"

namespace hadal {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

/// 64 blocks of 64 tokens are 4 MiB.
CacheQuestion question() {
  set_log_level(LogLevel::kWarning);
  CacheQuestion asked;
  asked.token_bytes = 1024;
  asked.model_max_len = 4096;
  asked.max_num_seqs = 4;
  asked.weight_bytes = 100 * kMiB;
  asked.total_memory = 1000 * kMiB;
  asked.free_memory = 800 * kMiB;
  return asked;
}

TEST(CachePlan, OneSequenceOfTheLongestContextMustFit) {
  CacheQuestion asked = question();
  asked.max_model_len = 4096;
  asked.num_blocks = 64;  // exactly one sequence
  ASSERT_TRUE(plan_cache(asked).ok());
  EXPECT_EQ(plan_cache(asked)->max_model_len, 4096);
  EXPECT_EQ(plan_cache(asked)->bytes, 0u);
  asked.num_blocks = 63;
  EXPECT_TRUE(absl::IsResourceExhausted(plan_cache(asked).status()));
  asked.num_blocks = 0;
  asked.cache_bytes = 65 * 64 * 1024;  // with the null block
  EXPECT_TRUE(plan_cache(asked).ok());
  asked.cache_bytes -= 1;
  const auto refused = plan_cache(asked);
  ASSERT_TRUE(absl::IsResourceExhausted(refused.status()));
  EXPECT_NE(message_of(refused.status()).find("holds 4032 tokens"), std::string_view::npos)
      << message_of(refused.status());
}

TEST(CachePlan, WithoutALengthTheContextIsWhatFits) {
  CacheQuestion asked = question();
  asked.num_blocks = 10;
  ASSERT_TRUE(plan_cache(asked).ok());
  EXPECT_EQ(plan_cache(asked)->max_model_len, 640);
  asked.num_blocks = 0;
  asked.cache_bytes = 1000;  // not even a block
  EXPECT_TRUE(absl::IsResourceExhausted(plan_cache(asked).status()));
}

TEST(CachePlan, ACpuTakesLittleUnlessAShareIsGiven) {
  CacheQuestion asked = question();
  EXPECT_EQ(plan_cache(asked)->bytes, (4096u + 64u) * 1024u * 4u + 64u * 1024u);  // no more than can be used
  asked.max_num_seqs = 1000;
  EXPECT_EQ(plan_cache(asked)->bytes, 200 * kMiB);  // a quarter of what is free
  asked.memory_utilization = 0.5;
  EXPECT_EQ(plan_cache(asked)->bytes, 300 * kMiB);  // half of what is free, less the weights
  asked.memory_utilization = 0.125;
  EXPECT_TRUE(absl::IsResourceExhausted(plan_cache(asked).status())) << "the weights alone take that";
  for (const double share : {0.0, -1.0, 1.01}) {
    asked.memory_utilization = share;
    EXPECT_TRUE(absl::IsInvalidArgument(plan_cache(asked).status())) << share;
  }
}

TEST(CachePlan, ADeviceWithMemoryOfItsOwnIsSharedOutByDefault) {
  CacheQuestion asked = question();
  asked.host_memory = false;
  EXPECT_EQ(plan_cache(asked)->bytes, 620 * kMiB);  // 0.92 of all, less what is taken and the weights
  EXPECT_EQ(plan_cache(asked)->memory_bytes, 720 * kMiB) << "the runner sees what else there is";
  asked.memory_utilization = 0.5;
  EXPECT_EQ(plan_cache(asked)->bytes, 200 * kMiB);
  asked.cache_bytes = 10 * kMiB;
  EXPECT_EQ(plan_cache(asked)->bytes, 10 * kMiB) << "bytes go before a share";
  EXPECT_EQ(plan_cache(asked)->memory_bytes, 0u);
  EXPECT_EQ(plan_cache(question())->memory_bytes, 0u) << "a host's memory is not the runner's to measure";
}

TEST(CachePlan, WhatADeviceCannotHoldIsRefusedWithTheArithmetic) {
  CacheQuestion asked = question();
  asked.host_memory = false;
  asked.cache_bytes = 701 * kMiB;
  const Status too_much = plan_cache(asked).status();
  EXPECT_TRUE(absl::IsResourceExhausted(too_much));
  EXPECT_EQ(message_of(too_much),
            "the device has 800 MiB free of 1000 MiB; weights of 100 MiB and a KV cache of 701 MiB do not "
            "fit: a KV "
            "cache of at most 700 MiB would");
  for (const uint64_t cache_bytes : {uint64_t{0}, 10 * kMiB}) {  // by a share, and by bytes
    asked.cache_bytes = cache_bytes;
    asked.weight_bytes = 800 * kMiB;
    const Status weights = plan_cache(asked).status();
    EXPECT_TRUE(absl::IsResourceExhausted(weights));
    EXPECT_EQ(
        message_of(weights),
        "the device has 800 MiB free of 1000 MiB, and the weights take 800 MiB: a smaller or more strongly "
        "quantised checkpoint is needed, or more GPUs");
  }
  asked.cache_bytes = 0;
  asked.weight_bytes = 750 * kMiB;
  EXPECT_EQ(
      message_of(plan_cache(asked).status()),
      "--gpu-memory-utilization 0.92: 920 MiB of 1000 MiB of the device's memory, 200 MiB of them are taken, "
      "and the weights take 750 MiB; a higher share leaves room for a KV cache");
}

TEST(CachePlan, ALengthOverTheModelsIsRefused) {
  CacheQuestion asked = question();
  asked.max_model_len = 4097;
  EXPECT_TRUE(absl::IsInvalidArgument(plan_cache(asked).status()));
}

}  // namespace
}  // namespace hadal
