#include "runner/cache_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hadal {
namespace {

using ::testing::HasSubstr;

CacheGroupLayout full(int64_t token_bytes, std::vector<int32_t> layers) {
  CacheGroupLayout layout;
  layout.name = "mla";
  layout.layers = std::move(layers);
  layout.token_bytes = token_bytes;
  return layout;
}

CacheGroupLayout windowed(int64_t token_bytes, std::vector<int32_t> layers, int32_t window) {
  CacheGroupLayout layout = full(token_bytes, std::move(layers));
  layout.name = "gqa_window";
  layout.retention = CacheRetention::kWindow;
  layout.window = window;
  return layout;
}

CacheSizing sizing() { return {.block_tokens = 64, .max_model_len = 4096, .max_tokens = 512, .max_rows = 8}; }

TEST(CacheSizing, BlocksComeWithTheNullBlockOnTop) {
  CacheSizing asked = sizing();
  asked.num_blocks = 64;
  const auto specs = size_cache({full(1152, {0, 1, 2})}, asked);
  ASSERT_TRUE(specs.ok()) << specs.status();
  EXPECT_EQ((*specs)[0].num_blocks, 65);
  EXPECT_EQ(cache_bytes_of({full(1152, {0, 1, 2})}, *specs), 65u * 64u * 1152u * 3u);
}

TEST(CacheSizing, BytesAreFilledAndNeverExceeded) {
  const std::vector<CacheGroupLayout> groups = {full(1152, {0, 1, 2}), windowed(512, {3}, 256)};
  for (uint64_t bytes = 40'000'000; bytes < 60'000'000; bytes += 1'234'567) {
    CacheSizing asked = sizing();
    asked.cache_bytes = bytes;
    const auto specs = size_cache(groups, asked);
    ASSERT_TRUE(specs.ok()) << specs.status();
    EXPECT_LE(cache_bytes_of(groups, *specs), bytes);
    EXPECT_GT(cache_bytes_of(groups, *specs) + 64 * (1152 * 3 + 512), bytes);
  }
}

TEST(CacheSizing, AWindowGroupGetsNoMoreThanAllRowsCanHold) {
  CacheSizing asked = sizing();
  asked.num_blocks = 10'000;
  const auto specs = size_cache({full(1152, {0}), windowed(512, {1}, 256)}, asked);
  ASSERT_TRUE(specs.ok()) << specs.status();
  // 255 + 512 consecutive positions touch at most 13 blocks of 64
  EXPECT_EQ((*specs)[1].num_blocks, 8 * 13 + 1);
  EXPECT_EQ((*specs)[1].window, 256);
}

TEST(CacheSizing, RefusesWhatCannotHoldOneSequenceWithTheArithmetic) {
  CacheSizing asked = sizing();
  asked.num_blocks = 63;
  Status status = size_cache({full(1152, {0, 1})}, asked).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  const std::string message(message_of(status));
  EXPECT_THAT(message, HasSubstr("max_model_len 4096"));
  EXPECT_THAT(message, HasSubstr("needs 64 blocks of 64 tokens"));
  EXPECT_THAT(message, HasSubstr(std::to_string(65 * 64 * 1152 * 2)));
  asked.num_blocks = 0;
  asked.cache_bytes = 65 * 64 * 1152 * 2 - 1;
  EXPECT_EQ(size_cache({full(1152, {0, 1})}, asked).status().code(), absl::StatusCode::kResourceExhausted);
  asked.cache_bytes += 1;
  EXPECT_TRUE(size_cache({full(1152, {0, 1})}, asked).ok());
  asked.cache_bytes = 0;
  EXPECT_EQ(size_cache({full(1152, {0, 1})}, asked).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(CacheSizing, TheLongestContextIsThatOfWhichOneSequenceFits) {
  CacheSizing asked = sizing();
  asked.cache_bytes = 11 * 64 * 1152 * 2;  // ten blocks and the null block
  EXPECT_EQ(longest_context({full(1152, {0, 1})}, asked), 640);
  asked.cache_bytes *= 100;
  EXPECT_EQ(longest_context({full(1152, {0, 1})}, asked), 4096) << "no more than was asked for";
  asked.cache_bytes = 64 * 1152 * 2;
  EXPECT_EQ(longest_context({full(1152, {0, 1})}, asked), 0);
}

}  // namespace
}  // namespace hadal
