#include "kernels/cpu/attention.h"

namespace hadal::cpu {

Segment segment_of(const BatchMeta& batch, int32_t index) {
  Segment segment;
  segment.index = index;
  segment.first_row = batch.query_start[index];
  segment.rows = batch.query_start[index + 1] - segment.first_row;
  segment.context = batch.context_len[index];
  segment.first_position = segment.context - segment.rows;
  return segment;
}

CacheReader reader_of(const CacheLayer& cache, const GroupMeta& group, int32_t segment) {
  return {&cache, group.block_table + int64_t{segment} * group.table_stride};
}

bool is_fp8(DType dtype) { return dtype == DType::kF8E4M3 || dtype == DType::kF8E5M2; }

bool readable_in_place(const CacheLayer& cache) {
  return is_dense_weight(cache.dtype) && cache.token_bytes % bytes_of(cache.dtype) == 0;
}

void CacheReader::in_place(int64_t tile, int64_t from, int64_t to, int64_t key_bytes, int64_t value_bytes,
                           KeyTile* out) const {
  out->elem = elem_of(cache->dtype);
  out->ldk = out->ldv = cache->token_bytes / bytes_of(cache->dtype);
  out->runs = 0;
  for (int64_t position = from; position < to;) {
    const int64_t end = std::min(to, (position / cache->block_tokens + 1) * cache->block_tokens);
    const char* first = record(position);
    out->run[out->runs++] = {first + key_bytes, first + value_bytes, position - tile, end - position};
    position = end;
  }
}

void tile_scores(const IsaKernels& kernels, const void* queries, DType q_dtype, int64_t ldq, int64_t rows,
                 const KeyTile& tile, int64_t dk, float* scores) {
  const DotFn dot = kernels.dot->dot[elem_of(q_dtype)][tile.elem];
  for (int32_t i = 0; i < tile.runs; ++i) {
    const KeyRun& run = tile.run[i];
    const DotArgs args{queries, ldq,       nullptr, run.keys, tile.ldk,
                       rows,    run.count, dk,      dk,       scores + run.first,
                       kTile,   nullptr,   0};
    dot(&args);
  }
}

void tile_values(const IsaKernels& kernels, const float* scores, int64_t rows, const KeyTile& tile,
                 int64_t dv, const float* carry, float* sums) {
  float ones[kQueryBlock];
  if (tile.runs > 1) std::fill_n(ones, rows, 1.0f);
  for (int32_t i = 0; i < tile.runs; ++i) {
    const KeyRun& run = tile.run[i];
    const AxpyArgs args{scores + run.first,   kTile, run.values, tile.ldv, rows, dv, run.count, sums, dv,
                        i == 0 ? carry : ones};
    kernels.vector->axpy[tile.elem](&args);
  }
}

void attend_prompt_tile(const IsaKernels& kernels, const PromptTile& t) {
  float carry[kQueryBlock];
  // rows before the tile see none of it
  const int64_t first = std::max<int64_t>(0, t.tile - t.first_position);
  // with a window, rows far behind it see none either
  const int64_t last =
      t.window > 0 ? std::min(t.rows, t.tile + t.count - 1 + t.window - t.first_position) : t.rows;
  for (int64_t r0 = first; r0 < last; r0 += kQueryBlock) {
    const int64_t rows = std::min(kQueryBlock, last - r0);
    const char* queries = static_cast<const char*>(t.queries) + r0 * t.ldq * bytes_of(t.q_dtype);
    tile_scores(kernels, queries, t.q_dtype, t.ldq, rows, *t.keys, t.dk, t.scores);
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t position = t.first_position + r0 + i;
      const int64_t oldest = t.window > 0 ? std::max<int64_t>(0, position - t.window + 1 - t.tile) : 0;
      const int64_t newest = std::min(t.count, position + 1 - t.tile);
      const SoftmaxArgs softmax{t.scores + i * kTile,
                                static_cast<int32_t>(kTile),
                                static_cast<int32_t>(oldest),
                                static_cast<int32_t>(newest),
                                t.scale,
                                t.maximum + r0 + i,
                                t.sum + r0 + i};
      carry[i] = kernels.vector->softmax(&softmax);
    }
    tile_values(kernels, t.scores, rows, *t.keys, t.dv, carry, t.accumulated + r0 * t.dv);
  }
}

void put_rows(const IsaKernels& kernels, float* accumulated, const float* sum, int64_t rows, int64_t width,
              const Mat& out, int64_t row, int64_t col) {
  for (int64_t i = 0; i < rows; ++i) {
    float* v = accumulated + i * width;
    for (int64_t c = 0; c < width; ++c) v[c] /= sum[i];
    kernels.vector->from_f32(elem_of(out.dtype), v, at(out, row + i, col), width);
  }
}

}  // namespace hadal::cpu
