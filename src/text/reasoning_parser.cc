#include "text/reasoning_parser.h"

#include <algorithm>

namespace hadal {
namespace {

constexpr std::string_view kOpen = "<think>";
constexpr std::string_view kClose = "</think>";
constexpr std::string_view kSpaces = " \t\r\n";

/// Length of the longest end of `text` that is a beginning of `tag`, the whole tag aside.
size_t partial_tag(std::string_view text, std::string_view tag) {
  for (size_t length = std::min(text.size(), tag.size() - 1); length > 0; --length) {
    if (text.ends_with(tag.substr(0, length))) return length;
  }
  return 0;
}

}  // namespace

std::optional<ReasoningKind> reasoning_kind_from_name(std::string_view name) {
  if (name.empty() || name == "none") return ReasoningKind::kNone;
  if (name == "deepseek_r1") return ReasoningKind::kDeepSeekR1;
  if (name == "deepseek_v3" || name == "deepseek_v31" || name == "deepseek_v32" || name == "deepseek_v4") {
    return ReasoningKind::kDeepSeekV3;
  }
  return std::nullopt;
}

bool prompt_opens_thinking(std::string_view prompt) {
  const size_t last = prompt.find_last_not_of(kSpaces);
  return last != std::string_view::npos && prompt.substr(0, last + 1).ends_with(kOpen);
}

ReasoningParser::ReasoningParser(ReasoningKind kind, bool prompt_opened) {
  const bool reasons = kind == ReasoningKind::kDeepSeekR1 || (kind == ReasoningKind::kDeepSeekV3 && prompt_opened);
  state_ = reasons ? State::kStart : State::kContent;
}

ReasoningDelta ReasoningParser::push(std::string_view text) {
  ReasoningDelta delta;
  if (state_ == State::kContent) {
    delta.content = text;
    return delta;
  }
  pending_ += text;
  settle(delta, false);
  return delta;
}

ReasoningDelta ReasoningParser::flush() {
  ReasoningDelta delta;
  settle(delta, true);
  return delta;
}

void ReasoningParser::settle(ReasoningDelta& delta, bool at_end) {
  if (state_ == State::kStart) {  // the model may open <think> itself, white space before it
    const size_t first = std::min(pending_.find_first_not_of(kSpaces), pending_.size());
    const std::string_view rest = std::string_view(pending_).substr(first);
    if (rest.size() < kOpen.size() && kOpen.starts_with(rest) && !at_end) return;
    if (rest.starts_with(kOpen)) pending_.erase(0, first + kOpen.size());
    state_ = State::kReasoning;
  }
  if (state_ == State::kReasoning) {
    const size_t close = pending_.find(kClose);
    if (close == std::string::npos) {
      const size_t held = at_end ? 0 : partial_tag(pending_, kClose);
      delta.reasoning += pending_.substr(0, pending_.size() - held);
      pending_.erase(0, pending_.size() - held);
      return;
    }
    delta.reasoning += pending_.substr(0, close);
    pending_.erase(0, close + kClose.size());
    state_ = State::kContent;
  }
  delta.content += pending_;
  pending_.clear();
}

}  // namespace hadal
