// Splits the text of a completion, as it streams in, into reasoning and answer.
//
//   auto parser = ReasoningParser(kind, prompt_opens_thinking(prompt));
//   for (delta : stream) emit(parser.push(delta));
//   emit(parser.flush());
//
// The two texts are the same for every way of cutting the completion into deltas; what could be the beginning of
// a tag is held back until it is known. Tags themselves belong to neither text. One completion, one parser, one
// thread; a parser can be copied.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace hadal {

/// How the model marks its reasoning. The names are those of vLLM's --reasoning-parser.
enum class ReasoningKind {
  kNone,        // everything is answer
  kDeepSeekR1,  // the completion begins inside the reasoning, whether it repeats <think> or not
  kDeepSeekV3,  // (also V3.1, V3.2, V4) reasoning only where the prompt opened <think>; else everything is answer
};

/// "deepseek_r1", "deepseek_v3", "deepseek_v31", "deepseek_v32", "deepseek_v4", "" or "none"; nothing for another.
std::optional<ReasoningKind> reasoning_kind_from_name(std::string_view name);

/// Whether a rendered prompt ends inside an open <think>, white space behind it aside.
bool prompt_opens_thinking(std::string_view prompt);

struct ReasoningDelta {
  std::string reasoning;
  std::string content;
  bool empty() const { return reasoning.empty() && content.empty(); }
};

class ReasoningParser {
 public:
  /// `prompt_opened`: what prompt_opens_thinking said of the prompt.
  ReasoningParser(ReasoningKind kind, bool prompt_opened);

  /// What this piece of text settles.
  ReasoningDelta push(std::string_view text);

  /// The end of the completion: what was held back.
  ReasoningDelta flush();

  /// Whether the text so far is still reasoning (a constrained answer begins after it).
  bool in_reasoning() const { return state_ != State::kContent; }

 private:
  enum class State { kStart, kReasoning, kContent };
  void settle(ReasoningDelta& delta, bool at_end);

  State state_;
  std::string pending_;  // not yet settled: may be the beginning of a tag
};

}  // namespace hadal
