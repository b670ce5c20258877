// Server-sent events (text/event-stream): what a server writes and an incremental parser for what a client reads.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "http/message.h"

namespace hadal::http {

/// The fields of a streamed answer. `X-Accel-Buffering` keeps nginx from holding the events back.
Headers sse_headers();

struct SseEvent {
  std::string event;  // empty: "message"
  std::string data;   // several data lines are joined by line breaks
  std::string id;
};

/// Feed bytes as they come, cut anywhere. Comments are counted and otherwise ignored. Not thread-safe.
class SseParser {
 public:
  explicit SseParser(std::function<void(const SseEvent&)> on_event) : on_event_(std::move(on_event)) {}

  /// False when one event is larger than `kMaxEvent`; the parser then takes no more.
  bool feed(std::string_view bytes);
  int comments() const { return comments_; }

  static constexpr size_t kMaxEvent = size_t{64} << 20;

 private:
  void line(std::string_view text);

  std::function<void(const SseEvent&)> on_event_;
  std::string pending_;  // a line without its end yet
  SseEvent event_;
  bool has_data_ = false;
  bool skip_line_feed_ = false;  // the last byte was the '\r' of a possible "\r\n"
  bool overflow_ = false;
  int comments_ = 0;
};

}  // namespace hadal::http
