// The text of one completion, as it streams in, taken apart into what a chat answer has: reasoning, content,
// tool calls. Reasoning comes first; tool calls are looked for behind it.
//
//   AnswerParser parser(answer_form);
//   for (delta : stream) emit(parser.push(delta));
//   emit(parser.flush());
//
// The parts, joined up, are the same for every way of cutting the completion. One completion, one thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/answer/tool_parser.h"
#include "text/reasoning_parser.h"

namespace hadal {

/// How one request's completions are to be read.
struct AnswerForm {
  ReasoningKind reasoning = ReasoningKind::kNone;
  bool prompt_opened_thinking = false;  // see ReasoningParser
  const ToolFormat* tools = nullptr;    // null: calls are left in the text
  bool plain() const { return reasoning == ReasoningKind::kNone && tools == nullptr; }
  /// Whether completions begin inside the reasoning.
  bool begins_with_reasoning() const {
    return ReasoningParser(reasoning, prompt_opened_thinking).in_reasoning();
  }
};

struct AnswerDelta {
  std::string reasoning;
  std::string content;
  std::vector<ToolCallPiece> calls;
};

class AnswerParser {
 public:
  explicit AnswerParser(const AnswerForm& form)
      : reasoning_(form.reasoning, form.prompt_opened_thinking),
        tools_(form.tools == nullptr ? nullptr : form.tools->make()) {}

  /// Whether the text so far is still reasoning.
  bool in_reasoning() const { return reasoning_.in_reasoning(); }

  AnswerDelta push(std::string_view text) { return second(reasoning_.push(text)); }

  AnswerDelta flush() {
    AnswerDelta delta = second(reasoning_.flush());
    if (tools_ == nullptr) return delta;
    ToolDelta rest = tools_->flush();
    delta.content += rest.content;
    for (ToolCallPiece& piece : rest.calls) delta.calls.push_back(std::move(piece));
    return delta;
  }

 private:
  AnswerDelta second(ReasoningDelta split) {
    AnswerDelta delta{std::move(split.reasoning), {}, {}};
    if (tools_ == nullptr) {
      delta.content = std::move(split.content);
    } else if (!split.content.empty()) {
      ToolDelta found = tools_->push(split.content);
      delta.content = std::move(found.content);
      delta.calls = std::move(found.calls);
    }
    return delta;
  }

  ReasoningParser reasoning_;
  std::unique_ptr<ToolCallParser> tools_;
};

}  // namespace hadal
