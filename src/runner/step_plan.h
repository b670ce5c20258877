// What the engine asks of a runner for one step, and what it gets back: plain data that can be sent to
// another process (docs/contracts/runner.md). The engine never sees a Device.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/api/types.h"

namespace hadal {

/// How one sequence's tokens are drawn. Fixed for a request's life, so rows carry a pointer to it.
struct SamplingParams {
  float temperature = 1.0f;  // 0: greedy
  float top_p = 1.0f;
  float min_p = 0.0f;
  int32_t top_k = 0;  // <= 0: all
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;
  float repetition_penalty = 1.0f;
  uint64_t seed = 0;
  uint32_t choice = 0;
  int32_t logprobs = -1;  // alternatives reported beside the chosen token; -1: none at all
  std::vector<std::pair<int32_t, float>> logit_bias;
  std::vector<uint32_t> allowed_mask;  // bit per token id: what may be drawn at all; empty: everything
  bool penalised() const {
    return presence_penalty != 0.0f || frequency_penalty != 0.0f || repetition_penalty != 1.0f;
  }
};

using SequenceId = uint64_t;
using StepId = uint64_t;

enum class LogitsWanted : uint8_t { kNone, kSampleLast, kReturnAll, kReturnLast };

/// A run of consecutive tokens of one sequence, all in one form. A sequence that recomputes prompt and output
/// in one step has two rows, its output row among the output rows, its prompt row among the prompt rows.
///
/// A *draw row* has no tokens: it samples once more from the logits of another row's last token
/// (`draws_from`). So n choices of one prompt cost one prompt, and a row that returns its logits can be
/// sampled too.
using SharedIds = std::shared_ptr<const std::vector<int32_t>>;

struct StepRow {
  SequenceId sequence = 0;
  TokenForm form = TokenForm::kPrompt;
  int32_t first_position = 0;
  std::vector<int32_t> tokens;  // ids known to the host; empty: the one token that `token_from` makes
  StepId token_from =
      0;  // a launched step whose sampled token for this sequence is this row's token (still on the device)
  int32_t draft_count = 0;  // the last draft_count tokens are drafts to verify (speculative decoding)
  std::vector<std::vector<int32_t>> block_table;  // per cache group, enough for the last token
  LogitsWanted logits = LogitsWanted::kNone;
  int32_t adapter = 0;      // LoRA slot; 0: none
  int32_t draws_from = -1;  // draw row: index in the plan of an earlier row with tokens; else -1

  // for kSampleLast:
  std::shared_ptr<const SamplingParams> sampling;
  uint32_t output_position = 0;     // of the token to draw, counted from the sequence's first output token
  SharedIds prompt;                 // only if penalised(); the same object in all steps and for all choices
  std::vector<int32_t> output_ids;  // only if penalised()
  std::vector<int32_t> forbidden;   // ids that may not be drawn in this step (min_tokens, bad words)
  int32_t forced = -1;              // >= 0: the one id that may be drawn, whatever the above say
};

/// Copy-on-write: block `from` of a group becomes `to`, before the step's own writes.
struct BlockCopy {
  int32_t group = 0;
  int32_t from = 0;
  int32_t to = 0;
};

struct StepPlan {
  StepId id = 0;
  std::vector<BlockCopy> copies;
  std::vector<StepRow> rows;  // output rows first, then prompt rows, then draw rows
};

struct TokenLogprob {
  int32_t token = 0;
  float logprob = 0.0f;
};

/// Drawn where no token can be: the row's logits hold a NaN, or nothing is allowed. The row's request fails,
/// no other.
inline constexpr int32_t kNoTokenDrawn = -1;

struct SampledToken {
  int32_t token = 0;
  float logprob = 0.0f;  // valid if the row's sampling.logprobs >= 0
  int32_t rank = 0;      // 1 = most likely
  std::vector<TokenLogprob> top;
};

struct RowResult {
  SequenceId sequence = 0;
  std::vector<SampledToken> tokens;  // kSampleLast: 1 (to draft_count + 1 with drafts)
  std::vector<float> logits;         // kReturnAll: [tokens, vocab]; kReturnLast: [vocab]
};

/// The time before a step in which the device ran no kernel (runner/step_gaps.h).
struct StepGap {
  double seconds = 0.0;
  bool late = false;  // the step was not all queued when the one before it ended; the time is an upper bound
};

struct StepResult {
  StepId id = 0;
  std::vector<RowResult> rows;  // one for each row of the plan that wants logits, in plan order
  double device_seconds = 0.0;
  std::optional<StepGap> gap;  // since the step before, if both have output rows; only where it is measured
};

}  // namespace hadal
