// Grouped-query attention: the query heads of one KV head share what is read from the cache.
#include <limits>

#include "kernels/cpu/attention.h"
#include "kernels/cpu/attention_spans.h"

namespace hadal::cpu {
namespace {

constexpr int64_t kMaxRowBatch = 64;

int64_t group_heads(const GqaAttentionArgs& args) { return args.heads / args.kv_heads; }

/// A position's key and value of one KV head.
void read_pair(const IsaKernels& kernels, const GqaAttentionArgs& args, const CacheReader& reader,
               int64_t position, int64_t kv_head, float* key, float* value) {
  const CacheLayer& cache = args.cache;
  const int64_t size = bytes_of(cache.dtype);
  const char* record = reader.record(position);
  const char* keys = record + kv_head * args.head_dim * size;
  const char* values = keys + int64_t{args.kv_heads} * args.head_dim * size;
  const bool scaled = is_fp8(cache.dtype);
  kernels.vector->to_f32(elem_of(cache.dtype), keys, scaled ? cache.k_scale : 1.0f, key, args.head_dim);
  kernels.vector->to_f32(elem_of(cache.dtype), values, scaled ? cache.v_scale : 1.0f, value, args.head_dim);
}

/// Keys and values of positions from .. to of a tile, in place or widened into scratch [kTile][2 * head_dim].
void load_tile(const IsaKernels& kernels, const GqaAttentionArgs& args, const CacheReader& reader,
               int64_t kv_head, int64_t tile, int64_t from, int64_t to, float* scratch, KeyTile* out) {
  const int64_t width = args.head_dim;
  if (readable_in_place(args.cache)) {
    const int64_t key_bytes = kv_head * width * bytes_of(args.cache.dtype);
    const int64_t value_bytes = key_bytes + args.kv_heads * width * bytes_of(args.cache.dtype);
    return reader.in_place(tile, from, to, key_bytes, value_bytes, out);
  }
  for (int64_t position = from; position < to; ++position) {
    float* record = scratch + (position - from) * 2 * width;
    read_pair(kernels, args, reader, position, kv_head, record, record + width);
  }
  out->elem = kElemF32;
  out->ldk = out->ldv = 2 * width;
  out->runs = 1;
  out->run[0] = {reinterpret_cast<const char*>(scratch), reinterpret_cast<const char*>(scratch + width),
                 from - tile, to - from};
}

// ---- prompt rows ----

struct PromptScratch {
  float* records;  // [kTile][2 * head_dim]
  float* scores;
  float* accumulated;  // [heads of a KV head][rows][head_dim]
  float* maximum;
  float* sum;
};

/// Rows that share the loading of a tile, so that all query heads together stay within kSegmentBlock.
int64_t prompt_block(const GqaAttentionArgs& args) {
  return std::max<int64_t>(32, kSegmentBlock / group_heads(args));
}

PromptScratch cut_prompt(Carver& carver, const GqaAttentionArgs& args) {
  const int64_t rows = prompt_block(args) * group_heads(args);
  PromptScratch s;
  s.records = carver.take<float>(kTile * 2 * args.head_dim);
  s.scores = carver.take<float>(kQueryBlock * kTile);
  s.accumulated = carver.take<float>(rows * args.head_dim);
  s.maximum = carver.take<float>(rows);
  s.sum = carver.take<float>(rows);
  return s;
}

void attend_prompt(const IsaKernels& kernels, const GqaAttentionArgs& args, const Segment& segment,
                   int64_t kv_head, const PromptScratch& s) {
  const int64_t heads = group_heads(args), width = args.head_dim;
  const CacheReader reader = reader_of(args.cache, *args.group, segment.index);
  std::fill_n(s.accumulated, heads * segment.rows * width, 0.0f);
  std::fill_n(s.maximum, heads * segment.rows, -std::numeric_limits<float>::infinity());
  std::fill_n(s.sum, heads * segment.rows, 0.0f);
  const int64_t oldest = args.window > 0 ? std::max<int64_t>(0, segment.first_position - args.window + 1) : 0;
  for (int64_t tile = oldest / kTile * kTile; tile < segment.context; tile += kTile) {
    const int64_t count = std::min(kTile, segment.context - tile);
    KeyTile keys;
    // blocks wholly before the window may be null: from the oldest position that any row sees
    load_tile(kernels, args, reader, kv_head, tile, std::max(tile, oldest), tile + count, s.records, &keys);
    for (int64_t h = 0; h < heads; ++h) {
      PromptTile t;
      t.queries = at(args.q, segment.first_row, (kv_head * heads + h) * width);
      t.q_dtype = args.q.dtype;
      t.ldq = args.q.stride;
      t.rows = segment.rows;
      t.first_position = segment.first_position;
      t.tile = tile;
      t.count = count;
      t.window = args.window;
      t.scale = args.scale;
      t.keys = &keys;
      t.dk = width;
      t.dv = width;
      t.accumulated = s.accumulated + h * segment.rows * width;
      t.maximum = s.maximum + h * segment.rows;
      t.sum = s.sum + h * segment.rows;
      t.scores = s.scores;
      attend_prompt_tile(kernels, t);
    }
  }
  for (int64_t h = 0; h < heads; ++h) {
    put_rows(kernels, s.accumulated + h * segment.rows * width, s.sum + h * segment.rows, segment.rows, width,
             args.out, segment.first_row, (kv_head * heads + h) * width);
  }
}

void run_prompts(CpuDevice& device, const GqaAttentionArgs& args, char* workspace, uint64_t thread_bytes) {
  const BatchMeta& batch = *args.batch;
  for (int32_t i = 0; i < batch.num_segments; ++i) {
    if (static_cast<TokenForm>(batch.form[i]) != TokenForm::kPrompt) continue;
    const Segment segment = segment_of(batch, i);
    const int64_t blocks = ceil_div(segment.rows, prompt_block(args));
    const int64_t block = ceil_div(segment.rows, std::max<int64_t>(blocks, 1));
    device.pool.run(blocks * args.kv_heads, [&](int64_t task, int thread) {
      Carver carver(workspace + static_cast<uint64_t>(thread) * thread_bytes);
      const PromptScratch scratch = cut_prompt(carver, args);
      const int64_t from = task / args.kv_heads * block;
      Segment part = segment;
      part.first_row += from;
      part.first_position += from;
      part.rows = std::min(block, segment.rows - from);
      part.context = part.first_position + part.rows;
      if (part.rows > 0) attend_prompt(device.kernels, args, part, task % args.kv_heads, scratch);
    });
    device.note(Used::kGqaPrompt);
  }
}

// ---- output rows ----

struct OutputBatch {
  int64_t first;
  int64_t rows;
  int32_t segments[kMaxRowBatch];
};

struct OutputScratch {
  float* q;  // [kMaxRowBatch][heads * head_dim], only where q is BF16
  char* spans;
  SpanShape shape;
};

/// Query heads of one KV head, at most kMaxUnitHeads a unit.
int64_t unit_parts(const GqaAttentionArgs& args) { return ceil_div(group_heads(args), kMaxUnitHeads); }

OutputScratch cut_output(const CpuDevice& device, Carver& carver, const GqaAttentionArgs& args) {
  const int64_t rows = std::min(kMaxRowBatch, args.q.rows);
  OutputScratch s;
  s.q = carver.take<float>(args.q.dtype == DType::kF32 ? 0 : rows * args.heads * args.head_dim);
  s.shape = {rows * args.kv_heads * unit_parts(args), 2 * args.head_dim, args.head_dim, args.head_dim,
             args.scale};
  s.spans = carver.take<char>(static_cast<int64_t>(span_workspace(device, s.shape)));
  return s;
}

class OutputSource : public SpanSource {
 public:
  OutputSource(const CpuDevice& device, const GqaAttentionArgs& args, const OutputScratch& scratch,
               const OutputBatch& batch)
      : device_(device), args_(args), scratch_(scratch), batch_(batch) {}

