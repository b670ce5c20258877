// A request as the engine takes it, and what it gives back.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "engine/draw_rules.h"
#include "runner/step_plan.h"

namespace hadal {

using RequestId = uint64_t;

enum class FinishReason : uint8_t { kNone, kStop, kLength, kAbort, kError };
const char* finish_reason_name(FinishReason reason);  // "stop", "length", "abort", "error"

struct StopParams {
  int32_t max_tokens = 0;  // output tokens; > 0
  int32_t min_tokens = 0;
  std::vector<int32_t> stop_token_ids;  // with the model's EOS ids, unless ignore_eos
  std::vector<std::string> stop;        // strings; the output is cut before the first match
  bool include_stop_str_in_output = false;
  bool ignore_eos = false;  // informs only: the EOS ids are then not among stop_token_ids
};

struct OutputToken {
  int32_t id = 0;
  float logprob = 0.0f;
  int32_t rank = 0;
  std::vector<TokenLogprob> top;  // alternatives, most likely first
};

/// Why a request ended with kError, where the client may try again.
enum class ErrorKind : uint8_t { kNone, kDeadline, kStep, kEngineDead };

/// What one step made of one choice. Text is valid UTF-8 and never half a character.
struct RequestOutput {
  RequestId request = 0;
  int32_t choice = 0;
  std::string text;  // new text since the last output (text held back for stop strings comes later)
  std::vector<OutputToken> tokens;  // new tokens
  std::string resumed_text;         // first output of a resumed request: what the first engine had given out
  FinishReason finish = FinishReason::kNone;
  std::string stop_reason;  // the stop string or token id that ended it, if one did
  bool stop_string = false;  // it is a string: stop "1" is not token 1
  Status error;             // with kError
  ErrorKind error_kind = ErrorKind::kNone;
  int32_t prompt_tokens = 0;
  int32_t cached_tokens = 0;  // of the prompt: found in the prefix cache
  int32_t output_tokens = 0;  // so far, resumed ones included
  std::vector<float>
      prompt_logits;  // only with `return_prompt_logits`: [prompt tokens, vocab], in the first output
  std::vector<OutputToken> prompt_logprobs;  // only with `prompt_logprobs` >= 0: of the prompt's second to
                                             // last token, in the first output
};

/// Receives outputs on the engine's thread. Must return quickly and never block; bounded queues are the
/// receiver's.
class OutputSink {
 public:
  virtual ~OutputSink() = default;
  virtual void deliver(RequestOutput output) = 0;
};

struct EngineRequest {
  std::vector<int32_t> prompt_ids;
  SamplingParams sampling;  // seed is final: a missing one was drawn by the server, which reports it
  StopParams stop;
  int32_t num_choices = 1;  // n
  bool detokenize = true;
  bool skip_special_tokens = true;
  DrawRules rules;
  bool return_prompt_logits = false;  // eval
  int32_t prompt_logprobs = -1;       // alternatives told beside each prompt token; -1: none at all
  int32_t priority = 0;               // lower is sooner, within the tenant
  std::string tenant;                 // "": the default tenant
  std::string cache_salt;             // prefixes are shared only with requests of the same salt
  MonotonicTime deadline =
      MonotonicTime::max();  // for the first token; a request that cannot meet it is refused
  /// Output that another engine has made: this one goes on behind it, and delivers only what is new.
  /// num_choices is 1, and sampling.choice and seed are those of the first engine. stop.max_tokens and
  /// min_tokens count these tokens too.
  std::vector<int32_t> resume_ids;
  std::shared_ptr<OutputSink> sink;

  /// The prompt is computed whole, whatever the prefix cache has, and its logits come to the host.
  bool wants_prompt_logits() const { return return_prompt_logits || prompt_logprobs >= 0; }
};

}  // namespace hadal
