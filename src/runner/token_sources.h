// Where drawn tokens lie on the device. Each launched step draws into one of three places in turn, so that
// the tokens of the two steps before it are still there when it runs: a row names one of them by its step and
// sequence (StepRow::token_from).
//
// Threads: one.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/status.h"
#include "runner/step_plan.h"

namespace hadal {

class TokenSources {
 public:
  static constexpr int32_t kPlaces = 3;

  /// A place has `stride` elements, its first the step's tokens.
  explicit TokenSources(int32_t stride) : stride_(stride) {}

  /// Where the next step draws to.
  int32_t next_place() const { return next_ * stride_; }

  /// The next step has been launched: it draws a token for each of these sequences, in this order.
  void launched(StepId step, const std::vector<SequenceId>& sequences) {
    Drawn& drawn = steps_[static_cast<size_t>(next_)];
    drawn.step = step;
    drawn.tokens.clear();
    for (const SequenceId sequence : sequences)
      drawn.tokens.emplace_back(sequence, next_place() + static_cast<int32_t>(drawn.tokens.size()));
    std::sort(drawn.tokens.begin(), drawn.tokens.end());
    next_ = (next_ + 1) % kPlaces;
    steps_[static_cast<size_t>(next_)].step = 0;  // its tokens are the next to be overwritten
  }

  /// Index of the token that `step`, one of the last two, drew for `sequence`.
  StatusOr<int32_t> find(StepId step, SequenceId sequence) const {
    for (const Drawn& drawn : steps_) {
      if (drawn.step != step || step == 0) continue;
      const auto [first, last] =
          std::equal_range(drawn.tokens.begin(), drawn.tokens.end(), std::pair(sequence, int32_t{0}),
                           [](const auto& a, const auto& b) { return a.first < b.first; });
      if (last - first == 1) return first->second;
      return invalid_argument("step {} draws {} tokens for it, not one", step, last - first);
    }
    return invalid_argument("its token is to come from step {}, which is none of the last two", step);
  }

 private:
  struct Drawn {
    StepId step = 0;
    std::vector<std::pair<SequenceId, int32_t>> tokens;  // sorted
  };
  int32_t stride_;
  int32_t next_ = 0;
  std::array<Drawn, kPlaces> steps_;
};

}  // namespace hadal
