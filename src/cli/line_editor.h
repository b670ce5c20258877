// One line of a terminal, edited: cursor keys, Home and End, word and line deletion, history. UTF-8: a
// character is moved over and deleted whole (combining marks count as characters of their own).
//
// Threads: one.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hadal {

/// Columns that a terminal gives to UTF-8 text: two to Chinese, Japanese and Korean characters and emoji, none to
/// combining marks.
size_t columns_of(std::string_view text);

/// The line and its cursor; knows no terminal. Bytes of keys go in, escape sequences included.
class LineBuffer {
 public:
  explicit LineBuffer(const std::vector<std::string>* history) : history_(history), at_(history->size()) {}

  enum class Event : uint8_t { kChanged, kDone, kEnd, kCancelled };  // Enter; Ctrl-D on an empty line; Ctrl-C
  Event feed(char byte);

  const std::string& text() const { return text_; }
  /// Columns of a terminal left of the cursor, and of the whole line.
  size_t column() const;
  size_t width() const;
  /// What a terminal shows in `columns`: the part around the cursor, and the cursor's column in it.
  struct View {
    std::string_view text;
    size_t column = 0;
  };
  View view(size_t columns) const;

 private:
  Event control(char byte);
  void escape(char byte);
  void csi(const std::string& sequence);
  void move_left();
  void move_right();
  void erase_left();
  void erase_right();
  void erase_word();
  void recall(size_t at);

  const std::vector<std::string>* history_;
  size_t at_;          // of the history; its size: the line that is typed
  std::string typed_;  // that line, while another is shown
  std::string text_;
  size_t cursor_ = 0;    // a byte, at a character's beginning
  std::string pending_;  // of an escape sequence
};

class LineEditor {
 public:
  LineEditor();
  /// The next line; nothing at the end of the input. A line that Ctrl-C left is empty. Without a terminal,
  /// lines are read as they are and no prompt is written.
  std::optional<std::string> read_line(const std::string& prompt);

 private:
  std::optional<std::string> edit(const std::string& prompt);
  const bool terminal_;
  std::vector<std::string> history_;
};

}  // namespace hadal
