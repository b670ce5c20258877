#include "kernels/cpu/attention_spans.h"

#include <limits>

namespace hadal::cpu {
namespace {

struct Item {
  int64_t unit;
  int64_t span;  // its first position
};

/// A partial result.
struct Slot {
  float* values;   // [kMaxUnitHeads][dv]
  float* maximum;  // [kMaxUnitHeads]
  float* sum;
};

class Spans {
 public:
  Spans(const CpuDevice& device, const SpanShape& shape, void* base) : shape_(shape), carver_(base) {
    const int threads = device.pool.threads();
    capacity_ = 48 + 4 * threads;
    items_ = carver_.take<Item>(capacity_);
    firsts_ = carver_.take<int64_t>(capacity_ + 1);
    values_ = carver_.take<float>((capacity_ + 2) * kMaxUnitHeads * shape.dv);
    states_ = carver_.take<float>((capacity_ + 2) * 2 * kMaxUnitHeads);
    records_ = carver_.take<float>(threads * kTile * shape.record);
    scores_ = carver_.take<float>(threads * kMaxUnitHeads * kTile);
  }
  uint64_t bytes() const { return carver_.used(); }

  void run(CpuDevice& device, const SpanSource& source) {
    int64_t unit = 0, span = -1;  // the next item; -1: the unit's first
    carried_ = false;
    while (unit < shape_.units) {
      int64_t count = 0, units = 0;
      bool complete = true;
      for (; count < capacity_ && unit < shape_.units;) {
        const SpanUnit u = source.unit(unit);
        if (span < 0 || units == 0) firsts_[units++] = count;
        if (span < 0) span = u.first / kSpan * kSpan;
        items_[count++] = {unit, span};
        span += kSpan;
        complete = span > u.position;
        if (complete) {
          ++unit;
          span = -1;
        }
      }
      firsts_[units] = count;
      wave(device, source, count, units, complete);
    }
  }

 private:
  Slot slot(int64_t index) const {
    float* state = states_ + index * 2 * kMaxUnitHeads;
    return {values_ + index * kMaxUnitHeads * shape_.dv, state, state + kMaxUnitHeads};
  }

  /// Items 0 .. count of `units` units; the last unit goes on in the next wave unless `complete`.
  void wave(CpuDevice& device, const SpanSource& source, int64_t count, int64_t units, bool complete) {
    device.pool.run(count, [&](int64_t item, int thread) { attend(device.kernels, source, item, thread); });
    device.pool.run(units, [&](int64_t u, int) {
      const Slot total = slot(firsts_[u]);
      const SpanUnit unit = source.unit(items_[firsts_[u]].unit);
      if (u == 0 && carried_) merge(device.kernels, unit.heads, slot(capacity_ + carry_in_), total, total);
      for (int64_t i = firsts_[u] + 1; i < firsts_[u + 1]; ++i)
        merge(device.kernels, unit.heads, total, slot(i), total);
      if (u == units - 1 && !complete) {
        copy(unit.heads, total, slot(capacity_ + 1 - carry_in_));
      } else {
        for (int64_t h = 0; h < unit.heads; ++h) {
          for (int64_t c = 0; c < shape_.dv; ++c) total.values[h * shape_.dv + c] /= total.sum[h];
        }
        source.finish(items_[firsts_[u]].unit, unit, total.values);
      }
    });
    carried_ = !complete;
    carry_in_ = 1 - carry_in_;
  }

  /// One span of one unit: online softmax over its tiles.
  void attend(const IsaKernels& kernels, const SpanSource& source, int64_t item, int thread) {
    const SpanUnit unit = source.unit(items_[item].unit);
    const Slot out = slot(item);
    float* records = records_ + thread * kTile * shape_.record;
    float* scores = scores_ + thread * kMaxUnitHeads * kTile;
    std::fill_n(out.values, unit.heads * shape_.dv, 0.0f);
    std::fill_n(out.maximum, unit.heads, -std::numeric_limits<float>::infinity());
    std::fill_n(out.sum, unit.heads, 0.0f);
    const int64_t end = std::min(items_[item].span + kSpan, unit.position + 1);
    for (int64_t tile = std::max(items_[item].span, unit.first / kTile * kTile); tile < end; tile += kTile) {
      KeyTile keys;
      const int64_t from = std::max(tile, unit.first), to = std::min(tile + kTile, end);
      source.load(unit, items_[item].unit, tile, from, to, records, &keys);
      attend_tile(kernels, unit, keys, from - tile, to - tile, scores, out);
    }
  }

  /// Keys first .. last of a tile.
  void attend_tile(const IsaKernels& kernels, const SpanUnit& unit, const KeyTile& keys, int64_t first,
                   int64_t last, float* scores, const Slot& out) {
    tile_scores(kernels, unit.queries, DType::kF32, unit.ldq, unit.heads, keys, shape_.dk, scores);
    float carry[kMaxUnitHeads];
    for (int64_t h = 0; h < unit.heads; ++h) {
      const SoftmaxArgs softmax{scores + h * kTile,
                                static_cast<int32_t>(kTile),
                                static_cast<int32_t>(first),
                                static_cast<int32_t>(last),
                                shape_.scale,
                                out.maximum + h,
                                out.sum + h};
      carry[h] = kernels.vector->softmax(&softmax);
    }
    tile_values(kernels, scores, unit.heads, keys, shape_.dv, carry, out.values);
  }

  /// out = a then b; out may be either.
  void merge(const IsaKernels& kernels, int64_t heads, const Slot& a, const Slot& b, const Slot& out) {
    for (int64_t h = 0; h < heads; ++h) {
      const float maximum = std::max(a.maximum[h], b.maximum[h]);
      const float distances[2] = {a.maximum[h] - maximum, b.maximum[h] - maximum};
      float factors[2];
      kernels.vector->exp(distances, factors, 2);
      const float* from_a = a.values + h * shape_.dv;
      const float* from_b = b.values + h * shape_.dv;
      float* to = out.values + h * shape_.dv;
      for (int64_t c = 0; c < shape_.dv; ++c) to[c] = from_a[c] * factors[0] + from_b[c] * factors[1];
      out.sum[h] = a.sum[h] * factors[0] + b.sum[h] * factors[1];
      out.maximum[h] = maximum;
    }
  }

  void copy(int64_t heads, const Slot& from, const Slot& to) {
    std::copy_n(from.values, heads * shape_.dv, to.values);
    std::copy_n(from.maximum, heads, to.maximum);
    std::copy_n(from.sum, heads, to.sum);
  }

  const SpanShape shape_;
  Carver carver_;
  int64_t capacity_;
  Item* items_;
  int64_t* firsts_;  // [units of a wave + 1] first item of each
  float* values_;
  float* states_;
  float* records_;
  float* scores_;
  // What an unfinished unit has so far lies in one of two slots after the items': its successor is written
  // while it is read.
  bool carried_ = false;
  int64_t carry_in_ = 0;
};

}  // namespace

uint64_t span_workspace(const CpuDevice& device, const SpanShape& shape) {
  return Spans(device, shape, nullptr).bytes();
}

void attend_spans(CpuDevice& device, const SpanShape& shape, const SpanSource& source, void* workspace) {
  Spans(device, shape, workspace).run(device, source);
}

}  // namespace hadal::cpu
