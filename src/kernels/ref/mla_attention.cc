// Multi-head latent attention over the paged latent cache (specs: DeepSeek-V2, section 2.1): expanded for
// prompts, where kv_b turns each cached latent into a key and a value per head; absorbed for generated
// tokens, where kv_b is moved into the query and the output and all heads attend to the latents themselves.
#include <algorithm>

#include "kernels/ref/cache.h"
#include "kernels/ref/online_softmax.h"
#include "kernels/ref/ref_ops.h"
#include "kernels/ref/scratch.h"
#include "kernels/ref/segments.h"
#include "kernels/ref/weights.h"

namespace hadal::ref {
namespace {

struct MlaScratch {
  float* q;              // [nope + rope]
  float* kv_b;           // [nope + v, kv_lora]: one head's rows, decoded
  float* latents;        // [tile, kv_lora]
  float* ropes;          // [tile, rope]
  float* keys;           // [tile, nope]       expanded form
  float* values;         // [tile, v]
  SoftmaxState* states;  // [rows]
  double* accumulated;   // [rows, v]
  float* q_latent;       // [kv_lora]          absorbed form
  double* o_latent;      // [kv_lora]
  double* scores;        // [tile]
  uint64_t bytes;
};

MlaScratch cut(const MlaAttentionArgs& args, Scratch scratch) {
  const MlaShape& shape = args.shape;
  MlaScratch cuts{};
  cuts.q = scratch.take<float>(shape.nope + shape.rope);
  cuts.kv_b = scratch.take<float>(int64_t{shape.nope + shape.v} * shape.kv_lora);
  cuts.latents = scratch.take<float>(int64_t{kAttentionTile} * shape.kv_lora);
  cuts.ropes = scratch.take<float>(int64_t{kAttentionTile} * shape.rope);
  cuts.keys = scratch.take<float>(int64_t{kAttentionTile} * shape.nope);
  cuts.values = scratch.take<float>(int64_t{kAttentionTile} * shape.v);
  cuts.states = scratch.take<SoftmaxState>(args.q.rows);
  cuts.accumulated = scratch.take<double>(args.q.rows * shape.v);
  cuts.q_latent = scratch.take<float>(shape.kv_lora);
  cuts.o_latent = scratch.take<double>(shape.kv_lora);
  cuts.scores = scratch.take<double>(kAttentionTile);
  cuts.bytes = scratch.bytes();
  return cuts;
}

Status check(const MlaAttentionArgs& args, const WeightRef& kv_b) {
  const MlaShape& shape = args.shape;
  if (kv_b.rows != int64_t{shape.heads} * (shape.nope + shape.v) || kv_b.cols != shape.kv_lora) {
    return invalid_argument("mla_attention: kv_b [{}, {}] does not fit {} heads of {} + {} and latents of {}",
                            kv_b.rows, kv_b.cols, shape.heads, shape.nope, shape.v, shape.kv_lora);
  }
  if (args.q.cols != int64_t{shape.heads} * (shape.nope + shape.rope) ||
      args.out.cols != int64_t{shape.heads} * shape.v || args.out.rows != args.q.rows) {
    return invalid_argument("mla_attention: q [{}, {}] and out [{}, {}] do not fit the heads", args.q.rows,
                            args.q.cols, args.out.rows, args.out.cols);
  }
  const int64_t record =
      shape.kv_lora * bytes_of(args.cache.dtype) + shape.rope * bytes_of(args.cache.rope_dtype);
  if (record > args.cache.token_bytes) {
    return invalid_argument("mla_attention: a record of {} bytes does not fit {}", record,
                            args.cache.token_bytes);
  }
  return OkStatus();
}

void load_head(const MlaAttentionArgs& args, int64_t head, const MlaScratch& scratch) {
  const Decode decode = decode_for(group_of(args.kv_b.group).compute);
  const int64_t rows = args.shape.nope + args.shape.v;
  for (int64_t i = 0; i < rows; ++i) {
    decode_row(weight_of(args.kv_b), head * rows + i, decode, scratch.kv_b + i * args.shape.kv_lora);
  }
}

void load_query(const MlaAttentionArgs& args, int64_t row, int64_t head, const MlaScratch& scratch) {
  const int64_t width = args.shape.nope + args.shape.rope;
  for (int64_t i = 0; i < width; ++i) scratch.q[i] = get(args.q, row, head * width + i);
}

/// Latents and rotary keys of the positions [tile, last).
void load_tile(const MlaAttentionArgs& args, const Segment& segment, int64_t tile, int64_t last,
               const MlaScratch& scratch) {
  const CacheLayer& cache = args.cache;
  const MlaShape& shape = args.shape;
  for (int64_t position = tile; position < last; ++position) {
    const char* record = cache_record(cache, slot_of(cache, *args.group, segment.index, position));
    const int64_t j = position - tile;
    read_cached(cache.dtype, record, shape.kv_lora, cache.k_scale, scratch.latents + j * shape.kv_lora);
    read_cached(cache.rope_dtype, record + shape.kv_lora * bytes_of(cache.dtype), shape.rope, cache.k_scale,
                scratch.ropes + j * shape.rope);
  }
}

/// Keys and values of one head for `count` loaded latents, rounded to float32.
void expand_tile(const MlaShape& shape, int64_t count, const MlaScratch& scratch) {
  for (int64_t j = 0; j < count; ++j) {
    const float* latent = scratch.latents + j * shape.kv_lora;
    for (int64_t i = 0; i < shape.nope + shape.v; ++i) {
      const auto value = static_cast<float>(dot(scratch.kv_b + i * shape.kv_lora, latent, shape.kv_lora));
      (i < shape.nope ? scratch.keys[j * shape.nope + i] : scratch.values[j * shape.v + i - shape.nope]) =
          value;
    }
  }
}

void attend_expanded(const MlaAttentionArgs& args, const Segment& segment, int64_t head,
                     const MlaScratch& scratch) {
  const MlaShape& shape = args.shape;
  std::fill_n(scratch.states, segment.rows, SoftmaxState());
  std::fill_n(scratch.accumulated, segment.rows * shape.v, 0.0);
  for (int64_t tile = 0; tile < segment.context; tile += kAttentionTile) {
    const int64_t last = std::min<int64_t>(tile + kAttentionTile, segment.context);
    load_tile(args, segment, tile, last, scratch);
    expand_tile(shape, last - tile, scratch);
    for (int64_t i = 0; i < segment.rows; ++i) {
      const KeyRange keys = visible_keys(segment.first_position + i, 0, tile);
      if (keys.empty()) continue;
      load_query(args, segment.first_row + i, head, scratch);
      for (int64_t j = 0; j < keys.last - tile; ++j) {
        scratch.scores[j] = (dot(scratch.q, scratch.keys + j * shape.nope, shape.nope) +
                             dot(scratch.q + shape.nope, scratch.ropes + j * shape.rope, shape.rope)) *
                            double{args.scale};
      }
      absorb_tile(scratch.scores, keys.last - tile, scratch.values, shape.v, shape.v, scratch.states[i],
                  scratch.accumulated + i * shape.v);
    }
  }
  for (int64_t i = 0; i < segment.rows; ++i) {
    for (int64_t c = 0; c < shape.v; ++c) {
      const double value = scratch.accumulated[i * shape.v + c] / scratch.states[i].sum;
      set(args.out, segment.first_row + i, head * shape.v + c, static_cast<float>(value));
    }
  }
}

/// q_latent = q_nope times the head's key rows of kv_b, float32.
void absorb_query(const MlaShape& shape, const MlaScratch& scratch) {
  for (int64_t c = 0; c < shape.kv_lora; ++c) {
    double sum = 0;
    for (int64_t i = 0; i < shape.nope; ++i)
      sum += double{scratch.q[i]} * scratch.kv_b[i * shape.kv_lora + c];
    scratch.q_latent[c] = static_cast<float>(sum);
  }
}

void attend_absorbed_row(const MlaAttentionArgs& args, const Segment& segment, int64_t i, int64_t head,
                         const MlaScratch& scratch) {
  const MlaShape& shape = args.shape;
  const int64_t row = segment.first_row + i;
  const int64_t context = segment.first_position + i + 1;
  load_query(args, row, head, scratch);
  absorb_query(shape, scratch);
  SoftmaxState state;
  std::fill_n(scratch.o_latent, shape.kv_lora, 0.0);
  for (int64_t tile = 0; tile < context; tile += kAttentionTile) {
    const int64_t count = std::min<int64_t>(kAttentionTile, context - tile);
    load_tile(args, segment, tile, tile + count, scratch);
    for (int64_t j = 0; j < count; ++j) {
      scratch.scores[j] = (dot(scratch.q_latent, scratch.latents + j * shape.kv_lora, shape.kv_lora) +
                           dot(scratch.q + shape.nope, scratch.ropes + j * shape.rope, shape.rope)) *
                          double{args.scale};
    }
    absorb_tile(scratch.scores, count, scratch.latents, shape.kv_lora, shape.kv_lora, state,
                scratch.o_latent);
  }
  for (int64_t c = 0; c < shape.v; ++c) {
    const float* value_row = scratch.kv_b + (shape.nope + c) * shape.kv_lora;
    double sum = 0;
    for (int64_t k = 0; k < shape.kv_lora; ++k) sum += value_row[k] * (scratch.o_latent[k] / state.sum);
    set(args.out, row, head * shape.v + c, static_cast<float>(sum));
  }
}

}  // namespace

uint64_t mla_attention_workspace(const MlaAttentionArgs& args) { return cut(args, Scratch()).bytes; }

Status mla_attention(const MlaAttentionArgs& args) {
  RETURN_IF_ERROR(check(args, weight_of(args.kv_b)));
  const MlaScratch scratch = cut(args, Scratch(args.workspace));
  for (int64_t head = 0; head < args.shape.heads; ++head) {
    load_head(args, head, scratch);
    for (int32_t s = 0; s < args.batch->num_segments; ++s) {
      const Segment segment = segment_of(*args.batch, s);
      if (segment.context == 0) continue;  // padding
      if (segment.form == TokenForm::kPrompt) {
        attend_expanded(args, segment, head, scratch);
      } else {
        for (int64_t i = 0; i < segment.rows; ++i) attend_absorbed_row(args, segment, i, head, scratch);
      }
    }
  }
  return OkStatus();
}

}  // namespace hadal::ref
