#include "server/piece_gather.h"

#include <iterator>
#include <utility>

namespace hadal {
namespace {

/// The parts of a piece in the order in which a chunk tells them.
enum Part : uint8_t { kReasoning, kContent, kCalls };

Part first_part(const ReplyPiece& piece) {
  if (!piece.reasoning.empty()) return kReasoning;
  return piece.content.empty() ? kCalls : kContent;
}

Part last_part(const ReplyPiece& piece) {
  if (!piece.calls.empty()) return kCalls;
  return piece.content.empty() ? kReasoning : kContent;
}

template <typename T>
void append(std::optional<std::vector<T>>& to, std::optional<std::vector<T>> from) {
  if (!from) return;
  if (!to) {
    to = std::move(from);
    return;
  }
  to->insert(to->end(), std::make_move_iterator(from->begin()), std::make_move_iterator(from->end()));
}

void append_calls(std::vector<ReplyPiece::Call>& to, std::vector<ReplyPiece::Call> from) {
  for (ReplyPiece::Call& call : from) {
    if (!to.empty() && call.id.empty() && to.back().index == call.index) {
      to.back().arguments += call.arguments;
    } else {
      to.push_back(std::move(call));
    }
  }
}

void append(ReplyPiece& to, ReplyPiece from) {
  to.content += from.content;
  to.reasoning += from.reasoning;
  append_calls(to.calls, std::move(from.calls));
  append(to.logprobs, std::move(from.logprobs));
  append(to.prompt_logprobs, std::move(from.prompt_logprobs));
  append(to.token_ids, std::move(from.token_ids));
  to.finish_reason = std::move(from.finish_reason);
  to.stop_reason = std::move(from.stop_reason);
  if (from.usage) to.usage = from.usage;
}

}  // namespace

std::vector<ReplyPiece> PieceGather::add(ReplyPiece piece, size_t tokens, int32_t interval) {
  std::vector<ReplyPiece> ready;
  // a chunk has one place for each part: text behind a call must not come before it
  if (held_ && first_part(piece) < last_part(*held_)) ready.push_back(*take());
  const bool at_once = piece.first || !piece.finish_reason.empty();
  if (held_) {
    append(*held_, std::move(piece));
  } else {
    held_ = std::move(piece);
  }
  tokens_ += tokens;
  if (at_once || tokens_ >= static_cast<size_t>(interval)) ready.push_back(*take());
  return ready;
}

std::optional<ReplyPiece> PieceGather::take() {
  tokens_ = 0;
  return std::exchange(held_, std::nullopt);
}

}  // namespace hadal
