// Turns pieces of an answer into its wire form. An endpoint brings its own; chat and text, streamed or whole,
// are here. Single-threaded; the Reply that owns one guards it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "openai/error.h"
#include "openai/request.h"
#include "openai/response.h"
#include "openai/stream.h"

namespace hadal {

/// What one step added to one choice.
struct ReplyPiece {
  int32_t choice = 0;
  bool first = false;  // of this choice
  std::string content;
  std::string reasoning;
  struct Call {
    int32_t index = 0;     // in the choice
    std::string id, name;  // of a call that begins
    std::string arguments;
  };
  std::vector<Call> calls;
  std::optional<std::vector<openai::PositionLogprobs>> logprobs;
  size_t echoed_tokens = 0;  // so many of them, at their beginning, are the prompt's
  std::optional<std::vector<openai::PositionLogprobs>> prompt_logprobs;
  std::optional<std::vector<int32_t>> token_ids;
  const std::vector<int32_t>* prompt_ids = nullptr;  // to be told with the choice's first piece
  std::string finish_reason;
  openai::StopReason stop_reason;
  std::optional<openai::Usage> usage;  // so far, for those who want it in every chunk
};

class ReplyWriter {
 public:
  virtual ~ReplyWriter() = default;
  /// Events to send now; empty for a whole answer, which gathers.
  virtual std::string piece(ReplyPiece piece) = 0;
  /// The end: last events, or the whole body.
  virtual std::string finish(const openai::Usage& usage) = 0;
  /// What keeps a silent stream open: a comment, which clients skip.
  virtual std::string ping() const { return ": ping\n\n"; }
  /// The end of a stream that broke.
  virtual std::string error(const openai::ApiError& error);
};

/// chat.completion, or its chunks with fields.stream.
std::unique_ptr<ReplyWriter> make_chat_writer(const openai::ResponseMeta& meta,
                                              const openai::CommonRequest& fields, size_t choices);

/// Of the `made` choices of each prompt, `kept` are answered: those with the highest mean log-probability.
struct BestOf {
  int32_t made = 1, kept = 1;
  bool tell_logprobs = false;  // were they asked for?
};
/// text_completion, or its chunks with fields.stream (then all choices are answered).
std::unique_ptr<ReplyWriter> make_text_writer(const openai::ResponseMeta& meta,
                                              const openai::CommonRequest& fields, size_t choices,
                                              const BestOf& best);

}  // namespace hadal
