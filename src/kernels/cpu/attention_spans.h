// Output rows (few queries, long contexts): the context is cut into spans at multiples of kSpan, every (unit,
// span) is a task with its own partial result, and a unit's partials are merged in rising order. Private to
// kernels/cpu.
#pragma once

#include "kernels/cpu/attention.h"

namespace hadal::cpu {

inline constexpr int64_t kMaxUnitHeads = 16;

/// Some heads of one row, which read the same keys and values.
struct SpanUnit {
  const float* queries;  // [heads] rows of dk at ldq
  int64_t ldq;
  int64_t heads;     // <= kMaxUnitHeads
  int64_t position;  // of the row: it sees positions first .. position
  int64_t first;
  int32_t segment;
};

/// What differs between the kinds of attention.
class SpanSource {
 public:
  virtual ~SpanSource() = default;
  virtual SpanUnit unit(int64_t index) const = 0;
  /// Keys and values of positions from .. to of the tile at `tile`; `scratch` holds kTile * record floats.
  virtual void load(const SpanUnit& unit, int64_t index, int64_t tile, int64_t from, int64_t to,
                    float* scratch, KeyTile* out) const = 0;
  /// A unit's [heads][dv], divided by the sums.
  virtual void finish(int64_t index, const SpanUnit& unit, float* values) const = 0;
};

struct SpanShape {
  int64_t units;
  int64_t record;  // floats of scratch that load() needs for a position
  int64_t dk;
  int64_t dv;
  float scale;
};

/// Bytes of workspace, independent of contexts: long ones are done in waves.
uint64_t span_workspace(const CpuDevice& device, const SpanShape& shape);
void attend_spans(CpuDevice& device, const SpanShape& shape, const SpanSource& source, void* workspace);

}  // namespace hadal::cpu