  SpanUnit unit(int64_t index) const override {
    const Place place = place_of(index);
    SpanUnit unit;
    unit.ldq = args_.head_dim;
    unit.queries = args_.q.dtype == DType::kF32
                       ? reinterpret_cast<const float*>(
                             at(args_.q, batch_.first + place.row, place.head * args_.head_dim))
                       : scratch_.q + (place.row * args_.heads + place.head) * args_.head_dim;
    unit.heads = place.heads;
    unit.position = args_.batch->positions[batch_.first + place.row];
    unit.first = args_.window > 0 ? std::max<int64_t>(0, unit.position - args_.window + 1) : 0;
    unit.segment = batch_.segments[place.row];
    return unit;
  }

  void load(const SpanUnit& unit, int64_t index, int64_t tile, int64_t from, int64_t to, float* scratch,
            KeyTile* out) const override {
    const CacheReader reader = reader_of(args_.cache, *args_.group, unit.segment);
    const int64_t kv_head = place_of(index).head / group_heads(args_);
    load_tile(device_.kernels, args_, reader, kv_head, tile, from, to, scratch, out);
  }

  void finish(int64_t index, const SpanUnit& unit, float* values) const override {
    const Place place = place_of(index);
    char* out = at(args_.out, batch_.first + place.row, place.head * args_.head_dim);
    device_.kernels.vector->from_f32(elem_of(args_.out.dtype), values, out, unit.heads * args_.head_dim);
  }

