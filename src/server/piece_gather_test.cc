#include "server/piece_gather.h"

#include <gtest/gtest.h>

namespace hadal {
namespace {

ReplyPiece content(std::string text) {
  ReplyPiece piece;
  piece.content = std::move(text);
  return piece;
}

TEST(PieceGather, TheFirstGoesAtOnceThenEveryNAndTheEndTakesTheRest) {
  PieceGather gather;
  std::vector<std::string> sent;
  for (int token = 0; token < 9; ++token) {
    ReplyPiece piece = content(std::string(1, static_cast<char>('a' + token)));
    piece.first = token == 0;
    if (token == 8) piece.finish_reason = "stop";
    for (const ReplyPiece& ready : gather.add(std::move(piece), 1, 3)) sent.push_back(ready.content);
  }
  EXPECT_EQ(sent, (std::vector<std::string>{"a", "bcd", "efg", "hi"}));
  EXPECT_FALSE(gather.take());
}

TEST(PieceGather, JoinsAllParts) {
  PieceGather gather;
  ReplyPiece one = content("");
  one.reasoning = "think";
  one.token_ids = {{1}};
  one.logprobs.emplace(1);
  ReplyPiece two = content("say");
  two.calls = {{.index = 0, .id = "call_1", .name = "f", .arguments = "{"}};
  two.token_ids = {{2}};
  two.usage.emplace();
  two.usage->completion_tokens = 2;
  ReplyPiece three = content("");
  three.calls = {{.index = 0, .id = "", .name = "", .arguments = "}"},
                 {.index = 1, .id = "call_2", .name = "g", .arguments = ""}};
  three.logprobs.emplace(2);
  three.finish_reason = "tool_calls";
  three.stop_reason = 7;
  EXPECT_TRUE(gather.add(std::move(one), 1, 100).empty());
  EXPECT_TRUE(gather.add(std::move(two), 1, 100).empty());
  const std::vector<ReplyPiece> ready = gather.add(std::move(three), 1, 100);
  ASSERT_EQ(ready.size(), 1u);
  const ReplyPiece& joined = ready.front();
  EXPECT_EQ(joined.reasoning + "|" + joined.content, "think|say");
  ASSERT_EQ(joined.calls.size(), 2u);
  EXPECT_EQ(joined.calls[0].id + joined.calls[0].arguments, "call_1{}");
  EXPECT_EQ(joined.calls[1].id, "call_2");
  EXPECT_EQ(*joined.token_ids, (std::vector<int32_t>{1, 2}));
  EXPECT_EQ(joined.logprobs->size(), 3u);
  EXPECT_EQ(joined.usage->completion_tokens, 2);
  EXPECT_EQ(joined.finish_reason, "tool_calls");
  EXPECT_EQ(std::get<int32_t>(joined.stop_reason), 7);
}

TEST(PieceGather, TextBehindACallDoesNotComeBeforeIt) {
  PieceGather gather;
  ReplyPiece call = content("");
  call.calls = {{.index = 0, .id = "call_1", .name = "f", .arguments = "{}"}};
  EXPECT_TRUE(gather.add(std::move(call), 1, 100).empty());
  const std::vector<ReplyPiece> ready = gather.add(content("text"), 1, 100);
  ASSERT_EQ(ready.size(), 1u);
  EXPECT_EQ(ready[0].calls.size(), 1u);
  EXPECT_EQ(ready[0].content, "");
  EXPECT_EQ(gather.take()->content, "text");
}

}  // namespace
}  // namespace hadal
