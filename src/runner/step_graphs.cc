#include "runner/step_graphs.h"

#include <algorithm>

namespace hadal {

std::vector<int32_t> step_buckets(int32_t largest) {
  std::vector<int32_t> buckets;
  for (int32_t rows = 1; rows < largest;) {
    buckets.push_back(rows);
    rows = rows < 8 ? 2 * rows : rows + (rows < 256 ? 8 : 16);
  }
  if (largest > 0) buckets.push_back(largest);
  return buckets;
}

int32_t StepGraphs::bucket_for(size_t rows) const {
  const auto found = std::lower_bound(buckets_.begin(), buckets_.end(), rows, [](int32_t bucket, size_t n) {
    return static_cast<size_t>(bucket) < n;
  });
  return found == buckets_.end() ? 0 : *found;
}

const Graph* StepGraphs::graph(int32_t bucket) const {
  const auto found = graphs_.find(bucket);
  return found == graphs_.end() ? nullptr : &found->second;
}

}  // namespace hadal
