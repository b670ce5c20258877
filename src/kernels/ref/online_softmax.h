// Online softmax over tiles of keys: running maximum, running sum and the weighted sum of values, rescaled
// when a tile raises the maximum. In double, so that the order of tiles leaves no trace after rounding.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace hadal::ref {

struct SoftmaxState {
  double max = -std::numeric_limits<double>::infinity();
  double sum = 0;
};

/// Takes `count` (> 0) keys with `scores` and values [count, width] (rows `stride` apart) into `state` and
/// `accumulated` [width].
inline void absorb_tile(const double* scores, int64_t count, const float* values, int64_t stride,
                        int64_t width, SoftmaxState& state, double* accumulated) {
  const double raised = std::max(state.max, *std::max_element(scores, scores + count));
  const double shrink = std::exp(state.max - raised);  // 0 for the first tile
  state.max = raised;
  state.sum *= shrink;
  for (int64_t i = 0; i < width; ++i) accumulated[i] *= shrink;
  for (int64_t j = 0; j < count; ++j) {
    const double p = std::exp(scores[j] - raised);
    state.sum += p;
    for (int64_t i = 0; i < width; ++i) accumulated[i] += p * double{values[j * stride + i]};
  }
}

}  // namespace hadal::ref
