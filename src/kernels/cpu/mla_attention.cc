// MLA over the latent cache (specs 2.2). Prompt segments expanded: a tile's keys and values of a head are
// kv_b times its latents, made once for all query rows of the segment. Output rows absorbed: all heads read
// the latents themselves.
#include <cstring>
#include <limits>

#include "kernels/cpu/attention.h"
#include "kernels/cpu/attention_spans.h"
#include "kernels/cpu/prepared.h"

namespace hadal::cpu {
namespace {

constexpr int64_t kRowBatchBytes = 8 << 20;  // of absorbed queries and outputs; bounds the workspace
constexpr int64_t kMaxRowBatch = 64;

int64_t query_width(const MlaShape& shape) { return shape.nope + shape.rope; }
int64_t record_width(const MlaShape& shape) { return shape.kv_lora + shape.rope; }

/// Rows of kv_b of a head: nope key rows, then v value rows.
const char* head_rows(const WeightRef& kv_b, const MlaShape& shape, int64_t head, int64_t row) {
  const int64_t index = head * (shape.nope + shape.v) + row;
  return static_cast<const char*>(kv_b.data) + index * kv_b.cols * bytes_of(kv_b.dtype);
}

void read_values(const IsaKernels& kernels, DType dtype, float scale, const char* from, int64_t n,
                 float* to) {
  kernels.vector->to_f32(elem_of(dtype), from, is_fp8(dtype) ? scale : 1.0f, to, n);
}

// ---- expanded ----

struct ExpandedScratch {
  char*
      latents;  // [kTile][kv_lora] float32, or bfloat16 where kv_b is too: the products are exact either way
  float* keys;  // [kTile][nope + rope]
  float* values;  // [kTile][v]
  float* scores;
  float* accumulated;  // [kSegmentBlock][v]
  float* maximum;
  float* sum;
};

ExpandedScratch cut_expanded(Carver& carver, const MlaShape& shape) {
  ExpandedScratch s;
  s.latents = carver.take<char>(kTile * shape.kv_lora * 4);
  s.keys = carver.take<float>(kTile * query_width(shape));
  s.values = carver.take<float>(kTile * shape.v);
  s.scores = carver.take<float>(kQueryBlock * kTile);
  s.accumulated = carver.take<float>(kSegmentBlock * shape.v);
  s.maximum = carver.take<float>(kSegmentBlock);
  s.sum = carver.take<float>(kSegmentBlock);
  return s;
}

struct ExpandedTask {
  Segment segment;  // narrowed to the task's rows
  CacheReader reader;
  int64_t head;
};

/// Keys and values of one head for the tile.
void expand_tile(const IsaKernels& kernels, const MlaAttentionArgs& args, const ExpandedTask& task,
                 int64_t tile, int64_t count, const ExpandedScratch& s) {
  const MlaShape& shape = args.shape;
  const CacheLayer& cache = args.cache;
  const WeightRef& kv_b = weight_of(args.kv_b);
  const DType latent_dtype =
      cache.dtype == DType::kBF16 && kv_b.dtype == DType::kBF16 ? DType::kBF16 : DType::kF32;
  for (int64_t j = 0; j < count; ++j) {
    const char* record = task.reader.record(tile + j);
    char* latent = s.latents + j * shape.kv_lora * bytes_of(latent_dtype);
    if (latent_dtype == DType::kBF16) {
      std::memcpy(latent, record, static_cast<size_t>(shape.kv_lora) * 2);
    } else {
      read_values(kernels, cache.dtype, cache.k_scale, record, shape.kv_lora,
                  reinterpret_cast<float*>(latent));
    }
    read_values(kernels, cache.rope_dtype, cache.k_scale, record + shape.kv_lora * bytes_of(cache.dtype),
                shape.rope, s.keys + j * query_width(shape) + shape.nope);
  }
  const DotFn dot = kernels.dot->dot[elem_of(latent_dtype)][elem_of(kv_b.dtype)];
  const DotArgs keys{s.latents,
                     shape.kv_lora,
                     nullptr,
                     head_rows(kv_b, shape, task.head, 0),
                     shape.kv_lora,
                     count,
                     shape.nope,
                     shape.kv_lora,
                     shape.kv_lora,
                     s.keys,
                     query_width(shape),
                     nullptr,
                     0};
  dot(&keys);
  const DotArgs values{s.latents,
                       shape.kv_lora,
                       nullptr,
                       head_rows(kv_b, shape, task.head, shape.nope),
                       shape.kv_lora,
                       count,
                       shape.v,
                       shape.kv_lora,
                       shape.kv_lora,
                       s.values,
                       shape.v,
                       nullptr,
                       0};
  dot(&values);
}

void attend_expanded(const IsaKernels& kernels, const MlaAttentionArgs& args, const ExpandedTask& task,
                     const ExpandedScratch& s) {
  const MlaShape& shape = args.shape;
  const Segment& segment = task.segment;
  std::fill_n(s.accumulated, segment.rows * shape.v, 0.0f);
  std::fill_n(s.maximum, segment.rows, -std::numeric_limits<float>::infinity());
  std::fill_n(s.sum, segment.rows, 0.0f);
  KeyTile keys{kElemF32, query_width(shape), shape.v, 1, {}};
  for (int64_t tile = 0; tile < segment.context; tile += kTile) {
    const int64_t count = std::min(kTile, segment.context - tile);
    keys.run[0] = {reinterpret_cast<const char*>(s.keys), reinterpret_cast<const char*>(s.values), 0, count};
    expand_tile(kernels, args, task, tile, count, s);
    PromptTile t;
    t.queries = at(args.q, segment.first_row, task.head * query_width(shape));
    t.q_dtype = args.q.dtype;
    t.ldq = args.q.stride;
    t.rows = segment.rows;
    t.first_position = segment.first_position;
    t.tile = tile;
    t.count = count;
    t.window = 0;
    t.scale = args.scale;
    t.keys = &keys;
    t.dk = query_width(shape);
    t.dv = shape.v;
    t.accumulated = s.accumulated;
    t.maximum = s.maximum;
    t.sum = s.sum;
    t.scores = s.scores;
    attend_prompt_tile(kernels, t);
  }
  put_rows(kernels, s.accumulated, s.sum, segment.rows, shape.v, args.out, segment.first_row,
           task.head * shape.v);
}

/// All prompt segments: a task is (block of rows, head).
void run_expanded(CpuDevice& device, const MlaAttentionArgs& args, char* workspace, uint64_t thread_bytes) {
  const BatchMeta& batch = *args.batch;
  for (int32_t i = 0; i < batch.num_segments; ++i) {
    if (static_cast<TokenForm>(batch.form[i]) != TokenForm::kPrompt) continue;
    const Segment segment = segment_of(batch, i);
    // equal blocks, so that the last is not a sliver
    const int64_t blocks = ceil_div(segment.rows, kSegmentBlock);
    const int64_t block = ceil_div(segment.rows, std::max<int64_t>(blocks, 1));
    device.pool.run(blocks * args.shape.heads, [&](int64_t task_index, int thread) {
      Carver carver(workspace + static_cast<uint64_t>(thread) * thread_bytes);
      const ExpandedScratch scratch = cut_expanded(carver, args.shape);
      const int64_t from = task_index / args.shape.heads * block;
      ExpandedTask task{segment, reader_of(args.cache, *args.group, i), task_index % args.shape.heads};
      task.segment.first_row += from;
      task.segment.first_position += from;
      task.segment.rows = std::min(block, segment.rows - from);
      task.segment.context = task.segment.first_position + task.segment.rows;
      if (task.segment.rows > 0) attend_expanded(device.kernels, args, task, scratch);
    });
    device.note(Used::kMlaExpanded);
  }
}

// ---- absorbed ----

struct AbsorbedScratch {
  int64_t batch;   // rows at a time
  float* q;        // [batch][heads * (nope + rope)], only where q is BF16
  float* queries;  // [batch][heads][kv_lora + rope]
  float* outputs;  // [batch][heads][kv_lora]
  char* values;    // per thread [batch][v]
  char* spans;
  SpanShape shape;
};

AbsorbedScratch cut_absorbed(const CpuDevice& device, Carver& carver, const MlaAttentionArgs& args) {
  const MlaShape& shape = args.shape;
  const int64_t row_bytes = shape.heads * (record_width(shape) + shape.kv_lora) * 4;
  AbsorbedScratch s;
  s.batch = std::clamp(kRowBatchBytes / std::max<int64_t>(row_bytes, 1), int64_t{1},
                       std::min(kMaxRowBatch, std::max<int64_t>(args.q.rows, 1)));
  s.q = carver.take<float>(args.q.dtype == DType::kF32 ? 0 : s.batch * shape.heads * query_width(shape));
  s.queries = carver.take<float>(s.batch * shape.heads * record_width(shape));
  s.outputs = carver.take<float>(s.batch * shape.heads * shape.kv_lora);
  s.values = carver.take<char>(device.pool.threads() * s.batch * shape.v * 4);
  s.shape = {0, record_width(shape), record_width(shape), shape.kv_lora, args.scale};
  s.spans = carver.take<char>(static_cast<int64_t>(span_workspace(device, s.shape)));
  return s;
}

/// Rows first .. first + rows of the step, all in output form.
struct AbsorbedBatch {
  int64_t first;
  int64_t rows;
  int64_t unit_heads;  // heads that share the reading of the latents
  int32_t segments[kMaxRowBatch];
};

/// As many as there are, halved while that leaves threads without work.
int64_t unit_heads_of(const CpuDevice& device, const MlaAttentionArgs& args, const AbsorbedBatch& batch) {
  int64_t heads = std::min<int64_t>(kMaxUnitHeads, args.shape.heads), spans = 0;
  for (int64_t r = 0; r < batch.rows; ++r) spans += args.batch->positions[batch.first + r] / kSpan + 1;
  while (heads > 4 && spans * ceil_div(args.shape.heads, heads) < device.pool.threads()) heads /= 2;
  return heads;
}

class AbsorbedSource : public SpanSource {
 public:
  AbsorbedSource(const CpuDevice& device, const MlaAttentionArgs& args, const AbsorbedScratch& scratch,
                 const AbsorbedBatch& batch)
      : device_(device), args_(args), scratch_(scratch), batch_(batch) {}

