// A request that the engine has taken in: its choices, its sink, its times.
//
// Threads: the engine's.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "engine/choice_text.h"
#include "engine/request.h"
#include "engine/sequence.h"

namespace hadal {

/// A request on its way from submit() to the engine's thread.
struct AcceptedRequest {
  RequestId id = 0;
  EngineRequest request;
  MonotonicTime arrival;
  TenantId tenant = kDefaultTenant;
};

struct Choice {
  Sequence sequence;
  std::unique_ptr<ChoiceText> text;
  MonotonicTime last_token;
  bool finished = false;
};

struct RequestState {
  RequestId id = 0;
  TenantId tenant = kDefaultTenant;
  EngineRequest request;
  std::vector<std::unique_ptr<Choice>> choices;
  int32_t unfinished = 0;            // choices
  int32_t cached_tokens = 0;         // of the prompt: its first prefix hit
  int32_t resumed = 0;               // output tokens that it came with
  std::string resumed_text;          // what they gave; goes with the first output
  std::vector<float> prompt_logits;  // gathered over the prompt's pieces
  std::vector<OutputToken> prompt_logprobs;  // the same
  bool scheduled = false;
  bool prompt_done = false;
  bool sink_failed = false;
  FinishReason last_finish = FinishReason::kNone;
  MonotonicTime arrival, first_scheduled, first_token;

  int32_t output_tokens() const {
    size_t sum = 0;
    for (const auto& choice : choices) sum += choice->sequence.output.size();
    return static_cast<int32_t>(sum);
  }
};

/// What a new request's sequences are made with.
struct SequenceOrigin {
  SequenceId first_id = 0;
  SequenceBlocks no_blocks;
  PrefixChain chain;     // of the prompt
  int32_t vocab = 0;
  int32_t priority = 0;  // 0 where the policy knows none
};

/// Makes the state of a submission; its choices get ids from `origin.first_id` on. The first choice waits,
/// the others are born when its prompt is done.
std::unique_ptr<RequestState> make_request_state(AcceptedRequest submission, const SequenceOrigin& origin,
                                                 const TextStreamFactory& make_text);

/// An output of a choice with the counts filled in.
RequestOutput make_output(const RequestState& request, const Choice& choice);

/// Hands an output to the sink. False if the sink threw (it is then not to be trusted any more).
bool deliver(RequestState& request, RequestOutput output);

}  // namespace hadal
