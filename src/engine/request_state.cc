#include "engine/request_state.h"

#include <exception>

#include "base/log.h"

namespace hadal {
namespace {

std::unique_ptr<Choice> make_choice(const RequestState& state, uint32_t index, SequenceId id,
                                    const std::shared_ptr<const std::vector<int32_t>>& prompt,
                                    const SequenceBlocks& no_blocks, const TextStreamFactory& make_text) {
  const EngineRequest& request = state.request;
  auto choice = std::make_unique<Choice>();
  Sequence& sequence = choice->sequence;
  sequence.id = id;
  sequence.order = {state.id, index};
  sequence.state = SequenceState::kUnborn;
  sequence.prompt = prompt;
  sequence.blocks = no_blocks;
  SamplingParams sampling = request.sampling;
  sampling.choice += index;
  sequence.sampling = std::make_shared<const SamplingParams>(std::move(sampling));
  sequence.min_tokens = request.stop.min_tokens;
  sequence.stop_ids = request.stop.stop_token_ids;
  choice->text = std::make_unique<ChoiceText>(
      request.detokenize && make_text ? make_text(request.skip_special_tokens) : nullptr, request.stop);
  return choice;
}

}  // namespace

std::unique_ptr<RequestState> make_request_state(Submission submission, SequenceId first_sequence,
                                                 const SequenceBlocks& no_blocks,
                                                 const TextStreamFactory& make_text) {
  auto state = std::make_unique<RequestState>();
  state->id = submission.id;
  state->arrival = submission.arrival;
  state->request = std::move(submission.request);
  const auto prompt = std::make_shared<const std::vector<int32_t>>(std::move(state->request.prompt_ids));
  const auto count = static_cast<uint32_t>(state->request.num_choices);
  for (uint32_t i = 0; i < count; ++i) {
    state->choices.push_back(make_choice(*state, i, first_sequence + i, prompt, no_blocks, make_text));
  }
  state->unfinished = static_cast<int32_t>(count);
  Sequence& first = state->choices[0]->sequence;
  first.places = static_cast<int32_t>(count);
  first.wants_prompt_logits = state->request.return_prompt_logits;
  for (uint32_t i = 1; i < count; ++i) first.choices.push_back(&state->choices[i]->sequence);
  return state;
}

RequestOutput make_output(const RequestState& request, const Choice& choice) {
  RequestOutput output;
  output.request = request.id;
  output.choice = static_cast<int32_t>(choice.sequence.order.choice);
  output.prompt_tokens = choice.sequence.prompt_size();
  output.output_tokens = static_cast<int32_t>(choice.sequence.output.size());
  return output;
}

bool deliver(RequestState& request, RequestOutput output) {
  try {
    request.request.sink->deliver(std::move(output));
    return true;
  } catch (const std::exception& error) {
    log_error("request {}: its sink threw: {}", request.id, error.what());
  } catch (...) {
    log_error("request {}: its sink threw", request.id);
  }
  request.sink_failed = true;
  return false;
}

}  // namespace hadal
