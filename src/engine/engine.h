// The engine: takes requests from any thread, runs them together step by step on a Runner, gives tokens and text back
// through each request's sink.
//
//   drain inbox > plan > commit > runner.launch ... runner.collect > stop check > emit
//
// The engine thread owns scheduler, sequences and blocks without locks. Other threads reach it through a bounded inbox;
// a full inbox is an answer (resource_exhausted), never a block.
#pragma once

#include <cstdint>
#include <memory>

#include "base/clock.h"
#include "base/status.h"
#include "engine/request.h"
#include "runner/runner.h"
#include "text/tokenizer.h"

namespace hadal {

struct EngineOptions {
  int32_t max_num_seqs = 64;
  int32_t max_num_batched_tokens = 512;   // tokens of one step
  int32_t chunk = 0;                      // > 0: prefill pieces of exactly this many tokens (tests, `hadal eval --chunk`)
  int32_t max_queued_requests = 1024;
};

/// Figures for /metrics and logs; one consistent reading.
struct EngineStats {
  int64_t running = 0, waiting = 0;
  int64_t blocks_total = 0, blocks_used = 0;
  int64_t prompt_tokens = 0, generation_tokens = 0, preemptions = 0, steps = 0;
};

/// Observations that become histograms; called on the engine's thread, must be quick.
class EngineObserver {
 public:
  virtual ~EngineObserver() = default;
  virtual void on_step(int32_t tokens, double seconds) {}
  virtual void on_first_token(double seconds_since_arrival) {}
  virtual void on_next_token(double seconds_since_last) {}
  struct Finished {
    FinishReason reason = FinishReason::kNone;
    int32_t prompt_tokens = 0, output_tokens = 0, max_tokens = 0, num_choices = 1;
    double queue_seconds = 0, prefill_seconds = 0, decode_seconds = 0, e2e_seconds = 0;
  };
  virtual void on_finished(const Finished& finished) {}
};

class Engine {
 public:
  /// `tokenizer` may be null (--skip-tokenizer-init): then no text is made and stop strings are refused.
  static StatusOr<std::unique_ptr<Engine>> create(const EngineOptions& options, std::unique_ptr<Runner> runner,
                                                  std::shared_ptr<const Tokenizer> tokenizer,
                                                  std::shared_ptr<EngineObserver> observer = nullptr,
                                                  const Clock& clock = Clock::real());
  virtual ~Engine() = default;  // stops the thread; unfinished requests get kAbort

  /// Any thread. Errors: invalid_argument (a prompt over the context, ids out of range, nothing to do),
  /// resource_exhausted (inbox full), unavailable (draining or dead). On success the sink gets exactly one output with
  /// a finish for each choice, however the request ends.
  virtual StatusOr<RequestId> submit(EngineRequest request) = 0;

  /// Any thread. Frees the request's blocks as soon as no launched step uses them. Unknown ids are ignored.
  virtual void cancel(RequestId id) = 0;

  /// Refuses new requests from now on; running ones go on.
  virtual void stop_admission() = 0;
  /// True once nothing runs or waits.
  virtual bool idle() const = 0;

  virtual EngineStats stats() const = 0;
  virtual const RunnerInfo& runner_info() const = 0;
  /// Not ok after the engine died (a step failed in a way that cannot be contained).
  virtual Status health() const = 0;
};

}  // namespace hadal
