#include "http/request_reader.h"

#include <gtest/gtest.h>

namespace hadal::http {
namespace {

using State = RequestReader::State;

RequestReader::State feed(RequestReader& reader, std::string_view bytes, size_t piece) {
  State state = reader.advance();
  for (size_t at = 0; at < bytes.size(); at += piece) {
    reader.append(bytes.substr(at, piece));
    state = reader.advance();
  }
  return state;
}

int status_of(std::string_view bytes, const ReaderLimits& limits = {}) {
  RequestReader reader(limits);
  const State state = feed(reader, bytes, bytes.size());
  return state == State::kError ? reader.error_status() : state == State::kComplete ? 200 : 0;
}

TEST(RequestReader, SameRequestHoweverTheBytesAreCut) {
  const std::string bytes =
      "POST /v1/chat%2Fx?model=a%20b&flag HTTP/1.1\r\nHost: h\r\nX-Two: 1\r\nx-two: 2\r\n"
      "Transfer-Encoding: chunked\r\n\r\n5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nTrailer: x\r\nX-Two: 3\r\n\r\n";
  for (size_t piece : {size_t{1}, size_t{2}, size_t{7}, size_t{64}, bytes.size()}) {
    RequestReader reader({});
    ASSERT_EQ(feed(reader, bytes, piece), State::kComplete) << piece << ": " << reader.error_message();
    const Request request = reader.take();
    EXPECT_EQ(request.method, "POST");
    EXPECT_EQ(request.path, "/v1/chat/x");
    EXPECT_EQ(request.query_value("model"), "a b");
    EXPECT_EQ(request.query_value("absent"), "");
    EXPECT_EQ(request.body, "hello world");
    EXPECT_EQ(request.headers.get("X-TWO"), "1");
    EXPECT_EQ(request.headers.count("x-two"), 2u) << "a trailer must not become a header";
    EXPECT_TRUE(request.keep_alive);
    EXPECT_TRUE(reader.at_message_start());
  }
}

// Beast's own chunk parser ends a debug build with an assertion on this one (found by fuzz_http).
TEST(RequestReader, LastChunkInUnluckyPieces) {
  RequestReader reader({});
  reader.append("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n");
  EXPECT_EQ(reader.advance(), State::kBody);
  reader.append("\r");
  EXPECT_EQ(reader.advance(), State::kBody);
  reader.append("\n");
  EXPECT_EQ(reader.advance(), State::kComplete);
}

TEST(RequestReader, ChunkFramingIsStrict) {
  const std::string head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const char* bad : {"1\na\r\n0\r\n\r\n", "1 \r\na\r\n0\r\n\r\n", "0x1\r\na\r\n", "1;a\nb\r\na\r\n", "\r\n", "1\r\na\n0\r\n\r\n",
                          "0\r\nX: a\nY: b\r\n\r\n", "0\r\n\n", "0\r\n\rX", "-1\r\n", "1000000000000000\r\n"}) {
    EXPECT_EQ(status_of(head + bad), 400) << bad;
  }
  EXPECT_EQ(status_of(head + "001;a=\"b\"\r\nx\r\n000\r\nT: v\r\n\r\n"), 200);
}

TEST(RequestReader, PipelinedRequestsComeOneByOne) {
  RequestReader reader({});
  reader.append("GET /a HTTP/1.1\r\nHost: h\r\n\r\n\r\nPOST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nxyzGET /c HT");
  ASSERT_EQ(reader.advance(), State::kComplete);
  EXPECT_EQ(reader.take().path, "/a");
  ASSERT_EQ(reader.advance(), State::kComplete);
  const Request second = reader.take();
  EXPECT_EQ(second.path, "/b");
  EXPECT_EQ(second.body, "xyz");
  EXPECT_EQ(reader.advance(), State::kHeader);
  EXPECT_FALSE(reader.at_message_start());
  reader.append("TP/1.0\r\n\r\n");
  ASSERT_EQ(reader.advance(), State::kComplete);
  EXPECT_FALSE(reader.take().keep_alive);
}

TEST(RequestReader, RefusesWhatTwoServersCouldReadDifferently) {
  const std::string head = "POST / HTTP/1.1\r\nHost: h\r\n";
  EXPECT_EQ(status_of(head + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400);
  EXPECT_EQ(status_of(head + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"), 400);
  EXPECT_EQ(status_of(head + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"), 400);
  EXPECT_EQ(status_of(head + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc"), 400);
  EXPECT_EQ(status_of(head + "Content-Length: 3, 3\r\n\r\nabc"), 400);
  EXPECT_EQ(status_of(head + "Content-Length: +3\r\n\r\nabc"), 400);
  EXPECT_EQ(status_of(head + "Content-Length: -1\r\n\r\n"), 400);
  EXPECT_EQ(status_of(head + "Content-Length: 0x3\r\n\r\nabc"), 400);
  EXPECT_EQ(status_of(head + "Content-Length: 99999999999999999999999\r\n\r\n"), 400);
  EXPECT_EQ(status_of(head + "Content-Length:\r\n\r\n"), 400);
  EXPECT_EQ(status_of(head + "Content-Length : 3\r\n\r\nabc"), 400);
  EXPECT_EQ(status_of(head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400);
  EXPECT_EQ(status_of(head + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), 501);
  EXPECT_EQ(status_of(head + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"), 501);
  EXPECT_EQ(status_of(head + "Transfer-Encoding: xchunked\r\n\r\n"), 501);
  EXPECT_EQ(status_of("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\n\r\n"), 400) << "no Host";
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.1\nHost: a\n\n"), 505) << "bare line feeds: the version does not end";
  EXPECT_EQ(status_of(head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n"), 400);
  EXPECT_EQ(status_of(head + "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n"), 400);
  EXPECT_EQ(status_of(head + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nabc"), 400);
  EXPECT_EQ(status_of(std::string("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 35)), 400);
}

// Bug: a field that went on in the next line was joined, so that "X: a\r\n Transfer-Encoding: chunked" was one field here and two elsewhere.
TEST(RequestReader, RefusesFoldedFieldsHoweverTheBytesAreCut) {
  for (const std::string fold : {"X: a\r\n Transfer-Encoding: chunked\r\n", "Transfer-Encoding:\r\n\tchunked\r\n", " X: a\r\n"}) {
    const std::string bytes = "POST / HTTP/1.1\r\n" + fold + "Host: h\r\n\r\n0\r\n\r\n";
    for (size_t piece : {size_t{1}, size_t{17}, bytes.size()}) {
      RequestReader reader({});
      EXPECT_EQ(feed(reader, bytes, piece), State::kError) << fold << " by " << piece;
      EXPECT_EQ(reader.error_status(), 400);
    }
  }
  RequestReader body({});
  EXPECT_EQ(feed(body, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n x", 1), State::kComplete) << "a body may begin with a blank";
}

TEST(RequestReader, RefusesBadTargetsVersionsAndExpectations) {
  EXPECT_EQ(status_of("GET nonsense HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), 505);
  EXPECT_EQ(status_of("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: a\r\nExpect: the-worst\r\n\r\n"), 417);
  EXPECT_EQ(status_of("GET /" + std::string(20000, 'x') + " HTTP/1.1\r\nHost: a\r\n\r\n"), 414);
  EXPECT_EQ(status_of("\x16\x03\x01\x02 TLS hello"), 400);
  EXPECT_EQ(status_of("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), 200);
  RequestReader reader({});
  reader.append("GET http://host:80/v1/models?x=1 HTTP/1.1\r\nHost: host\r\n\r\n");
  ASSERT_EQ(reader.advance(), State::kComplete);
  const Request request = reader.take();
  EXPECT_EQ(request.path, "/v1/models");
  EXPECT_EQ(request.query, "x=1");
}

TEST(RequestReader, HoldsItsLimits) {
  const ReaderLimits limits{.max_header_bytes = 1024, .max_header_fields = 8, .max_body_bytes = 100};
  const std::string head = "POST / HTTP/1.1\r\nHost: h\r\n";
  EXPECT_EQ(status_of(head + "X: " + std::string(4000, 'x') + "\r\n\r\n", limits), 431);
  EXPECT_EQ(status_of(head + "X: " + std::string(4000, 'x'), limits), 431) << "without waiting for its end";
  std::string many = head;
  for (int i = 0; i < 8; ++i) many += "X" + std::to_string(i) + ": 1\r\n";
  EXPECT_EQ(status_of(many + "\r\n", limits), 431);
  EXPECT_EQ(status_of(head + "Content-Length: 101\r\n\r\n", limits), 413) << "before a byte of the body";
  EXPECT_EQ(status_of(head + "Content-Length: 100\r\n\r\n" + std::string(100, 'x'), limits), 200);
  std::string chunked = head + "Transfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 11; ++i) chunked += "a\r\n0123456789\r\n";
  EXPECT_EQ(status_of(chunked, limits), 413);
  RequestReader reader(limits);
  reader.append(head + "Transfer-Encoding: chunked\r\n\r\n1;");
  reader.append(std::string(100'000, 'e'));
  EXPECT_EQ(reader.advance(), State::kError) << "an endless chunk extension";
  RequestReader trailers(limits);
  trailers.append(head + "Transfer-Encoding: chunked\r\n\r\n0\r\n");
  for (int i = 0; i < 10'000; ++i) trailers.append("X: y\r\n");
  EXPECT_EQ(trailers.advance(), State::kError) << "endless trailers";
}

// fuzz_http: whether a header was within the limit depended on how its bytes were cut.
TEST(RequestReader, HeaderLimitIsExactHoweverTheBytesAreCut) {
  const std::string frame = "GET / HTTP/1.1\r\nHost: h\r\nX: \r\n\r\n";
  for (size_t total : {size_t{1023}, size_t{1024}, size_t{1025}}) {
    std::string bytes = frame;
    bytes.insert(frame.size() - 4, std::string(total - frame.size(), 'x'));
    for (size_t piece : {size_t{1}, size_t{7}, bytes.size()}) {
      RequestReader reader({.max_header_bytes = 1024});
      EXPECT_EQ(feed(reader, bytes, piece), total <= 1024 ? State::kComplete : State::kError) << total << " by " << piece;
    }
  }
}

TEST(RequestReader, AsksForContinueOnceAndOnlyBeforeTheBody) {
  RequestReader reader({});
  reader.append("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(reader.advance(), State::kBody);
  EXPECT_TRUE(reader.take_expect_continue());
  EXPECT_FALSE(reader.take_expect_continue());
  reader.append("ok");
  EXPECT_EQ(reader.advance(), State::kComplete);
  RequestReader at_once({});
  at_once.append("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok");
  EXPECT_EQ(at_once.advance(), State::kComplete);
  EXPECT_FALSE(at_once.take_expect_continue());
}

}  // namespace
}  // namespace hadal::http
