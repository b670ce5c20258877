// Captured decode steps, one a bucket of rows. A step of n rows runs in the smallest bucket that holds it.
//
// Threads: one.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "device/device.h"

namespace hadal {

/// 1, 2, 4, then multiples of 8 up to 256 and of 16 beyond; the last is `largest`. None for 0.
std::vector<int32_t> step_buckets(int32_t largest);

class StepGraphs {
 public:
  explicit StepGraphs(std::vector<int32_t> buckets = {}) : buckets_(std::move(buckets)) {}

  const std::vector<int32_t>& buckets() const { return buckets_; }
  /// 0: none is large enough.
  int32_t bucket_for(size_t rows) const;
  void add(int32_t bucket, Graph graph) { graphs_[bucket] = std::move(graph); }
  /// Null where none was captured: the padded step is run op by op.
  const Graph* graph(int32_t bucket) const;

 private:
  std::vector<int32_t> buckets_;  // ascending
  std::map<int32_t, Graph> graphs_;
};

}  // namespace hadal
