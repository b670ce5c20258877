#include "http/sse.h"

#include <gtest/gtest.h>

namespace hadal::http {
namespace {

TEST(SseParser, SameEventsHoweverTheBytesAreCut) {
  const std::string bytes =
      ": ping\n\ndata: {\"a\":1}\n\nevent: error\r\ndata: one\r\ndata:two\r\nid: 7\r\n\r\ndata: [DONE]\r\rdata: cut off";
  for (size_t piece = 1; piece <= bytes.size(); ++piece) {
    std::vector<SseEvent> events;
    SseParser parser([&](const SseEvent& event) { events.push_back(event); });
    for (size_t at = 0; at < bytes.size(); at += piece) ASSERT_TRUE(parser.feed(std::string_view(bytes).substr(at, piece)));
    ASSERT_EQ(events.size(), 3u) << piece;
    EXPECT_EQ(events[0].data, "{\"a\":1}");
    EXPECT_EQ(events[1].event, "error");
    EXPECT_EQ(events[1].data, "one\ntwo");
    EXPECT_EQ(events[1].id, "7");
    EXPECT_EQ(events[2].data, "[DONE]");
    EXPECT_EQ(parser.comments(), 1);
  }
}

}  // namespace
}  // namespace hadal::http
