#include "kernels/cpu/candidates.h"

#include <algorithm>
#include <iterator>
#include <limits>

namespace hadal::cpu {
namespace {
constexpr float kNone = -std::numeric_limits<float>::infinity();
constexpr float kDepths[] = {4, 12, 40};  // units below the largest
constexpr int64_t kSortStep = 512;
}  // namespace

Candidates::Candidates(const float* scores, int64_t count, float largest, float unit, int32_t* order)
    : scores_(scores),
      count_(count),
      largest_(largest),
      unit_(unit),
      order_(order),
      floor_(std::numeric_limits<float>::infinity()) {
  for (int64_t i = 0; i < count; ++i) size_ += scores[i] > kNone ? 1 : 0;
}

/// Appends the candidates of the next band of scores.
void Candidates::gather() {
  const float ceiling = floor_;
  // beyond the last depth (or where a float cannot tell) all that is left
  const float depth = level_ < static_cast<int>(std::size(kDepths)) ? kDepths[level_] * unit_ : -kNone;
  ++level_;
  floor_ = std::max(largest_ - depth, -std::numeric_limits<float>::max());
  for (int64_t i = 0; i < count_; ++i) {
    if (scores_[i] >= floor_ && scores_[i] < ceiling) order_[gathered_++] = static_cast<int32_t>(i);
  }
}

void Candidates::sort_up_to(int64_t n) {
  const auto before = [this](int32_t a, int32_t b) {
    return scores_[a] != scores_[b] ? scores_[a] > scores_[b] : a < b;
  };
  while (sorted_ < n) {
    if (sorted_ == gathered_) gather();
    const int64_t end = std::min(gathered_, std::max(sorted_ + kSortStep, 4 * sorted_));
    if (end < gathered_) std::nth_element(order_ + sorted_, order_ + end, order_ + gathered_, before);
    std::sort(order_ + sorted_, order_ + end, before);
    sorted_ = end;
  }
}

}  // namespace hadal::cpu
