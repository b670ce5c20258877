#include "base/log.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <thread>
#include <vector>

#include "base/log_line.h"
#include "base/log_writer.h"

namespace hadal {
namespace {

constexpr std::chrono::seconds kLong{60};

std::string quoted(std::string_view text) {
  std::string out;
  append_json_text(text, &out);
  return out;
}

TEST(LogLine, IsTextOrAnObjectWithStableKeys) {
  const std::array<LogField, 5> fields = {LogField{"status", int64_t{200}}, LogField{"seconds", 0.25},
                                          LogField{"streamed", true}, LogField{"path", "/a"},
                                          LogField{"rate", std::nan("")}};
  const LogLine line{.unix_seconds = 1.5e9 + 0.012,
                     .level = LogLevel::kWarning,
                     .event = "access",
                     .message = "a \"b\"",
                     .fields = fields};
  EXPECT_EQ(json_line(line),
            R"({"time":"2017-07-14T02:40:00.012Z","level":"warning","event":"access","message":"a \"b\"",)"
            R"("status":200,"seconds":0.25,"streamed":true,"path":"/a","rate":null})"
            "\n");
  const std::string text = text_line(line);
  EXPECT_EQ(text.substr(text.find(' ')), " W a \"b\"\n");
}

TEST(LogLine, WhateverBytesAClientSendsStayOneLineOfJson) {
  EXPECT_EQ(quoted("a\nb\t\x01\x7f\\"), R"("a\nb\u0009\u0001\u007f\\")");
  EXPECT_EQ(quoted("é €"), "\"é €\"");
  EXPECT_EQ(quoted("\xF0\x9F\xA6\x8A"), "\"\xF0\x9F\xA6\x8A\"");
  const std::string replaced = "\xEF\xBF\xBD";
  for (const char* bad : {"\x80", "\xC3", "\xC0", "\xFF"}) EXPECT_EQ(quoted(bad), "\"" + replaced + "\"");
  EXPECT_EQ(quoted("\xED\xA0\x80"), "\"" + replaced + replaced + replaced + "\"") << "a surrogate";
  EXPECT_EQ(quoted("\xE2\x82"), "\"" + replaced + replaced + "\"") << "a character cut";
  EXPECT_EQ(quoted(std::string_view("\0", 1)), R"("\u0000")");
  EXPECT_EQ(log_escaped("/a\n\"\xC3\\ b"), R"(/a\x0a\x22\xc3\x5c b)");
}

/// The two ends of a pipe.
struct Pipe {
  Pipe() { EXPECT_EQ(::pipe(ends.data()), 0); }
  ~Pipe() {
    close_reader();
    ::close(ends[1]);
  }
  void close_reader() {
    if (ends[0] >= 0) ::close(ends[0]);
    ends[0] = -1;
  }
  /// Reads until the text has `wanted` in it, or nothing comes for long.
  std::string read_until(std::string_view wanted) const {
    std::string text;
    std::array<char, 4096> piece;
    while (text.find(wanted) == std::string::npos) {
      pollfd one{.fd = ends[0], .events = POLLIN, .revents = 0};
      if (::poll(&one, 1, static_cast<int>(std::chrono::milliseconds(kLong).count())) <= 0) break;
      const ssize_t count = ::read(ends[0], piece.data(), piece.size());
      if (count <= 0) break;
      text.append(piece.data(), static_cast<size_t>(count));
    }
    return text;
  }
  std::array<int, 2> ends{-1, -1};
};

std::string lost_line(uint64_t lines) { return fmt::format("lost {}\n", lines); }

TEST(LogWriter, LinesOfManyThreadsComeWholeAndInOrder) {
  Pipe pipe;
  LogWriter writer(pipe.ends[1], 1 << 20, lost_line);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&writer, thread] {
      for (int line = 0; line < 100; ++line) writer.write(fmt::format("{}:{}\n", thread, line));
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(writer.flush(kLong));
  writer.write("end\n");
  const std::string text = pipe.read_until("end\n");
  for (int thread = 0; thread < 4; ++thread) {
    size_t at = 0;
    for (int line = 0; line < 100; ++line) {
      at = text.find(fmt::format("{}:{}\n", thread, line), at);
      ASSERT_NE(at, std::string::npos) << thread << ":" << line;
    }
  }
  EXPECT_EQ(writer.lost(), 0u);
}

TEST(LogWriter, AReaderThatDoesNotReadHoldsNobodyUp) {
  Pipe pipe;
  LogWriter writer(pipe.ends[1], 256 << 10, lost_line);
  const std::string line(1023, 'x');
  uint64_t refused = 0;
  for (int i = 0; i < 1000; ++i) refused += writer.write(line + "\n") ? 0 : 1;  // a pipe takes 64 KiB
  EXPECT_GT(refused, 0u);
  EXPECT_EQ(writer.lost(), refused);
  EXPECT_FALSE(writer.flush(std::chrono::milliseconds(1)));
  std::string text;
  std::thread reader([&] { text = pipe.read_until("again\n"); });
  EXPECT_TRUE(writer.flush(kLong));
  EXPECT_TRUE(writer.write("again\n"));
  reader.join();
  EXPECT_EQ(text.substr(text.size() - std::min<size_t>(text.size(), 6)), "again\n");
  uint64_t told = 0;  // in one line, or in more where the writer came in between
  for (size_t at = text.find("lost "); at != std::string::npos; at = text.find("lost ", at + 1))
    told += std::stoull(text.substr(at + 5));
  EXPECT_EQ(told, refused);
}

TEST(LogWriter, AReaderThatIsGoneIsNoReasonToEnd) {
  Pipe pipe;
  pipe.close_reader();
  LogWriter writer(pipe.ends[1], 1 << 20, lost_line);
  EXPECT_TRUE(writer.write("one\ntwo\n"));
  EXPECT_TRUE(writer.flush(kLong));
  EXPECT_EQ(writer.lost(), 2u);
  LogWriter closed(-1, 1 << 20, lost_line);
  EXPECT_TRUE(closed.write("one\n"));
  EXPECT_TRUE(closed.flush(kLong));
  EXPECT_EQ(closed.lost(), 1u);
}

TEST(Log, MessagesAreEventsToo) {
  set_log_format(LogFormat::kJson);
  testing::internal::CaptureStderr();
  log_warning("{} GPU", "no");
  log_event(LogLevel::kInfo, "access", "GET /", {{"status", int64_t{200}}});
  const std::string said = testing::internal::GetCapturedStderr();
  set_log_format(LogFormat::kText);
  EXPECT_NE(said.find(R"("level":"warning","event":"log","message":"no GPU"})"), std::string::npos) << said;
  EXPECT_NE(said.find(R"("event":"access","message":"GET /","status":200})"), std::string::npos) << said;
}

}  // namespace
}  // namespace hadal
