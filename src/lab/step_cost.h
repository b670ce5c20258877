// What a step costs on a card that was measured: the clock of the simulator (lab/simulation.h).
//
//   seconds = base + experts * (1 - (1 - expert_share)^tokens) + decode_rows * decode
//             + kv_tokens * kv_token + prompt_tokens * prompt_token
//
// `base` is what every step reads and launches; `experts` all routed experts' weights, of which a step of few
// tokens touches only a part (expert_share = experts a token / experts; 0 for a dense model). The other terms
// are linear in what a step holds. What the model leaves out: attention's cost over the context is linear for
// decode rows (memory bound) and is taken as once a piece for prompts, so that long prompts in small pieces
// come out somewhat cheap; prompt tokens do not hide behind the reading of weights, so that mixed steps come
// out somewhat dear. Both are the same for every policy that is compared.
//
// Threads: values only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace hadal {

/// What a step holds.
struct StepShape {
  int32_t decode_rows = 0;    // tokens in output form
  int32_t prompt_tokens = 0;  // tokens in prompt form
  int64_t kv_tokens = 0;      // context that the rows read, each row's own tokens included
};

struct StepCost {
  double base_us = 0.0;
  double experts_us = 0.0, expert_share = 0.0;
  double decode_us = 0.0;        // a decode row
  double kv_token_ns = 0.0;      // a token of context read
  double prompt_token_us = 0.0;  // a prompt token

  double seconds(const StepShape& shape) const;
};

/// A measured step that a model is fitted to.
struct MeasuredStep {
  const char* what;
  StepShape shape;
  double ms;
};

/// A model and card, with the cache that this card has room for.
struct CardCost {
  const char* name;
  const char* source;
  StepCost cost;
  int32_t kv_bytes_per_token;
  int64_t kv_tokens;  // that fit beside the weights
  std::vector<MeasuredStep> measured;
};

const std::vector<CardCost>& card_costs();

/// Errors: not_found naming those that there are.
StatusOr<CardCost> find_card_cost(std::string_view name);

/// "base_us,per_decode_us,per_kv_token_ns,per_prompt_token_us". Errors: invalid_argument.
StatusOr<StepCost> parse_step_cost(const std::string& text);

}  // namespace hadal
