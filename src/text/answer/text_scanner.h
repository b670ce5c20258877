// Text that arrives in pieces and is taken in units: up to a mark, past a mark. What could be the beginning
// of a mark stays until it is known. Inside of text/answer; one thread.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>

namespace hadal {

/// Length of the longest end of `text` that is a beginning of `mark`, the whole mark aside.
inline size_t partial_mark(std::string_view text, std::string_view mark) {
  for (size_t length = std::min(text.size(), mark.size() - 1); length > 0; --length) {
    if (text.ends_with(mark.substr(0, length))) return length;
  }
  return 0;
}

class TextScanner {
 public:
  void add(std::string_view text) {
    text_.erase(0, at_);
    at_ = 0;
    text_ += text;
  }

  std::string_view rest() const { return std::string_view(text_).substr(at_); }
  bool empty() const { return at_ == text_.size(); }
  void skip(size_t count) {
    at_ += count;
    searched_ = 0;
  }
  std::string take(size_t count) {
    std::string taken(rest().substr(0, count));
    skip(taken.size());
    return taken;
  }
  std::string take_all() { return take(rest().size()); }

  void skip_blanks() { skip(std::min(rest().find_first_not_of(" \t\r\n"), rest().size())); }

  enum class Match { kYes, kNo, kMaybe };
  /// Does the rest begin with the mark? kMaybe: it may, once more has come.
  Match begins_with(std::string_view mark) const {
    if (rest().starts_with(mark)) return Match::kYes;
    return mark.starts_with(rest()) ? Match::kMaybe : Match::kNo;
  }

  struct Found {
    std::string_view mark;  // empty: none is there yet
    size_t before = 0;      // bytes that are certainly before any mark
  };
  /// The first of the marks; of several at one place, the first named. Asked again before anything is taken,
  /// it must be for the same marks: what was searched once is not searched again.
  Found find(std::initializer_list<std::string_view> marks) {
    const std::string_view text = rest();
    Found found{{}, std::string_view::npos};
    size_t held = 0, longest = 1;
    for (const std::string_view mark : marks) {
      const size_t place = text.find(mark, searched_);
      if (place < found.before) found = {mark, place};
      held = std::max(held, partial_mark(text, mark));
      longest = std::max(longest, mark.size());
    }
    if (!found.mark.empty()) return found;
    found.before = text.size() - held;
    searched_ = text.size() < longest ? 0 : text.size() - (longest - 1);
    return found;
  }

 private:
  std::string text_;
  size_t at_ = 0;
  size_t searched_ = 0;  // bytes of the rest in which no mark begins
};

}  // namespace hadal
