// Several tokens in one chunk (--stream-interval): gathers what the steps add to one choice. As vLLM: the
// first piece goes at once, then one whenever `interval` tokens have come, and what is left goes with the
// end. Gathered pieces say what the single ones would have said, in their order.
//
// Single-threaded; the Reply that owns one guards it.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "server/reply_writer.h"

namespace hadal {

class PieceGather {
 public:
  /// The pieces to send now, in their order: none, one or two. `tokens`: how many `piece` stands for.
  std::vector<ReplyPiece> add(ReplyPiece piece, size_t tokens, int32_t interval);
  /// What is held; it is held no more.
  std::optional<ReplyPiece> take();

 private:
  std::optional<ReplyPiece> held_;
  size_t tokens_ = 0;  // in it
};

}  // namespace hadal
