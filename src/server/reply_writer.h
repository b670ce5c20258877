// Turns pieces of an answer into its wire form: four kinds, chat or text, streamed or whole. Single-threaded;
// the Reply that owns one guards it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "openai/response.h"
#include "openai/stream.h"
#include "server/service.h"

namespace hadal {

/// What one step added to one choice.
struct ReplyPiece {
  int32_t choice = 0;
  bool first = false;  // of this choice
  std::string content;
  std::string reasoning;
  std::optional<std::vector<openai::PositionLogprobs>> logprobs;
  std::optional<std::vector<int32_t>> token_ids;
  const std::vector<int32_t>* prompt_ids = nullptr;  // to be told with the choice's first piece
  std::string finish_reason;
  openai::StopReason stop_reason;
};

class ReplyWriter {
 public:
  virtual ~ReplyWriter() = default;
  /// Events to send now; empty for a whole answer, which gathers.
  virtual std::string piece(ReplyPiece piece) = 0;
  /// The end: last events, or the whole body.
  virtual std::string finish(const openai::Usage& usage) = 0;
};

std::unique_ptr<ReplyWriter> make_reply_writer(Endpoint endpoint, const openai::ResponseMeta& meta,
                                               const openai::CommonRequest& fields, size_t choices);

}  // namespace hadal
