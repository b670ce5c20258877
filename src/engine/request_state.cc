#include "engine/request_state.h"

#include <exception>

#include "base/log.h"

namespace hadal {
namespace {

std::unique_ptr<Choice> make_choice(const RequestState& state, uint32_t index, const SequenceOrigin& origin,
                                    const std::shared_ptr<const std::vector<int32_t>>& prompt,
                                    const TextStreamFactory& make_text) {
  const EngineRequest& request = state.request;
  auto choice = std::make_unique<Choice>();
  Sequence& sequence = choice->sequence;
  sequence.id = origin.first_id + index;
  sequence.order = {origin.priority, state.id, index};
  sequence.tenant = state.tenant;
  sequence.state = SequenceState::kUnborn;
  sequence.prompt = prompt;
  sequence.blocks = origin.no_blocks;
  sequence.chain = origin.chain;
  sequence.deadline = request.deadline;
  SamplingParams sampling = request.sampling;
  sampling.choice += index;
  sampling.allowed_mask = request.rules.mask(origin.vocab);
  sequence.sampling = std::make_shared<const SamplingParams>(std::move(sampling));
  sequence.min_tokens = request.stop.min_tokens;
  sequence.stop_ids = request.stop.stop_token_ids;
  sequence.rules = &request.rules;
  sequence.follows_output = request.rules.has_long_bad_words();
  choice->text = std::make_unique<ChoiceText>(
      request.detokenize && make_text ? make_text(request.skip_special_tokens) : nullptr, request.stop);
  return choice;
}

}  // namespace

std::unique_ptr<RequestState> make_request_state(AcceptedRequest submission, const SequenceOrigin& origin,
                                                 const TextStreamFactory& make_text) {
  auto state = std::make_unique<RequestState>();
  state->id = submission.id;
  state->tenant = submission.tenant;
  state->arrival = submission.arrival;
  state->request = std::move(submission.request);
  const auto prompt = std::make_shared<const std::vector<int32_t>>(std::move(state->request.prompt_ids));
  const auto count = static_cast<uint32_t>(state->request.num_choices);
  for (uint32_t i = 0; i < count; ++i)
    state->choices.push_back(make_choice(*state, i, origin, prompt, make_text));
  state->unfinished = static_cast<int32_t>(count);
  Sequence& first = state->choices[0]->sequence;
  first.places = static_cast<int32_t>(count);
  first.wants_prompt_logits = state->request.wants_prompt_logits();
  for (uint32_t i = 1; i < count; ++i) first.choices.push_back(&state->choices[i]->sequence);
  return state;
}

RequestOutput make_output(const RequestState& request, const Choice& choice) {
  RequestOutput output;
  output.request = request.id;
  output.choice = static_cast<int32_t>(choice.sequence.order.choice);
  output.prompt_tokens = choice.sequence.prompt_size();
  output.cached_tokens = request.cached_tokens;
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