  SpanUnit unit(int64_t index) const override {
    const int64_t row = index / parts(), head = index % parts() * batch_.unit_heads;
    const int64_t width = record_width(args_.shape);
    SpanUnit unit;
    unit.queries = scratch_.queries + (row * args_.shape.heads + head) * width;
    unit.ldq = width;
    unit.heads = std::min<int64_t>(batch_.unit_heads, args_.shape.heads - head);
    unit.position = args_.batch->positions[batch_.first + row];
    unit.first = 0;
    unit.segment = batch_.segments[row];
    return unit;
  }

  void load(const SpanUnit& unit, int64_t, int64_t tile, int64_t from, int64_t to, float* scratch,
            KeyTile* out) const override {
    const CacheLayer& cache = args_.cache;
    const CacheReader reader = reader_of(cache, *args_.group, unit.segment);
    if (readable_in_place(cache) && cache.rope_dtype == cache.dtype)
      return reader.in_place(tile, from, to, 0, 0, out);
    const int64_t lora = args_.shape.kv_lora, width = record_width(args_.shape);
    for (int64_t position = from; position < to; ++position) {
      const char* record = reader.record(position);
      float* values = scratch + (position - from) * width;
      read_values(device_.kernels, cache.dtype, cache.k_scale, record, lora, values);
      read_values(device_.kernels, cache.rope_dtype, cache.k_scale, record + lora * bytes_of(cache.dtype),
                  args_.shape.rope, values + lora);
    }
    const char* widened = reinterpret_cast<const char*>(scratch);
    out->elem = kElemF32;
    out->ldk = out->ldv = width;
    out->runs = 1;
    out->run[0] = {widened, widened, from - tile, to - from};
  }

