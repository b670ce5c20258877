// What parsers of tool calls share: the text that arrives in pieces, steps through it until nothing more is
// settled, calls with their numbers and arguments. A format brings its states. Inside of text/answer; one
// thread.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "text/answer/text_scanner.h"
#include "text/answer/tool_parser.h"

namespace hadal {

class ScannedCalls : public ToolCallParser {
 public:
  ToolDelta push(std::string_view text) final {
    scanner_.add(text);
    ToolDelta delta;
    while (step(delta, false)) {
    }
    return delta;
  }

  ToolDelta flush() final {
    ToolDelta delta;
    while (step(delta, true)) {
    }
    finish(delta);
    return delta;
  }

 protected:
  using Match = TextScanner::Match;

  /// Settles a part of scanner_'s text. False when nothing more is settled.
  virtual bool step(ToolDelta& delta, bool at_end) = 0;
  /// The end: gives out what scanner_ still holds.
  virtual void finish(ToolDelta& delta) = 0;

  /// Content up to the first of `marks`, and past it. False while none is there.
  bool content_until(std::initializer_list<std::string_view> marks, ToolDelta& delta) {
    const auto found = scanner_.find(marks);
    delta.content += scanner_.take(found.before);
    if (found.mark.empty()) return false;
    scanner_.skip(found.mark.size());
    return true;
  }

  void begin_call(ToolDelta& delta, std::string name, std::string arguments = {}) {
    delta.calls.push_back({++index_, std::move(name), std::move(arguments)});
  }
  /// More of the call that began last.
  void add_arguments(ToolDelta& delta, std::string text) {
    if (text.empty()) return;
    if (!delta.calls.empty() && delta.calls.back().index == index_) {
      delta.calls.back().arguments += text;
    } else {
      delta.calls.push_back({index_, {}, std::move(text)});
    }
  }

  TextScanner scanner_;

 private:
  int32_t index_ = -1;
};

}  // namespace hadal
