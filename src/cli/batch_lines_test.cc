#include "cli/batch_lines.h"

#include <gtest/gtest.h>

namespace hadal {
namespace {

using nlohmann::json;

TEST(BatchLines, PromptsAndConversationsInTheirOrder) {
  const auto batch = read_batch(
      "{\"prompt\": \"a\", \"id\": 7}\n\n{\"messages\": [{\"role\": \"user\"}], \"max_tokens\": 5}");
  ASSERT_TRUE(batch.ok()) << message_of(batch.status());
  ASSERT_EQ(batch->size(), 2u);
  EXPECT_EQ((*batch)[0].prompt, "a");
  EXPECT_EQ((*batch)[0].id, 7);
  EXPECT_EQ((*batch)[1].index, 1);
  EXPECT_EQ((*batch)[1].max_tokens, 5);
  EXPECT_TRUE((*batch)[1].messages.is_array());
  EXPECT_TRUE(read_batch("")->empty());
}

TEST(BatchLines, WhatIsWrongIsSaidWithItsLine) {
  for (const char* bad :
       {"{}", "5", "{\"prompt\": 5}", "{\"prompt\": \"a\", \"messages\": [1]}", "{\"messages\": []}",
        "{\"prompt\": \"a\", \"max_tokens\": 0}", "{\"prompt\": \"a\""}) {
    const auto batch = read_batch(std::string("{\"prompt\": \"a\"}\n") + bad);
    ASSERT_FALSE(batch.ok()) << bad;
    EXPECT_NE(message_of(batch.status()).find("line 2"), std::string_view::npos)
        << message_of(batch.status());
  }
}

TEST(BatchLines, AnEarlierRunsAnswersAreKnown) {
  BatchAnswer answer{.index = 3,
                     .id = "x",
                     .text = "t\n\xff",
                     .finish_reason = "stop",
                     .error = {},
                     .prompt_tokens = 2,
                     .output_tokens = 1};
  const std::string good = answer_line(answer);
  EXPECT_EQ(json::parse(good)["text"], "t\n\xef\xbf\xbd");
  answer.index = 4;
  answer.error = "too long";
  const std::string failed = answer_line(answer);
  EXPECT_FALSE(json::parse(failed).contains("text"));
  const std::string cut = good + failed + "{\"index\": 5, \"te";
  EXPECT_EQ(answered(cut), std::set<int64_t>{3}) << "errors are tried again, and what was cut";
  EXPECT_EQ(whole_lines(cut), good + failed);
  EXPECT_EQ(whole_lines("{"), "");
}

}  // namespace
}  // namespace hadal
