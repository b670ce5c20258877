#include <algorithm>

#include "kernels/ref/cache.h"
#include "kernels/ref/online_softmax.h"
#include "kernels/ref/ref_ops.h"
#include "kernels/ref/scratch.h"
#include "kernels/ref/segments.h"

namespace hadal::ref {
namespace {

struct GqaScratch {
  float* q;              // [head_dim]
  float* keys;           // [tile, head_dim]
  float* values;         // [tile, head_dim]
  double* scores;        // [tile]
  SoftmaxState* states;  // [rows * heads of one kv head]
  double* accumulated;   // [rows * heads of one kv head, head_dim]
  uint64_t bytes;
};

GqaScratch cut(const GqaAttentionArgs& args, Scratch scratch) {
  const int64_t queries = args.q.rows * (args.heads / args.kv_heads);
  GqaScratch cuts{};
  cuts.q = scratch.take<float>(args.head_dim);
  cuts.keys = scratch.take<float>(int64_t{kAttentionTile} * args.head_dim);
  cuts.values = scratch.take<float>(int64_t{kAttentionTile} * args.head_dim);
  cuts.scores = scratch.take<double>(kAttentionTile);
  cuts.states = scratch.take<SoftmaxState>(queries);
  cuts.accumulated = scratch.take<double>(queries * args.head_dim);
  cuts.bytes = scratch.bytes();
  return cuts;
}

Status check(const GqaAttentionArgs& args) {
  if (args.kv_heads <= 0 || args.heads % args.kv_heads != 0) {
    return invalid_argument("gqa_attention: {} heads over {} kv heads", args.heads, args.kv_heads);
  }
  const int64_t width = int64_t{args.heads} * args.head_dim;
  if (args.q.cols != width || args.out.cols != width || args.out.rows != args.q.rows) {
    return invalid_argument("gqa_attention: q and out must have {} columns and the same rows", width);
  }
  const int64_t record = 2 * int64_t{args.kv_heads} * args.head_dim * bytes_of(args.cache.dtype);
  if (record > args.cache.token_bytes) {
    return invalid_argument("gqa_attention: a record of {} bytes does not fit {}", record,
                            args.cache.token_bytes);
  }
  return OkStatus();
}

void load_tile(const GqaAttentionArgs& args, const Segment& segment, int64_t kv_head, int64_t tile,
               const GqaScratch& scratch) {
  const CacheLayer& cache = args.cache;
  const int64_t element = bytes_of(cache.dtype);
  const int64_t keys_bytes = int64_t{args.kv_heads} * args.head_dim * element;
  const int64_t last = std::min<int64_t>(tile + kAttentionTile, segment.context);
  for (int64_t position = tile; position < last; ++position) {
    const char* record = cache_record(cache, slot_of(cache, *args.group, segment.index, position));
    const char* key = record + kv_head * args.head_dim * element;
    const int64_t at = (position - tile) * args.head_dim;
    read_cached(cache.dtype, key, args.head_dim, cache.k_scale, scratch.keys + at);
    read_cached(cache.dtype, key + keys_bytes, args.head_dim, cache.v_scale, scratch.values + at);
  }
}

/// One query row and head over the loaded tile.
void attend_tile(const GqaAttentionArgs& args, int64_t row, int64_t head, KeyRange keys, int64_t tile,
                 int64_t query, const GqaScratch& scratch) {
  for (int64_t i = 0; i < args.head_dim; ++i) scratch.q[i] = get(args.q, row, head * args.head_dim + i);
  for (int64_t j = keys.first; j < keys.last; ++j) {
    scratch.scores[j - keys.first] =
        dot(scratch.q, scratch.keys + (j - tile) * args.head_dim, args.head_dim) * double{args.scale};
  }
  absorb_tile(scratch.scores, keys.last - keys.first, scratch.values + (keys.first - tile) * args.head_dim,
              args.head_dim, args.head_dim, scratch.states[query],
              scratch.accumulated + query * args.head_dim);
}

void attend_segment(const GqaAttentionArgs& args, const Segment& segment, int64_t kv_head,
                    const GqaScratch& scratch) {
  const int64_t heads = args.heads / args.kv_heads;
  std::fill_n(scratch.states, segment.rows * heads, SoftmaxState());
  std::fill_n(scratch.accumulated, segment.rows * heads * args.head_dim, 0.0);
  for (int64_t tile = first_tile(segment, args.window); tile < segment.context; tile += kAttentionTile) {
    load_tile(args, segment, kv_head, tile, scratch);
    for (int64_t i = 0; i < segment.rows; ++i) {
      const KeyRange keys = visible_keys(segment.first_position + i, args.window, tile);
      if (keys.empty()) continue;
      for (int64_t h = 0; h < heads; ++h) {
        attend_tile(args, segment.first_row + i, kv_head * heads + h, keys, tile, i * heads + h, scratch);
      }
    }
  }
  for (int64_t query = 0; query < segment.rows * heads; ++query) {
    const int64_t column = (kv_head * heads + query % heads) * args.head_dim;
    for (int64_t i = 0; i < args.head_dim; ++i) {
      const double value = scratch.accumulated[query * args.head_dim + i] / scratch.states[query].sum;
      set(args.out, segment.first_row + query / heads, column + i, static_cast<float>(value));
    }
  }
}

}  // namespace

uint64_t gqa_attention_workspace(const GqaAttentionArgs& args) { return cut(args, Scratch()).bytes; }

Status gqa_attention(const GqaAttentionArgs& args) {
  RETURN_IF_ERROR(check(args));
  const GqaScratch scratch = cut(args, Scratch(args.workspace));
  for (int32_t s = 0; s < args.batch->num_segments; ++s) {
    const Segment segment = segment_of(*args.batch, s);
    if (segment.context == 0) continue;  // padding
    for (int64_t kv_head = 0; kv_head < args.kv_heads; ++kv_head)
      attend_segment(args, segment, kv_head, scratch);
  }
  return OkStatus();
}

}  // namespace hadal::ref