 private:
  struct Place {
    int64_t row;
    int64_t head;
    int64_t heads;
  };
  Place place_of(int64_t index) const {
    const int64_t parts = unit_parts(args_), heads = group_heads(args_);
    const int64_t kv_head = index / parts % args_.kv_heads, within = index % parts * kMaxUnitHeads;
    return {index / parts / args_.kv_heads, kv_head * heads + within,
            std::min(kMaxUnitHeads, heads - within)};
  }

  const CpuDevice& device_;
  const GqaAttentionArgs& args_;
  const OutputScratch& scratch_;
  const OutputBatch& batch_;
};

void run_batch(CpuDevice& device, const GqaAttentionArgs& args, const OutputScratch& s,
               const OutputBatch& batch) {
  if (batch.rows == 0) return;
  if (args.q.dtype != DType::kF32) {
    const int64_t width = int64_t{args.heads} * args.head_dim;
    for (int64_t r = 0; r < batch.rows; ++r) {
      device.kernels.vector->to_f32(elem_of(args.q.dtype), at(args.q, batch.first + r), 1.0f, s.q + r * width,
                                    width);
    }
  }
  SpanShape shape = s.shape;
  shape.units = batch.rows * args.kv_heads * unit_parts(args);
  attend_spans(device, shape, OutputSource(device, args, s, batch), s.spans);
  device.note(Used::kGqaOutput);
}

void run_outputs(CpuDevice& device, const GqaAttentionArgs& args, void* workspace) {
  Carver carver(workspace);
  const OutputScratch scratch = cut_output(device, carver, args);
  OutputBatch batch{0, 0, {}};
  for (int32_t i = 0; i < args.batch->num_segments; ++i) {
    if (static_cast<TokenForm>(args.batch->form[i]) != TokenForm::kOutput) continue;
    const Segment segment = segment_of(*args.batch, i);
    if (segment.context == 0) continue;  // padding
    for (int64_t r = segment.first_row; r < segment.first_row + segment.rows; ++r) {
      if (batch.rows == kMaxRowBatch || r != batch.first + batch.rows) {
        run_batch(device, args, scratch, batch);
        batch.first = r;
        batch.rows = 0;
      }
      batch.segments[batch.rows++] = i;
    }
  }
  run_batch(device, args, scratch, batch);
}

Status check(const GqaAttentionArgs& args) {
  if (args.kv_heads < 1 || args.heads % args.kv_heads != 0) {
    return internal_error("gqa_attention: {} heads over {} KV heads", args.heads, args.kv_heads);
  }
  const int64_t width = int64_t{args.heads} * args.head_dim;
  if (args.q.cols != width || args.out.cols != width)
    return internal_error("gqa_attention: q and out need {} columns", width);
  if (!is_activation(args.q.dtype) || !is_activation(args.out.dtype))
    return internal_error("gqa_attention: dtypes");
  if (2 * int64_t{args.kv_heads} * args.head_dim * bytes_of(args.cache.dtype) > args.cache.token_bytes) {
    return internal_error("gqa_attention: records are larger than {} bytes", args.cache.token_bytes);
  }
  return OkStatus();
}

uint64_t prompt_thread_bytes(const GqaAttentionArgs& args) {
  Carver carver(nullptr);
  cut_prompt(carver, args);
  return carver.used();
}

}  // namespace

uint64_t gqa_attention_workspace(const CpuDevice& device, const GqaAttentionArgs& args) {
  Carver carver(nullptr);
  cut_output(device, carver, args);
  return std::max(carver.used(), prompt_thread_bytes(args) * static_cast<uint64_t>(device.pool.threads()));
}

Status gqa_attention(CpuDevice& device, const GqaAttentionArgs& args) {
  RETURN_IF_ERROR(check(args));
  RETURN_IF_ERROR(check_workspace("gqa_attention", args.workspace, gqa_attention_workspace(device, args)));
  run_outputs(device, args, args.workspace.data);
  run_prompts(device, args, static_cast<char*>(args.workspace.data), prompt_thread_bytes(args));
  return OkStatus();
}

}  // namespace hadal::cpu
