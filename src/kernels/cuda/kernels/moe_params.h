// What the kernels of the experts are launched with. Private to kernels/cuda.
//
// Words: a *slot* is one expert of one token: the routed ones in the order of ids, then slices of the shared
// experts (or of a dense MLP), which take part as further experts with weight 1. A *pair* is token * slots +
// slot. A *position* is a row of the hidden products: pairs ordered by expert, within an expert by pair. An
// *item* is a piece of at most `chunk` adjacent positions of one expert.
#pragma once

#include <cstdint>

#include "kernels/api/types.h"

namespace hadal::cuda {

/// One matrix of each expert of a set: the arrays of expert e lie e strides (bytes) behind those of expert 0.
/// Of a set that is cut out of a wider MLP, `first.cols` is the length of a row in memory.
struct ExpertMatrix {
  WeightRef first;
  int64_t stride, scale_stride, zero_stride;
};

/// `count` experts: gate and up [inner, width], down [width, inner].
struct ExpertSet {
  ExpertMatrix gate, up, down;
  int32_t count;
};

struct MoeItem {
  int32_t expert;  // of `routed`, or routed.count + slice
  int32_t first;   // position
  int32_t count;   // 0: nothing to do
  int32_t unused;
};

/// Where a kernel finds its items.
enum class MoeOrder : int32_t {
  kSorted,  // `items` and `list`, made by launch_moe_sort
  kPairs,   // item p is pair p alone, at position p
  kSlices,  // no routed experts: item (chunk c, slice s) is s + slices * c, position s * tokens + token
};

struct MoeParams {
  ExpertSet routed, shared;
  MoeOrder order;
  int32_t tokens, width, inner;
  int32_t top_k, slots;  // slots = top_k + shared.count
  const void* x;         // [tokens, width]
  int64_t x_stride;      // elements
  DType x_dtype;
  const int32_t* ids;    // [tokens, top_k]
  const float* weights;  // [tokens, top_k]
  const int32_t* live;   // [1] or null: tokens behind it are padding
  int32_t chunk;
  int32_t max_items;  // what is launched; items that do not exist have count 0
  MoeItem* items;
  int32_t* list;  // [tokens * slots] pair at each position (kSorted)
  void* hidden;   // [tokens * slots, inner] in x_dtype, by position
  float* rows;    // [tokens * slots, rows_cols] by pair: columns [rows_first, + rows_cols) of down's products
  int32_t rows_first, rows_cols;
  float* out;  // [tokens, width]
  int64_t out_stride;
  int32_t accumulate;  // out is added to
};

}  // namespace hadal::cuda
