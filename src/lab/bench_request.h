// The request that speed is measured with: made-up token ids, greedy, of a fixed length.
#pragma once

#include <cstdint>

#include "engine/request.h"

namespace hadal {

/// Without a sink. Different `which` have different ids, so that they spread over experts.
inline EngineRequest bench_request(int32_t prompt_tokens, int32_t output_tokens, int32_t vocab,
                                   int32_t which) {
  EngineRequest request;
  request.prompt_ids.resize(static_cast<size_t>(prompt_tokens));
  uint64_t state = static_cast<uint64_t>(which) * 7919 + 17;
  for (int32_t& id : request.prompt_ids) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    id = static_cast<int32_t>((state >> 33) % static_cast<uint64_t>(vocab));
  }
  request.sampling.temperature = 0.0f;
  request.stop.max_tokens = output_tokens;
  request.stop.ignore_eos = true;
  request.detokenize = false;
  return request;
}

}  // namespace hadal
