// Walking a batch: segments of query rows, and the tiles of keys that each may see.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/api/types.h"

namespace hadal::ref {

struct Segment {
  int32_t index = 0;
  int64_t first_row = 0;
  int64_t rows = 0;
  int64_t first_position = 0;  // of its first row
  int64_t context = 0;         // position of its last row + 1
  TokenForm form = TokenForm::kPrompt;
};

inline Segment segment_of(const BatchMeta& batch, int32_t index) {
  Segment segment;
  segment.index = index;
  segment.first_row = batch.query_start[index];
  segment.rows = batch.query_start[index + 1] - segment.first_row;
  segment.context = batch.context_len[index];
  segment.first_position = segment.context - segment.rows;
  segment.form = static_cast<TokenForm>(batch.form[index]);
  return segment;
}

/// Positions [first, last) of a tile that a query may see.
struct KeyRange {
  int64_t first = 0;
  int64_t last = 0;
  bool empty() const { return first >= last; }
};

/// Causal, and no further back than `window` where that is positive.
inline KeyRange visible_keys(int64_t query_position, int64_t window, int64_t tile_first) {
  KeyRange range{tile_first, std::min<int64_t>(tile_first + kAttentionTile, query_position + 1)};
  if (window > 0) range.first = std::max(range.first, query_position - window + 1);
  return range;
}

/// First tile that any row of the segment sees.
inline int64_t first_tile(const Segment& segment, int64_t window) {
  const int64_t oldest = window > 0 ? std::max<int64_t>(0, segment.first_position - window + 1) : 0;
  return oldest / kAttentionTile * kAttentionTile;
}

}  // namespace hadal::ref
