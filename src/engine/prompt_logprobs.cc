#include "engine/prompt_logprobs.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace hadal {
namespace {

double log_sum_exp(std::span<const float> logits) {
  const float most = *std::max_element(logits.begin(), logits.end());
  double sum = 0.0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - most);
  return most + std::log(sum);
}

std::vector<int32_t> most_likely(std::span<const float> logits, int32_t count) {
  std::vector<int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto before = [logits](int32_t a, int32_t b) {
    const float x = logits[static_cast<size_t>(a)], y = logits[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  };
  count = std::min(count, static_cast<int32_t>(ids.size()));
  std::partial_sort(ids.begin(), ids.begin() + count, ids.end(), before);
  ids.resize(static_cast<size_t>(count));
  return ids;
}

}  // namespace

void append_prompt_logprobs(const std::vector<int32_t>& prompt, int32_t first, std::span<const float> logits,
                            int32_t vocab, int32_t top, std::vector<OutputToken>& out) {
  const auto width = static_cast<size_t>(vocab);
  for (size_t row = 0; (row + 1) * width <= logits.size(); ++row) {
    const size_t next = static_cast<size_t>(first) + row + 1;
    if (next >= prompt.size()) return;
    const std::span<const float> here = logits.subspan(row * width, width);
    const bool usable = std::none_of(here.begin(), here.end(), [](float logit) { return std::isnan(logit); });
    const double sum = usable ? log_sum_exp(here) : std::nan("");
    const auto logprob_of = [&](int32_t id) {
      return static_cast<float>(here[static_cast<size_t>(id)] - sum);
    };
    OutputToken token{.id = prompt[next], .logprob = logprob_of(prompt[next]), .rank = 0, .top = {}};
    if (usable) {
      const float own = here[static_cast<size_t>(token.id)];
      token.rank = 1 + static_cast<int32_t>(
                           std::count_if(here.begin(), here.end(), [own](float x) { return x > own; }));
      for (const int32_t id : most_likely(here, top)) token.top.push_back({id, logprob_of(id)});
    }
    out.push_back(std::move(token));
  }
}

}  // namespace hadal
