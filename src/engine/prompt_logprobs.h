// Log-probabilities of a prompt's own tokens, from the logits of the positions before them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/request.h"

namespace hadal {

/// `logits` is [count, vocab] for the prompt's positions from `first` on. Appends one token for each of them
/// that is followed by another: that one, with its log-probability, rank (1: most likely) and the `top` most
/// likely ones. Softmax in double, over all of the vocabulary, before any sampling parameter, as vLLM's.
void append_prompt_logprobs(const std::vector<int32_t>& prompt, int32_t first, std::span<const float> logits,
                            int32_t vocab, int32_t top, std::vector<OutputToken>& out);

}  // namespace hadal
