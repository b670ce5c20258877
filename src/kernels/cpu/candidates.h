// Token candidates in falling order of a score, ties by lower id, sorted only as far as they are asked for: a
// draw rarely looks beyond the first hundred of 129 thousand. Private to kernels/cpu.
#pragma once

#include <cstdint>

namespace hadal::cpu {

class Candidates {
 public:
  /// `scores` [count], none NaN; -inf is no candidate. `order` [count] is scratch. `largest`: of the scores,
  /// finite. `unit`: a distance that matters (the temperature): the first look goes a few units down.
  Candidates(const float* scores, int64_t count, float largest, float unit, int32_t* order);

  /// How many there are.
  int64_t size() const { return size_; }
  /// The i-th in falling order; i < size(). Cheap for rising i.
  int32_t operator[](int64_t i) {
    if (i >= sorted_) sort_up_to(i + 1);
    return order_[i];
  }

 private:
  void sort_up_to(int64_t n);
  void gather();

  const float* scores_;
  int64_t count_;
  float largest_;
  float unit_;
  int32_t* order_;
  int64_t size_ = 0;
  int64_t gathered_ = 0;  // order_[0, gathered_) holds all candidates down to floor_
  int64_t sorted_ = 0;    // order_[0, sorted_) is in order and precedes the rest
  int level_ = 0;
  float floor_;
};

}  // namespace hadal::cpu
