#include "lab/step_cost.h"

#include <charconv>
#include <cmath>
#include <string>

namespace hadal {

double StepCost::seconds(const StepShape& shape) const {
  const int32_t tokens = shape.decode_rows + shape.prompt_tokens;
  const double touched = 1.0 - std::pow(1.0 - expert_share, tokens);
  const double us = base_us + experts_us * touched + shape.decode_rows * decode_us +
                    static_cast<double>(shape.kv_tokens) * kv_token_ns * 1e-3 +
                    shape.prompt_tokens * prompt_token_us;
  return us * 1e-6;
}

const std::vector<CardCost>& card_costs() {
  // One H200, vLLM 0.25.1, bf16, measured 2026-11-23. Decode: prompts of 1,024 tokens, the context in the
  // middle of the generated part. Prefill: the step that computes so many prompt tokens (16 prompts of 2,048
  // are two steps). kv_token_ns from the attention kernels' times at two batches (8.24: 2.85 and 1.01 ms at
  // 256 and 64; 31.7: 2.66 and 0.42 ms at 64 and 1); the rest by least squares of the relative errors. The
  // prefill of one prompt of 1,024 on V2-Lite (75.6 ms) is left out: it waits for launches from the host.
  static const std::vector<CardCost> costs = {
      {.name = "v2-lite-h200",
       .source = "DeepSeek-V2-Lite, bf16, one H200, vLLM 0.25.1",
       .cost = {.base_us = 2682,
                .experts_us = 7119,
                .expert_share = 6.0 / 64,
                .decode_us = 5.31,
                .kv_token_ns = 8.24,
                .prompt_token_us = 11.33},
       .kv_bytes_per_token = 31104,
       .kv_tokens = 3265552,
       .measured = {{"decode, batch 1", {1, 0, 1120}, 3.364},
                    {"decode, batch 16", {16, 0, 16 * 1120}, 8.550},
                    {"decode, batch 64", {64, 0, 64 * 1120}, 10.718},
                    {"decode, batch 256", {256, 0, 256 * 1152}, 13.591},
                    {"prefill, 8,192 tokens", {0, 8192, 8192}, 104.7},
                    {"prefill, 16,384 tokens", {0, 16384, 16384}, 192.25}}},
      {.name = "llama-8b-h200",
       .source = "R1-Distill-Llama-8B, bf16, one H200, vLLM 0.25.1",
       .cost = {.base_us = 4756, .decode_us = 14.17, .kv_token_ns = 31.7, .prompt_token_us = 23.92},
       .kv_bytes_per_token = 131072,
       .kv_tokens = 891392,
       .measured = {{"decode, batch 1", {1, 0, 1120}, 4.898},
                    {"decode, batch 16", {16, 0, 16 * 1120}, 5.579},
                    {"decode, batch 64", {64, 0, 64 * 1120}, 7.642},
                    {"decode, batch 256", {256, 0, 256 * 1152}, 18.123},
                    {"prefill, 1,024 tokens", {0, 1024, 1024}, 28.4},
                    {"prefill, 8,192 tokens", {0, 8192, 8192}, 213.9},
                    {"prefill, 16,384 tokens", {0, 16384, 16384}, 386.2}}},
  };
  return costs;
}

StatusOr<CardCost> find_card_cost(std::string_view name) {
  std::string names;
  for (const CardCost& one : card_costs()) {
    if (one.name == name) return one;
    names += names.empty() ? one.name : std::string(", ") + one.name;
  }
  return not_found("no step cost is named '{}'; there are {}", name, names);
}

StatusOr<StepCost> parse_step_cost(const std::string& text) {
  StepCost cost;
  double* const fields[] = {&cost.base_us, &cost.decode_us, &cost.kv_token_ns, &cost.prompt_token_us};
  const char* at = text.data();
  const char* const end = at + text.size();
  bool good = true;
  for (size_t i = 0; i < std::size(fields) && good; ++i) {
    const auto [stopped, error] = std::from_chars(at, end, *fields[i]);
    const bool last = i + 1 == std::size(fields);
    good = error == std::errc{} && std::isfinite(*fields[i]) && *fields[i] >= 0 &&
           (last ? stopped == end : stopped != end && *stopped == ',');
    at = last ? stopped : stopped + 1;
  }
  if (!good || cost.base_us <= 0) {
    return invalid_argument(
        "a step cost is four numbers, base_us,per_decode_us,per_kv_token_ns,per_prompt_token_us, the first "
        "above 0, such as 5000,14,32,24; got '{}'",
        text);
  }
  return cost;
}

}  // namespace hadal
