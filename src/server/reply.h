// The answer to one HTTP request on its way from the engine to the client: joins the outputs of all choices,
// takes reasoning and tool calls out of the text, and writes either one JSON body at the end or server-sent
// events as they come.
//
// Threads: outputs arrive on the engine's thread, submission happens on a worker, the client may vanish on an
// io thread; everything is behind one mutex and nothing blocks. The answer begins (status line and all) with
// the first output, so that a request which the engine refuses still gets its proper status. A stream that
// has nothing to say for a while begins with a ping instead: what goes wrong later is then an event of the
// stream.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "engine/engine.h"
#include "http/server.h"
#include "server/piece_gather.h"
#include "server/reply_writer.h"
#include "server/service.h"
#include "server/submission.h"

namespace hadal {

class Reply : public std::enable_shared_from_this<Reply> {
 public:
  /// Each of the submission's prompts is an engine request that makes fields.n choices. `seed` is told in
  /// x-hadal-seed.
  Reply(Submission submission, const openai::ResponseMeta& meta, uint64_t seed,
        std::shared_ptr<const Service> service, std::shared_ptr<http::ResponseWriter> writer);

  /// The sink for prompt number `prompt`.
  std::shared_ptr<OutputSink> sink(size_t prompt);
  /// Registers what must be cancelled if the client goes. Call after each submit.
  void add_request(RequestId id) EXCLUDES(mutex_);
  /// Ends the answer with an error and cancels what runs.
  void fail(const openai::ApiError& error) EXCLUDES(mutex_);
  /// The client hung up.
  void client_gone() EXCLUDES(mutex_);
  /// Sends a ping if the stream has been silent for `interval` and its client has read what there was. When
  /// to ask again; nullopt once the answer is over.
  std::optional<MonotonicTime> keep_open(MonotonicTime now, Duration interval) EXCLUDES(mutex_);

 private:
  struct Choice {
    std::unique_ptr<AnswerParser> parser;  // null: the text is the answer
    PieceGather gather;                    // --stream-interval
    std::string finish_reason;
    int32_t output_tokens = 0;
    int32_t reasoning_tokens = 0;
    bool begun = false;
    bool called = false;  // a tool
    bool finished = false;
  };

  void deliver(size_t prompt, RequestOutput output) EXCLUDES(mutex_);
  void deliver_locked(size_t index, size_t prompt, RequestOutput& output) REQUIRES(mutex_);
  std::string write_piece(Choice& choice, ReplyPiece piece, size_t tokens) REQUIRES(mutex_);
  ReplyPiece make_piece(Choice& choice, size_t index, size_t prompt, RequestOutput& output) REQUIRES(mutex_);
  void begin_piece(size_t prompt, ReplyPiece& piece) REQUIRES(mutex_);
  void add_text(Choice& choice, const RequestOutput& output, ReplyPiece& piece) const;
  void add_delta(Choice& choice, AnswerDelta delta, ReplyPiece& piece) const;
  void add_logprobs(const RequestOutput& output, ReplyPiece& piece) const;
  std::vector<openai::PositionLogprobs> prompt_positions(size_t prompt) const REQUIRES(mutex_);
  openai::PositionLogprobs position_of(const OutputToken& token) const;
  openai::StopReason stop_reason_of(const RequestOutput& output) const;
  void send(std::string events) REQUIRES(mutex_);
  void complete() REQUIRES(mutex_);
  void end(std::string_view reason) REQUIRES(mutex_);
  void fail_locked(const openai::ApiError& error) REQUIRES(mutex_);
  openai::ApiError error_of(const RequestOutput& output) const;
  void cancel_all() REQUIRES(mutex_);
  openai::Usage usage() const REQUIRES(mutex_);

  const Submission asked_;
  const uint64_t seed_;
  const std::shared_ptr<const Service> service_;
  const std::shared_ptr<http::ResponseWriter> writer_;
  const std::string id_;
  const MonotonicTime began_ = Clock::real().now();
  Mutex mutex_;
  MonotonicTime last_sent_ GUARDED_BY(mutex_) = began_;
  std::unique_ptr<ReplyWriter> body_ GUARDED_BY(mutex_);
  std::vector<Choice> choices_ GUARDED_BY(mutex_);
  std::vector<RequestId> requests_ GUARDED_BY(mutex_);
  std::vector<std::vector<OutputToken>> prompt_tokens_
      GUARDED_BY(mutex_);  // with log-probabilities, but the first
  int64_t cached_tokens_ GUARDED_BY(mutex_) = 0;
  size_t unfinished_ GUARDED_BY(mutex_) = 0;
  bool stream_started_ GUARDED_BY(mutex_) = false;
  bool over_ GUARDED_BY(mutex_) = false;
};

}  // namespace hadal
