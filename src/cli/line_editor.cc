#include "cli/line_editor.h"

#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>

namespace hadal {
namespace {

constexpr char ctrl(char letter) { return static_cast<char>(letter & 0x1f); }
bool continues(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; }
/// Where the character at `at` ends.
size_t end_of_character(std::string_view text, size_t at) {
  for (++at; at < text.size() && continues(text[at]);) ++at;
  return std::min(at, text.size());
}

size_t terminal_columns() {
  constexpr size_t kUsual = 80;
  winsize size{};
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : kUsual;
}

/// The terminal gives single keys while this lives.
class RawTerminal {
 public:
  RawTerminal() {
    ok_ = tcgetattr(STDIN_FILENO, &before_) == 0;
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | ISIG | IEXTEN);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    if (ok_) tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
  }
  ~RawTerminal() {
    if (ok_) tcsetattr(STDIN_FILENO, TCSADRAIN, &before_);
  }

 private:
  termios before_{};
  bool ok_ = false;
};

}  // namespace

size_t LineBuffer::column() const { return columns_of(std::string_view(text_).substr(0, cursor_)); }
size_t LineBuffer::width() const { return columns_of(text_); }

LineBuffer::View LineBuffer::view(size_t columns) const {
  const std::string_view text = text_;
  size_t first = 0;
  while (first < cursor_ && columns_of(text.substr(first, cursor_ - first)) >= columns)
    first = end_of_character(text, first);
  size_t last = text.size();
  while (last > cursor_ && columns_of(text.substr(first, last - first)) > columns) {
    for (--last; last > cursor_ && continues(text[last]);) --last;
  }
  return {text.substr(first, last - first), columns_of(text.substr(first, cursor_ - first))};
}

LineBuffer::Event LineBuffer::feed(char byte) {
  if (!pending_.empty()) {
    escape(byte);
    return Event::kChanged;
  }
  const bool printable = static_cast<unsigned char>(byte) >= 0x20 && byte != 0x7f;
  if (!printable) return control(byte);
  text_.insert(cursor_, 1, byte);
  ++cursor_;
  return Event::kChanged;
}

LineBuffer::Event LineBuffer::control(char byte) {
  switch (byte) {
    case '\r':
    case '\n':
      return Event::kDone;
    case ctrl('C'):
      return Event::kCancelled;
    case ctrl('D'):
      if (text_.empty()) return Event::kEnd;
      erase_right();
      break;
    case 0x1b:
      pending_ = byte;
      break;
    case 0x7f:
    case ctrl('H'):
      erase_left();
      break;
    case ctrl('A'):
      cursor_ = 0;
      break;
    case ctrl('E'):
      cursor_ = text_.size();
      break;
    case ctrl('B'):
      move_left();
      break;
    case ctrl('F'):
      move_right();
      break;
    case ctrl('P'):
      recall(at_ == 0 ? 0 : at_ - 1);
      break;
    case ctrl('N'):
      recall(at_ + 1);
      break;
    case ctrl('K'):
      text_.erase(cursor_);
      break;
    case ctrl('U'):
      text_.erase(0, cursor_);
      cursor_ = 0;
      break;
    case ctrl('W'):
      erase_word();
      break;
    default:
      break;
  }
  return Event::kChanged;
}

/// ESC [ parameters letter, or ESC O letter; others are dropped.
void LineBuffer::escape(char byte) {
  pending_ += byte;
  if (pending_.size() == 2) {
    if (byte != '[' && byte != 'O') pending_.clear();
    return;
  }
  const bool parameter = (byte >= '0' && byte <= '9') || byte == ';';
  if (parameter && pending_.size() < 16) return;
  csi(pending_.substr(2));
  pending_.clear();
}

void LineBuffer::csi(const std::string& sequence) {
  if (sequence == "A") recall(at_ == 0 ? 0 : at_ - 1);
  if (sequence == "B") recall(at_ + 1);
  if (sequence == "C") move_right();
  if (sequence == "D") move_left();
  if (sequence == "H" || sequence == "1~" || sequence == "7~") cursor_ = 0;
  if (sequence == "F" || sequence == "4~" || sequence == "8~") cursor_ = text_.size();
  if (sequence == "3~") erase_right();
}

void LineBuffer::move_left() {
  if (cursor_ > 0) --cursor_;
  while (cursor_ > 0 && continues(text_[cursor_])) --cursor_;
}

void LineBuffer::move_right() {
  if (cursor_ < text_.size()) ++cursor_;
  while (cursor_ < text_.size() && continues(text_[cursor_])) ++cursor_;
}

void LineBuffer::erase_left() {
  const size_t end = cursor_;
  move_left();
  text_.erase(cursor_, end - cursor_);
}

void LineBuffer::erase_right() {
  const size_t begin = cursor_;
  move_right();
  text_.erase(begin, cursor_ - begin);
  cursor_ = begin;
}

void LineBuffer::erase_word() {
  const size_t end = cursor_;
  while (cursor_ > 0 && text_[cursor_ - 1] == ' ') --cursor_;
  while (cursor_ > 0 && text_[cursor_ - 1] != ' ') --cursor_;
  text_.erase(cursor_, end - cursor_);
}

void LineBuffer::recall(size_t at) {
  at = std::min(at, history_->size());
  if (at == at_) return;
  if (at_ == history_->size()) typed_ = text_;
  at_ = at;
  text_ = at == history_->size() ? typed_ : (*history_)[at];
  cursor_ = text_.size();
}

LineEditor::LineEditor() : terminal_(isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1) {}

std::optional<std::string> LineEditor::read_line(const std::string& prompt) {
  if (terminal_) return edit(prompt);
  std::string line;
  if (!std::getline(std::cin, line)) return std::nullopt;
  return line;
}

std::optional<std::string> LineEditor::edit(const std::string& prompt) {
  const RawTerminal raw;
  LineBuffer line(&history_);
  const size_t prompt_width = columns_of(prompt);
  for (;;) {
    // what the terminal has room for again, then the cursor to its place
    const LineBuffer::View view = line.view(std::max(terminal_columns(), prompt_width + 8) - prompt_width - 1);
    std::printf("\r\x1b[K%s%.*s\r\x1b[%zuC", prompt.c_str(), static_cast<int>(view.text.size()),
                view.text.data(), prompt_width + view.column);
    std::fflush(stdout);
    char byte = 0;
    if (read(STDIN_FILENO, &byte, 1) != 1) return std::nullopt;
    const LineBuffer::Event event = line.feed(byte);
    if (event == LineBuffer::Event::kChanged) continue;
    std::printf("\n");
    if (event == LineBuffer::Event::kEnd) return std::nullopt;
    if (event == LineBuffer::Event::kCancelled) return "";
    if (!line.text().empty() && (history_.empty() || history_.back() != line.text()))
      history_.push_back(line.text());
    return line.text();
  }
}

}  // namespace hadal