  void finish(int64_t index, const SpanUnit& unit, float* values) const override {
    const int64_t row = index / parts(), head = index % parts() * batch_.unit_heads;
    std::copy_n(values, unit.heads * args_.shape.kv_lora,
                scratch_.outputs + (row * args_.shape.heads + head) * args_.shape.kv_lora);
  }

  int64_t parts() const { return ceil_div(args_.shape.heads, batch_.unit_heads); }

 private:
  const CpuDevice& device_;
  const MlaAttentionArgs& args_;
  const AbsorbedScratch& scratch_;
  const AbsorbedBatch& batch_;
};

/// queries = [q_nope times the head's key rows of kv_b | q_rope].
void absorb_queries(CpuDevice& device, const MlaAttentionArgs& args, const AbsorbedScratch& s,
                    const AbsorbedBatch& batch) {
  const MlaShape& shape = args.shape;
  const WeightRef& kv_b = weight_of(args.kv_b);
  const int64_t width = query_width(shape), record = record_width(shape);
  device.pool.run(shape.heads, [&](int64_t head, int) {
    const float* q = reinterpret_cast<const float*>(at(args.q, batch.first, head * width));
    int64_t ldq = args.q.stride;
    if (args.q.dtype != DType::kF32) {
      ldq = shape.heads * width;
      float* widened = s.q + head * width;
      for (int64_t r = 0; r < batch.rows; ++r) {
        device.kernels.vector->to_f32(elem_of(args.q.dtype), at(args.q, batch.first + r, head * width), 1.0f,
                                      widened + r * ldq, width);
      }
      q = widened;
    }
    float* out = s.queries + head * record;
    const int64_t ldo = shape.heads * record;
    const AxpyArgs axpy{q,
                        ldq,
                        head_rows(kv_b, shape, head, 0),
                        shape.kv_lora,
                        batch.rows,
                        shape.kv_lora,
                        shape.nope,
                        out,
                        ldo,
                        nullptr};
    device.kernels.vector->axpy[elem_of(kv_b.dtype)](&axpy);
    for (int64_t r = 0; r < batch.rows; ++r)
      std::copy_n(q + r * ldq + shape.nope, shape.rope, out + r * ldo + shape.kv_lora);
  });
}

/// out = the head's value rows of kv_b times the attended latents.
void expand_outputs(CpuDevice& device, const MlaAttentionArgs& args, const AbsorbedScratch& s,
                    const AbsorbedBatch& batch) {
  const MlaShape& shape = args.shape;
  const WeightRef& kv_b = weight_of(args.kv_b);
  device.pool.run(shape.heads, [&](int64_t head, int thread) {
    float* values = reinterpret_cast<float*>(s.values) + thread * s.batch * shape.v;
    const DotArgs dot{s.outputs + head * shape.kv_lora,
                      shape.heads * shape.kv_lora,
                      nullptr,
                      head_rows(kv_b, shape, head, shape.nope),
                      shape.kv_lora,
                      batch.rows,
                      shape.v,
                      shape.kv_lora,
                      shape.kv_lora,
                      values,
                      shape.v,
                      nullptr,
                      0};
    device.kernels.dot->dot[kElemF32][elem_of(kv_b.dtype)](&dot);
    for (int64_t r = 0; r < batch.rows; ++r) {
      device.kernels.vector->from_f32(elem_of(args.out.dtype), values + r * shape.v,
                                      at(args.out, batch.first + r, head * shape.v), shape.v);
    }
  });
}

void run_batch(CpuDevice& device, const MlaAttentionArgs& args, const AbsorbedScratch& s,
               AbsorbedBatch& batch) {
  if (batch.rows == 0) return;
  batch.unit_heads = unit_heads_of(device, args, batch);
  absorb_queries(device, args, s, batch);
  const AbsorbedSource source(device, args, s, batch);
  SpanShape shape = s.shape;
  shape.units = batch.rows * source.parts();
  attend_spans(device, shape, source, s.spans);
  expand_outputs(device, args, s, batch);
  device.note(Used::kMlaAbsorbed);
}

/// All output rows, in batches of adjacent ones.
void run_absorbed(CpuDevice& device, const MlaAttentionArgs& args, void* workspace) {
  Carver carver(workspace);
  const AbsorbedScratch scratch = cut_absorbed(device, carver, args);
  AbsorbedBatch batch{0, 0, 1, {}};
  for (int32_t i = 0; i < args.batch->num_segments; ++i) {
    if (static_cast<TokenForm>(args.batch->form[i]) != TokenForm::kOutput) continue;
    const Segment segment = segment_of(*args.batch, i);
    if (segment.context == 0) continue;  // padding
    for (int64_t r = segment.first_row; r < segment.first_row + segment.rows; ++r) {
      if (batch.rows == scratch.batch || r != batch.first + batch.rows) {
        run_batch(device, args, scratch, batch);
        batch.first = r;
        batch.rows = 0;
      }
      batch.segments[batch.rows++] = i;
    }
  }
  run_batch(device, args, scratch, batch);
}

Status check(const MlaAttentionArgs& args) {
  const MlaShape& shape = args.shape;
  const WeightRef& kv_b = weight_of(args.kv_b);
  if (kv_b.format != WeightFormat::kDense)
    return internal_error("mla_attention: kv_b was not prepared in an MLA group");
  if (kv_b.rows != int64_t{shape.heads} * (shape.nope + shape.v) || kv_b.cols != shape.kv_lora) {
    return internal_error("mla_attention: kv_b [{}, {}] does not fit {} heads", kv_b.rows, kv_b.cols,
                          shape.heads);
  }
  if (args.q.cols != shape.heads * query_width(shape) || args.out.cols != int64_t{shape.heads} * shape.v) {
    return internal_error("mla_attention: q has {} columns, out {}", args.q.cols, args.out.cols);
  }
  if (!is_activation(args.q.dtype) || !is_activation(args.out.dtype))
    return internal_error("mla_attention: dtypes");
  const int64_t record =
      shape.kv_lora * bytes_of(args.cache.dtype) + shape.rope * bytes_of(args.cache.rope_dtype);
  if (record > args.cache.token_bytes) return internal_error("mla_attention: records of {} bytes", record);
  return OkStatus();
}

uint64_t expanded_thread_bytes(const MlaShape& shape) {
  Carver carver(nullptr);
  cut_expanded(carver, shape);
  return carver.used();
}

}  // namespace

uint64_t mla_attention_workspace(const CpuDevice& device, const MlaAttentionArgs& args) {
  Carver carver(nullptr);
  cut_absorbed(device, carver, args);
  return std::max(carver.used(),
                  expanded_thread_bytes(args.shape) * static_cast<uint64_t>(device.pool.threads()));
}

Status mla_attention(CpuDevice& device, const MlaAttentionArgs& args) {
  RETURN_IF_ERROR(check(args));
  RETURN_IF_ERROR(check_workspace("mla_attention", args.workspace, mla_attention_workspace(device, args)));
  run_absorbed(device, args, args.workspace.data);
  run_expanded(device, args, static_cast<char*>(args.workspace.data), expanded_thread_bytes(args.shape));
  return OkStatus();
}

}  // namespace hadal::cpu
