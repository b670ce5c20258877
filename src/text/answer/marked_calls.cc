// Calls between marker tokens, as V3 (and R1) and V3.1 write them:
//
//   V3
//   <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME\n```json\nARGUMENTS\n```<｜tool▁call▁end｜>
//         further calls, a newline before each, then <｜tool▁calls▁end｜>
//   V3.1
//   <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>NAME<｜tool▁sep｜>ARGUMENTS<｜tool▁call▁end｜>...<｜tool▁calls▁end｜>
#include <cctype>
#include <utility>

#include "text/answer/scanned_calls.h"

namespace hadal {
namespace {

constexpr std::string_view kCallsBegin = "<｜tool▁calls▁begin｜>";
constexpr std::string_view kCallsEnd = "<｜tool▁calls▁end｜>";
constexpr std::string_view kCallBegin = "<｜tool▁call▁begin｜>";
constexpr std::string_view kCallEnd = "<｜tool▁call▁end｜>";
constexpr std::string_view kSeparator = "<｜tool▁sep｜>";
constexpr std::string_view kFence = "```";
constexpr std::string_view kBlanks = " \t\r\n";
constexpr size_t kMaxName = 1024;  // longer is no name, and must not be held back

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) + 1 - first);
}

enum class Fenced : uint8_t { kNo, kYes };

class MarkedCalls final : public ScannedCalls {
 public:
  explicit MarkedCalls(Fenced fenced) : fenced_(fenced) {}

 private:
  enum class State : uint8_t { kContent, kBetween, kHead, kFenceLine, kArguments };

  void finish(ToolDelta& delta) override {
    if (state_ == State::kHead) delta.content += kCallBegin;
    if (state_ == State::kArguments) {
      end_arguments(delta, scanner_.take_all());
    } else {
      delta.content += scanner_.take_all();
    }
  }

  bool step(ToolDelta& delta, bool at_end) override {
    switch (state_) {
      case State::kContent:
        return content(delta);
      case State::kBetween:
        return between(delta, at_end);
      case State::kHead:
        return head(delta);
      case State::kFenceLine:
        return fence(at_end);
      case State::kArguments:
        return arguments(delta);
    }
    return false;
  }

  bool content(ToolDelta& delta) {
    if (!content_until({kCallsBegin}, delta)) return false;
    state_ = State::kBetween;
    return true;
  }

  bool between(ToolDelta& delta, bool at_end) {
    scanner_.skip_blanks();
    if (scanner_.empty()) return false;
    const Match begin = scanner_.begins_with(kCallBegin);
    const Match end = scanner_.begins_with(kCallsEnd);
    if (begin == Match::kYes) {
      scanner_.skip(kCallBegin.size());
      state_ = State::kHead;
    } else if (end == Match::kYes) {
      scanner_.skip(kCallsEnd.size());
      state_ = State::kContent;
    } else if (!at_end && (begin == Match::kMaybe || end == Match::kMaybe)) {
      return false;
    } else {  // not in form
      delta.content += scanner_.take(1);
      state_ = State::kContent;
    }
    return true;
  }

  /// NAME<sep>, or for V3 TYPE<sep>NAME and a line break.
  bool head(ToolDelta& delta) {
    constexpr size_t kNone = std::string_view::npos;
    const std::string_view text = scanner_.rest();
    size_t begin = 0;                    // of the name
    size_t end = text.find(kSeparator);  // of the name
    size_t next = end + kSeparator.size();
    if (fenced_ == Fenced::kYes && end != kNone) {
      begin = next;
      end = text.find('\n', begin);
      next = end + 1;
    }
    const bool broken = std::min(text.find(kCallEnd), text.find(kCallsEnd)) < end;
    const bool too_long = end == kNone ? text.size() > kMaxName + kSeparator.size() : end > kMaxName;
    const std::string_view name =
        end == kNone ? std::string_view() : trimmed(text.substr(begin, end - begin));
    if (broken || too_long || (end != kNone && name.empty())) {
      delta.content += kCallBegin;  // no call: its text is content
      state_ = State::kContent;
      return true;
    }
    if (end == kNone) return false;
    begin_call(delta, std::string(name));
    scanner_.skip(next);
    state_ = fenced_ == Fenced::kYes ? State::kFenceLine : State::kArguments;
    begun_ = has_fence_ = false;
    return true;
  }

  /// ```json and a line break; a model may leave it out.
  bool fence(bool at_end) {
    constexpr size_t kLongestLine = 16;
    scanner_.skip_blanks();
    const auto match = scanner_.begins_with(kFence);
    if (match == Match::kMaybe && !at_end) return false;
    has_fence_ = match == Match::kYes;
    if (has_fence_) {
      const std::string_view line = scanner_.rest().substr(0, kLongestLine);
      if (line.find('\n') == std::string_view::npos && line.size() < kLongestLine && !at_end) return false;
      size_t skipped = kFence.size();
      while (skipped < line.size() && std::isalpha(static_cast<unsigned char>(line[skipped]))) ++skipped;
      scanner_.skip(skipped);
    }
    state_ = State::kArguments;
    return true;
  }

  bool arguments(ToolDelta& delta) {
    if (!begun_) scanner_.skip_blanks();
    const auto found = scanner_.find({kCallEnd, kCallsEnd});
    if (!found.mark.empty()) {
      end_arguments(delta, scanner_.take(found.before));
      if (found.mark == kCallEnd) scanner_.skip(kCallEnd.size());
      state_ = State::kBetween;
      return true;
    }
    // blanks, and a fence, belong to the end if it comes
    const std::string_view sure = scanner_.rest().substr(0, found.before);
    const size_t last = sure.find_last_not_of(has_fence_ ? " \t\r\n`" : kBlanks);
    if (last == std::string_view::npos) return false;
    begun_ = true;
    add_arguments(delta, scanner_.take(last + 1));
    return false;
  }

  void end_arguments(ToolDelta& delta, std::string text) {
    const auto trim_end = [&text] { text.erase(text.find_last_not_of(kBlanks) + 1); };
    trim_end();
    if (has_fence_ && text.ends_with(kFence)) {
      text.erase(text.size() - kFence.size());
      trim_end();
    }
    add_arguments(delta, std::move(text));
  }

  const Fenced fenced_;
  State state_ = State::kContent;
  bool begun_ = false;      // some of the arguments came
  bool has_fence_ = false;  // they began with one
};

}  // namespace

std::unique_ptr<ToolCallParser> make_deepseek_v3_parser() {
  return std::make_unique<MarkedCalls>(Fenced::kYes);
}
std::unique_ptr<ToolCallParser> make_deepseek_v31_parser() {
  return std::make_unique<MarkedCalls>(Fenced::kNo);
}

}  // namespace hadal
